"""What one process tells the others: that something they may have in memory is different now."""

from datetime import timedelta
from enum import StrEnum

import attrs

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.validators import instance

MOST_ITEMS = 10_000
"""Of one change; more are told as several."""


class ChangeKind(StrEnum):
    """What is different now."""

    ITEMS = "items"  # published, withdrawn, edited, sold
    ENGAGED = "engaged"  # a user bid on items, or watches them, or does so no longer
    WITHDRAWN = "withdrawn"  # a user has bid on items no longer
    ERASED = "erased"  # a user is forgotten
    RUN = "run"  # a run of a job has ended: a complete one, or one for the items that are named
    FORGET = "forget"  # everything in memory is to be dropped


TOLD_FOR = timedelta(hours=1)
"""So long are changes told; whoever did not look meanwhile finds a gap."""


@attrs.frozen(kw_only=True)
class Change:
    """One change: of items, of what a user engages with, of a user, or of the lists of a job."""

    kind: ChangeKind
    item_ids: tuple[ItemId, ...] = ()
    user_id: UserId | None = None
    job: str = ""

    def __attrs_post_init__(self) -> None:
        kind = instance(self.kind, "kind of a change", ChangeKind)
        is_run = kind is ChangeKind.RUN
        is_engaged = kind is ChangeKind.ENGAGED or kind is ChangeKind.WITHDRAWN
        has_items = is_engaged or kind is ChangeKind.ITEMS
        has_user = is_engaged or kind is ChangeKind.ERASED
        may_have_items = has_items or is_run
        if (
            (has_items and not self.item_ids)
            or (self.item_ids and not may_have_items)
            or len(self.item_ids) > MOST_ITEMS
        ):
            expected = f"1 to {MOST_ITEMS:,} ids" if has_items else "none"
            raise InvalidValueError("items of a change", len(self.item_ids), expected)
        if has_user is (self.user_id is None):
            # Not the id: errors tell nothing personal.
            given = "no user" if self.user_id is None else "a user"
            raise InvalidValueError("user of a change", given, "a user" if has_user else "no user")
        if is_run is not bool(self.job):
            raise InvalidValueError("job of a change", self.job, "its name, of a run alone")
