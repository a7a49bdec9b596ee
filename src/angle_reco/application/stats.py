"""How much there is, and how old it is."""

from datetime import datetime

import attrs

from angle_reco.application.access import Access
from angle_reco.application.events import Events
from angle_reco.domain import Action, Actor, ListKind, Resource
from angle_reco.ports import (
    ActivityQueries,
    CatalogQueries,
    InterestStore,
    ListStore,
    StoreTotals,
    UserQueries,
)


@attrs.frozen(kw_only=True)
class Stats:
    """Counts of the marketplace and of what is kept about it, and failures of events."""

    users: int
    items: int
    bids: int
    watches: int
    interests: StoreTotals
    lists: dict[ListKind, StoreTotals]
    events_failed: int

    def to_json(self) -> dict[str, object]:
        """Return the stats as JSON has them."""
        return {
            "users": self.users,
            "items": self.items,
            "bids": self.bids,
            "watches": self.watches,
            "interests": _totals_json(self.interests),
            "lists": {kind.value: _totals_json(totals) for kind, totals in self.lists.items()},
            "events_failed": self.events_failed,
        }


@attrs.frozen(kw_only=True)
class TakeStock:
    """Count what there is."""

    access: Access
    users: UserQueries
    activity: ActivityQueries
    catalog: CatalogQueries
    interests: InterestStore
    lists: ListStore
    events: Events
    as_of: datetime | None = None

    def __call__(self, actor: Actor) -> Stats:
        """Return the stats of now.

        Raises:
            AccessDeniedError: The actor may not read them.
        """
        self.access.require(actor, Action.READ, Resource.STATS)
        bids, watches = self.activity.totals(until=self.as_of)
        return Stats(
            users=self.users.total(until=self.as_of),
            items=self.catalog.total(until=self.as_of),
            bids=bids,
            watches=watches,
            interests=self.interests.totals(),
            lists={kind: self.lists.totals(kind) for kind in ListKind},
            events_failed=self.events.failed,
        )


def _totals_json(totals: StoreTotals) -> dict[str, object]:
    def text(moment: datetime | None) -> str | None:
        return None if moment is None else moment.isoformat()

    return {
        "owners": totals.owners,
        "rows": totals.rows,
        "oldest_at": text(totals.oldest_at),
        "newest_at": text(totals.newest_at),
        "covered_at": text(totals.covered_at),
    }
