"""Bids and watches in memory."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime

import attrs

from angle_reco.adapters.memory.marketplace import MemoryMarketplace, exists_by, in_utc
from angle_reco.domain.activity import Bid, History, Interactions, KnownItem, Watch
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.ports.activity import Span


@attrs.frozen
class MemoryActivity:
    """`ActivityQueries` and `ActivityRecorder` over a `MemoryMarketplace`."""

    market: MemoryMarketplace

    def interactions(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        users: IdColumn | None = None,
        items: IdColumn | None = None,
        within: Sequence[Span] | None = None,
    ) -> Iterator[Interactions]:
        of_users = None if users is None else set(users)
        of_items = None if items is None else set(items)
        with self.market.lock:
            happened = [
                one
                for one in self._counted()
                if _is_within(one, since, until)
                and (of_users is None or one.user_id in of_users)
                and (of_items is None or one.item_id in of_items)
                and (within is None or any(_is_within(one, *span) for span in within))
            ]
        yield Interactions.of(self.market.ids, happened)

    def history(
        self, user_id: UserId, *, until: datetime | None = None, newest: int | None = None
    ) -> History:
        users = IdColumn.of(self.market.ids.user, [user_id])
        with self.market.lock:
            [did] = self.interactions(until=until, users=users)
            did = did if newest is None else did.newest(newest)
            touched = [self.market.items[ItemId(one)] for one in did.items]
        items = {
            item.item_id: KnownItem(
                title=item.title,
                category_id=item.category_id,
                seller_id=item.seller_id,
                is_public=item.is_published and exists_by(item.listed_at, until),
            )
            for item in touched
        }
        return History(interactions=did, items=items)

    def user_bids(
        self, user_id: UserId, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Bid]:
        with self.market.lock:
            bids = [
                bid
                for bid in self._bids()
                if bid.user_id == user_id and _is_within(bid, since, until)
            ]
        bids.sort(key=lambda bid: -1 if bid.amount is None else bid.amount)
        bids.sort(key=lambda bid: bid.item_id)  # type: ignore[arg-type,return-value]  # ids of one kind compare
        return sorted(bids, key=lambda bid: bid.placed_at, reverse=True)

    def user_watchlist(
        self, user_id: UserId, *, since: datetime | None = None, until: datetime | None = None
    ) -> Sequence[Watch]:
        with self.market.lock:
            watches = [
                watch
                for watch in self.market.watches.values()
                if watch.user_id == user_id and _is_within(watch, since, until)
            ]
        watches.sort(key=lambda watch: watch.item_id)  # type: ignore[arg-type,return-value]  # ids of one kind compare
        return sorted(watches, key=lambda watch: watch.watched_at, reverse=True)

    def engaged_users(
        self, item_ids: Collection[ItemId], *, until: datetime | None = None
    ) -> Mapping[ItemId, frozenset[UserId]]:
        wanted = set(item_ids)
        engaged: dict[ItemId, set[UserId]] = {item_id: set() for item_id in wanted}
        with self.market.lock:
            for one in self._counted():
                if one.item_id in wanted and _is_within(one, None, until):
                    engaged[one.item_id].add(one.user_id)
        return {item_id: frozenset(users) for item_id, users in engaged.items()}

    def touched_by(self, user_id: UserId, *, until: datetime | None = None) -> frozenset[ItemId]:
        with self.market.lock:
            return frozenset(
                one.item_id
                for one in self._happened()
                if one.user_id == user_id and _is_within(one, None, until)
            )

    def totals(self, *, until: datetime | None = None) -> tuple[int, int]:
        with self.market.lock:
            happened = [one for one in self._happened() if _is_within(one, None, until)]
        bids = sum(isinstance(one, Bid) for one in happened)
        return bids, len(happened) - bids

    def together(self, work: Callable[[], bool]) -> bool:
        return work()

    def record_bid(self, bid: Bid, *, connection: object | None = None) -> bool:
        if bid.amount is not None:
            self.market.prices.to_units(bid.amount, "amount")
        with self.market.lock:
            if not self.market.knows(bid.user_id, bid.item_id):
                return False
            bid, bids = in_utc(bid), self.market.bids.setdefault(bid.item_id, [])
            if bid in bids:
                return False
            bids.append(bid)
            return True

    def remove_bids(
        self,
        user_id: UserId,
        item_id: ItemId,
        *,
        until: datetime | None = None,
        connection: object | None = None,
    ) -> bool:
        with self.market.lock:
            bids = self.market.bids.get(item_id, [])
            left = [
                bid for bid in bids if bid.user_id != user_id or not exists_by(bid.placed_at, until)
            ]
            if len(left) == len(bids):
                return False
            self.market.bids[item_id] = left
            return True

    def record_watch(self, watch: Watch, *, connection: object | None = None) -> bool:
        with self.market.lock:
            return self.market.knows(watch.user_id, watch.item_id) and self.market.add_watch(watch)

    def remove_watch(
        self, user_id: UserId, item_id: ItemId, *, connection: object | None = None
    ) -> bool:
        with self.market.lock:
            return self.market.watches.pop((user_id, item_id), None) is not None

    def _counted(self) -> Iterator[Bid | Watch]:
        yield from (bid for bid in self._bids() if not self.market.is_own(bid))
        yield from self.market.watches.values()

    def _happened(self) -> Iterator[Bid | Watch]:
        yield from self._bids()
        yield from self.market.watches.values()

    def _bids(self) -> Iterator[Bid]:
        for bids in self.market.bids.values():
            yield from bids


def _is_within(one: Bid | Watch, since: datetime | None, until: datetime | None) -> bool:
    moment = one.placed_at if isinstance(one, Bid) else one.watched_at
    return (since is None or moment >= since) and (until is None or moment <= until)
