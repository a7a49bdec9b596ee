"""Manual overrides: single lines that an operator writes into a list."""

from angle_reco.domain.errors import InvalidValueError, one_of
from angle_reco.domain.ids import ItemId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.millionths import Millionths
from angle_reco.domain.stored_list import StoredLine, StoredList
from angle_reco.domain.suggestions import Reason, Source
from angle_reco.domain.type_checks import is_a, plain

OVERRIDE_REASONS = {
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
"""The reasons that an override can have, for each kind of list."""

_SOURCES = {ListKind.SIMILAR: Source.SIMILAR, ListKind.PERSONAL: Source.PERSONAL}


def override_line(
    kind: ListKind, item_id: ItemId, *, score: Millionths, reason: object
) -> StoredLine:
    """Return a manual override for a list of a kind.

    Raises:
        InvalidValueError: Lists of this kind do not have that reason.
    """
    reasons = OVERRIDE_REASONS[kind]
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
    """Return a list with one more line, which replaces another one for the same item.

    The line goes to *rank*, counted from 1, or to the end if the list is shorter; without
    *rank*, before the first line with a lower score. A list never exceeds the length that
    its recipe allows: the last line is dropped.
    """
    lines = [one for one in stored.lines if one.item_id != line.item_id]
    if rank is None:
        lower = (place for place, one in enumerate(lines) if one.score < line.score)
        place = next(lower, len(lines))
    else:
        place = rank - 1
    # At most at the last place that the recipe allows; `insert` stops at the end of the list.
    lines.insert(min(place, stored.recipe.kept - 1), line)
    return stored.with_lines(lines[: stored.recipe.kept], edited=True)


def without_line(stored: StoredList, item_id: ItemId) -> StoredList:
    """Return a list without the line for an item; the same list if there is none."""
    lines = [one for one in stored.lines if one.item_id != item_id]
    return stored if len(lines) == len(stored) else stored.with_lines(lines, edited=True)
