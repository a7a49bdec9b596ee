"""Pages of an answer: how long they are, what earlier ones showed, and the host's own objects."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from angle_reco.domain.paging import MOST, PageStart, hash_of
from angle_reco.domain.suggestions import Shelf
from angle_reco.domain.validators import whole

CardLoader: TypeAlias = Callable[[Sequence[Any]], Mapping[Any, Any]]
"""A host's function from item ids to its objects; items missing from the result are not shown.

Its exceptions reach the caller unchanged.
"""

MOST_SIMILAR = 20
"""Of similar items."""


def checked_limit(limit: object, *, most: int = MOST) -> int:
    """Return how many to show: *limit*, or *most* where that is less.

    Raises:
        InvalidValueError: It is no whole number of at least 1.
    """
    if type(limit) is int and 1 <= limit <= most:
        return limit
    return min(whole(limit, "limit", least=1), most)


def page_of(answer: Shelf, start: PageStart, *, length: int) -> Shelf:
    """Return the page of an answer that starts at *start*, without what earlier pages showed.

    The answer has *length* suggestions (`PageStart.then`), or all there are.
    """
    found, shown = answer.suggestions, start.shown
    if not shown:
        return _followed(answer, start) if len(found) == length < MOST else answer
    new = [one for one in found if hash_of(one.item_id) not in shown]
    page = tuple(
        one._replace(rank=rank)
        for rank, one in enumerate(new[: length - len(shown)], start=start.rank + 1)
    )
    may_go_on = len(new) > len(page) or len(found) == length
    is_last = not page or not may_go_on or len(shown) + len(page) >= MOST
    shelf = attrs.evolve(answer, suggestions=page)
    return shelf if is_last else _followed(shelf, start)


def _followed(shelf: Shelf, start: PageStart) -> Shelf:
    """Return the shelf itself, marked as a page that starts at *start* and may have a next one.

    It is marked in place, before a caller has it: a copy takes a tenth of an answer's time.
    """
    object.__setattr__(shelf, "_start", start)
    return shelf


def with_objects(shelf: Shelf, objects: Mapping[Any, Any]) -> Shelf:
    """Return a shelf with the host's *objects*, by item id, as cards."""
    loaded = [one for one in shelf if one.item_id in objects]
    first = shelf[0].rank if shelf else 1
    listed = {one.item_id: one.card for one in loaded}
    grounds = {id(one.grounds): one.grounds._replace(cards=listed) for one in loaded}
    suggestions = tuple(
        one._replace(rank=rank, card=objects[one.item_id], grounds=grounds[id(one.grounds)])
        for rank, one in enumerate(loaded, start=first)
    )
    start, shown = shelf._start, attrs.evolve(shelf, suggestions=suggestions)
    # The next page must not try again those without an object.
    return shown if start is None else _followed(shown, start.after(shelf.ids, ranks=0))
