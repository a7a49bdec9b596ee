"""Invalidates what depends on items that changed, and requests lists for new ones."""

from collections import Counter
from collections.abc import Iterable, Sequence

import attrs

from angle_reco.application.jobs.claims import JobClaims
from angle_reco.application.jobs.finished_runs import FinishedRuns
from angle_reco.application.scoring import Scorer
from angle_reco.application.serving.open_items import Before, ChangedItems, OpenItems
from angle_reco.domain.activity import Activity
from angle_reco.domain.availability import is_open
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import ItemId
from angle_reco.domain.items import ItemCard
from angle_reco.ports.clock import Clock


@attrs.frozen(kw_only=True)
class ItemInvalidator:
    """Reads the cards of changed items, and invalidates the lists of their similar items.

    *runs* take the requests for similar items of new items.
    """

    open_items: OpenItems
    finished_runs: FinishedRuns
    scorer: Scorer
    clock: Clock
    runs: JobClaims

    @property
    def changed(self) -> ChangedItems:
        """Return the items that changed since the open items were read."""
        return self.open_items.changed

    def note_changed(self, item_ids: Sequence[ItemId]) -> None:
        """Invalidate the cached data of items that change, before the feed has the change."""
        live = self.open_items.held()
        self.changed.note_changed(item_ids, None if live is None else live.cards)
        self._bound()
        self.finished_runs.forget_similar(item_ids)

    def drop_expired(self) -> None:
        """Drop cards older than the open items, and changes that were never committed."""
        live = self.open_items.held()
        self.changed.drop_expired(None if live is None else live.since)

    def changed_in_feed(self, times: Counter[ItemId], bid_on: Iterable[ItemId]) -> None:
        """Read the cards of items that changed, and invalidate the similar items of these.

        Also request runs for the items that opened or changed in a way their lists depend on.
        The feed has shown each item so many *times*; items *bid_on* differ only in their price.
        """
        live, item_ids = self.open_items.held(), list(times)
        # Only open items show a price.
        priced = [one for one in bid_on if live is None or one in live.cards]
        if not (item_ids or priced):
            return
        at, now = self.clock.monotonic(), self.clock.now()
        found = self.scorer.catalog.cards(dict.fromkeys([*item_ids, *priced]), at=now)
        self.changed.read({one: found.get(one) for one in (*item_ids, *priced)}, at=at, times=times)
        self._bound()
        if not item_ids:
            return
        cards = {one: found.get(one) for one in item_ids}
        self.finished_runs.forget_similar(item_ids)
        before = self.changed.before(item_ids)
        new = [one for one, card in cards.items() if card and self._is_new(card, before.get(one))]
        unsold = self._without_bids(
            [one for one, card in cards.items() if _has_new_price(card, before.get(one))]
        )
        wanted = [*new, *(one for one in unsold if one not in new)]
        if wanted:
            self.runs.request_similar(wanted)
        self.changed.handled(item_ids)

    def _bound(self) -> None:
        """Have the open items read again if too many changed to be tracked one by one."""
        if self.changed.are_too_many:
            self.open_items.forget()
            self.changed.clear()

    def _is_new(self, card: ItemCard, before: Before | None) -> bool:
        """Return whether a noted item has opened, or has another title or category now."""
        if before is None or not is_open(card, self.clock.now()):
            return False
        if before.card is None:
            return True
        return (before.card.title, before.card.category_id) != (card.title, card.category_id)

    def _without_bids(self, item_ids: Sequence[ItemId]) -> list[ItemId]:
        """Return the items without bids: no bid has moved their price."""
        if not item_ids:
            return []
        items = IdColumn.of(self.scorer.settings.ids.item, item_ids)
        bid_on = set[ItemId]()
        for happened in self.scorer.activity.interactions(items=items):
            bid_on.update(
                ItemId(one) for one in happened.items.take(happened.kinds == Activity.BID)
            )
        return [one for one in item_ids if one not in bid_on]


def _has_new_price(card: ItemCard | None, before: Before | None) -> bool:
    return (
        card is not None
        and before is not None
        and before.card is not None
        and before.card.price != card.price
        and card.is_listed
    )
