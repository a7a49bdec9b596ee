"""What people write themselves among the results: single lines of a list."""

import attrs

from angle_reco.domain.errors import InvalidValueError, one_of
from angle_reco.domain.ids import ItemId
from angle_reco.domain.lists import ListKind, StoredLine, StoredList
from angle_reco.domain.millionths import Millionths
from angle_reco.domain.suggestions import Reason, Source
from angle_reco.domain.type_checks import is_a, plain

REASONS_BY_HAND = {
    ListKind.SIMILAR: (Reason.SAME_CATEGORY, Reason.PRICE_RANGE, Reason.COLLABORATIVE),
    ListKind.PERSONAL: (
        Reason.POPULAR_IN_FAVOURITE,
        Reason.FAVOURITE_CATEGORY,
        Reason.TRENDING,
        Reason.ENDING_SOON,
        Reason.ACTIVE_AUCTION,
        Reason.FOR_YOU,
    ),
}
"""The reasons that a line of each kind of list can have."""

_SOURCES = {ListKind.SIMILAR: Source.SIMILAR, ListKind.PERSONAL: Source.PERSONAL}


def line_by_hand(
    kind: ListKind, item_id: ItemId, *, score: Millionths, reason: object
) -> StoredLine:
    """Return a line that a person writes into a list of a kind.

    Raises:
        InvalidValueError: The reason is none that such lists give.
    """
    reasons = REASONS_BY_HAND[kind]
    name = plain(reason) if is_a(reason, str) else None
    if name not in reasons:
        raise InvalidValueError("reason", reason, one_of([one.value for one in reasons]))
    return StoredLine(
        item_id=item_id,
        score=score,
        parts=(),
        reason=Reason(name),
        source=_SOURCES[kind],
        by_hand=True,
    )


def with_line(stored: StoredList, line: StoredLine, *, rank: int | None = None) -> StoredList:
    """Return a list with one more line, in place of another one for its item.

    It goes to *rank*, 1 being the first, or as far down as the list reaches; without a
    rank before the first line with a lower score. No list gets longer than its recipe
    keeps: the last line makes room.
    """
    line = attrs.evolve(line, parts=(0,) * len(stored.recipe.components))
    lines = [one for one in stored.lines if one.item_id != line.item_id]
    if rank is None:
        lower = (place for place, one in enumerate(lines) if one.score < line.score)
        place = next(lower, len(lines))
    else:
        place = rank - 1
    # The place of the last line, or behind it while there is room.
    lines.insert(min(place, stored.recipe.kept - 1), line)
    return attrs.evolve(stored, lines=tuple(lines[: stored.recipe.kept]), edited=True)


def without_line(stored: StoredList, item_id: ItemId) -> StoredList:
    """Return a list without the line for an item; the list itself if there is none."""
    lines = tuple(one for one in stored.lines if one.item_id != item_id)
    return (
        stored
        if len(lines) == len(stored.lines)
        else attrs.evolve(stored, lines=lines, edited=True)
    )
