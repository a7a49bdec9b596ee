"""The changes that processes publish, so that others invalidate what they have cached."""

from datetime import timedelta
from enum import StrEnum

import attrs

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.validators import instance

MOST_ITEMS = 10_000
"""The most items in one change; more are published as several changes."""


class ChangeKind(StrEnum):
    """The kind of a change."""

    ITEMS = "items"  # published, withdrawn, edited or sold
    ENGAGED = "engaged"  # a user bid on items, or started or stopped watching them
    WITHDRAWN = "withdrawn"  # a user's bids on items were withdrawn
    ERASED = "erased"  # a user was erased
    RUN = "run"  # a run of a job has ended: a complete one, or one for the named items
    FORGET = "forget"  # every cached entry must be dropped


IMPORT = "import"
"""The name under which an import is a run: rows of any time may be new."""

EDITED = "edit of "
"""What precedes the name of a job whose results were edited by hand, as a run for the jobs.

A run that was under way then may have left the edited result, which the next one replaces.
"""

FEED_RETENTION = timedelta(hours=3)
"""How long the feed stores changes; a reader that is further behind finds a gap.

The hourly jobs read what happened since their last run, which may have been late.
"""


@attrs.frozen(kw_only=True)
class Change:
    """One change: of items, of a user's activity, of a user, or of the lists of a job."""

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
            # Without the id: errors contain nothing personal.
            given = "no user" if self.user_id is None else "a user"
            raise InvalidValueError("user of a change", given, "a user" if has_user else "no user")
        if is_run is not bool(self.job):
            raise InvalidValueError("job of a change", self.job, "its name, of a run alone")
