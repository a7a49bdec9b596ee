"""Cuts a page from an answer that is long enough for all pages up to this one."""

import attrs

from angle_reco.domain.paging import MOST, PageStart, hash_of
from angle_reco.domain.suggestions import Shelf, followed


def start_of(first: PageStart, after: str, limit: int) -> tuple[PageStart, int]:
    """Return where a later page starts, and how long the answer is that `page_of` cuts it from.

    Raises:
        InvalidValueError: *after* is no cursor of the same call and category as *first*.
    """
    start = PageStart.read(after, of=first.of)
    return start, min(len(start.shown) + limit, MOST)


def page_of(answer: Shelf, start: PageStart, *, length: int) -> Shelf:
    """Return the page of an answer that starts at *start*, without what earlier pages showed.

    The answer has *length* suggestions, or all there are: the limit of a first page, and as
    `start_of` says for a later one.
    """
    found, shown = answer.suggestions, start.shown
    if not shown:
        return followed(answer, start) if len(found) == length < MOST else answer
    new = [one for one in found if hash_of(one.item_id) not in shown]
    page = tuple(
        one._replace(rank=rank)
        for rank, one in enumerate(new[: length - len(shown)], start=start.rank + 1)
    )
    may_go_on = len(new) > len(page) or len(found) == length
    is_last = not page or not may_go_on or len(shown) + len(page) >= MOST
    shelf = attrs.evolve(answer, suggestions=page)
    return shelf if is_last else followed(shelf, start)
