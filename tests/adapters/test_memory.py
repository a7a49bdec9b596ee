"""The in-memory adapters keep the contracts."""

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from angle_reco.adapters.memory.activity import MemoryActivity
from angle_reco.adapters.memory.catalog import MemoryCatalog
from angle_reco.adapters.memory.changes import MemoryChanges
from angle_reco.adapters.memory.erasure import MemoryErasure, MemoryErasures
from angle_reco.adapters.memory.ledger import MemoryRunLedger
from angle_reco.adapters.memory.marketplace import MemoryMarketplace
from angle_reco.adapters.memory.models import MemoryModelStore
from angle_reco.adapters.memory.stores import MemoryFences, MemoryInterestStore, MemoryListStore
from angle_reco.adapters.memory.users import MemoryUsers
from angle_reco.adapters.model_folder import SharedModels
from angle_reco.composition import memory_ports
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import FencedOffError, InvalidValueError
from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.items import Item
from angle_reco.domain.lists import ListKind
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.runs import Fence, RunKey
from angle_reco.domain.users import User
from angle_reco.ports.activity import ActivityQueries
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.users import UserQueries
from angle_reco.testing import ManualClock
from angle_reco.testing.contracts import (
    ActivityQueriesContract,
    ActivityRecorderContract,
    CatalogQueriesContract,
    ChangesAtOnceContract,
    ChangesContract,
    ErasableStores,
    ErasureContract,
    InterestStoreContract,
    ListStoreContract,
    Make,
    RecordedActivity,
    RunLedgerContract,
    Sample,
    TimedChanges,
    TimedLedger,
    UserQueriesContract,
)
from angle_reco.testing.contracts.ledger_base import run_request
from angle_reco.testing.contracts.model_store import ModelStoreContract, ModelStores
from angle_reco.testing.contracts.samples import DAY, NOW, TICK


class TestMemoryUsers(UserQueriesContract):
    @pytest.fixture
    def make(self, sample: Sample) -> Make[UserQueries]:
        return lambda **rows: MemoryUsers(MemoryMarketplace(ids=sample.ids, **rows))


class TestMemoryActivity(ActivityQueriesContract):
    @pytest.fixture
    def make(self, sample: Sample) -> Make[ActivityQueries]:
        return lambda **rows: MemoryActivity(MemoryMarketplace(ids=sample.ids, **rows))


class TestMemoryRecorder(ActivityRecorderContract):
    @pytest.fixture
    def make(self, sample: Sample) -> Make[RecordedActivity]:
        def make(**rows: Any) -> RecordedActivity:
            both = MemoryActivity(MemoryMarketplace(ids=sample.ids, **rows))
            return RecordedActivity(recorder=both, queries=both)

        return make


class TestMemoryCatalog(CatalogQueriesContract):
    @pytest.fixture
    def make(self, sample: Sample) -> Make[CatalogQueries]:
        return lambda **rows: MemoryCatalog(MemoryMarketplace(ids=sample.ids, **rows))


class TestMemoryInterestStore(InterestStoreContract):
    @pytest.fixture
    def store(self, sample: Sample) -> MemoryInterestStore:
        return MemoryInterestStore()


class TestMemoryListStore(ListStoreContract):
    @pytest.fixture
    def store(self, sample: Sample) -> MemoryListStore:
        return MemoryListStore()


class TestMemoryModelStore(ModelStoreContract):
    @pytest.fixture
    def stores(self, sample: Sample) -> ModelStores:
        return model_stores()


class TestSharedModels(ModelStoreContract):
    @pytest.fixture
    def stores(self, sample: Sample, tmp_path: Path) -> ModelStores:
        stores = model_stores()
        return attrs.evolve(stores, models=SharedModels(stores.models, tmp_path / "models"))


def model_stores() -> ModelStores:
    fences, erasures = MemoryFences(), MemoryErasures()
    models = MemoryModelStore(fences, erasures)
    return ModelStores(
        models=models,
        erasure=MemoryErasure(
            erasures,
            MemoryInterestStore(),
            MemoryListStore(),
            models,
            MemoryChanges(ManualClock(NOW)),
        ),
    )


class TestMemoryRunLedger(RunLedgerContract):
    @pytest.fixture
    def timed(self) -> TimedLedger:
        clock, fences = ManualClock(NOW), MemoryFences()
        return TimedLedger(
            ledger=MemoryRunLedger(clock, fences),
            advance=lambda by: clock.set(clock.now() + by),
            store=MemoryInterestStore(fences),
        )


def test_a_run_that_is_forgotten_leaves_nothing_in_memory() -> None:
    clock, key = ManualClock(NOW), RunKey.of("compute", {"as_of": "2026-01-01"})
    ledger = MemoryRunLedger(clock)
    before = sys.getrefcount(key)
    ledger.finish(ledger.claim(run_request(key=key), holder="ann", lease=DAY).run)
    until_then = sys.getrefcount(key)
    clock.advance(DAY)

    assert ledger.prune(retention=TICK) == 1

    assert sys.getrefcount(key) == before < until_then


class TestMemoryChanges(ChangesContract):
    @pytest.fixture
    def timed(self, sample: Sample) -> TimedChanges:
        return timed_changes()


class TestMemoryChangesAtOnce(ChangesAtOnceContract):
    @pytest.fixture
    def timed(self, sample: Sample) -> TimedChanges:
        return timed_changes()


def timed_changes() -> TimedChanges:
    clock, erasures = ManualClock(NOW), MemoryErasures()
    changes = MemoryChanges(clock)
    return TimedChanges(
        changes=changes,
        beside=changes,
        advance=clock.advance,
        erasure=MemoryErasure(
            erasures, MemoryInterestStore(), MemoryListStore(), MemoryModelStore(), changes
        ),
    )


class TestAFeedThatIsFull:
    def test_the_oldest_are_forgotten_which_is_a_gap(self) -> None:
        changes = MemoryChanges(ManualClock(NOW), most=10)
        cursors = [changes.now()]
        for _ in range(8):
            changes.publish([Change(kind=ChangeKind.FORGET)])
            cursors.append(changes.now())
        three = Change(kind=ChangeKind.ITEMS, item_ids=(ItemId("a"), ItemId("b"), ItemId("c")))

        changes.publish([three])

        feeds = [changes.since(one) for one in cursors]
        assert [feed.has_gap for feed in feeds] == [True] + 8 * [False]
        assert [len(feed.changes) for feed in feeds] == [0, 8, 7, 6, 5, 4, 3, 2, 1]


class TestMemoryErasure(ErasureContract):
    @pytest.fixture
    def make(self, sample: Sample) -> Make[ErasableStores]:
        def make(**rows: Any) -> ErasableStores:
            ports = memory_ports(MemoryMarketplace(ids=sample.ids, **rows))
            return ErasableStores(
                interests=ports.interests,
                lists=ports.lists,
                users=ports.users,
                erasure=ports.erasure,
                beside=False,
            )

        return make


def test_a_run_that_lost_its_place_may_write_neither_interests_nor_lists() -> None:
    ports, nobody = memory_ports(), IdColumn.of(IdKind.TEXT, [])
    newer, older = (Fence(job="refresh", number=number) for number in (2, 1))
    ports.interests.retain(nobody, started_at=NOW, fence=newer)

    with pytest.raises(FencedOffError):
        ports.lists.retain(ListKind.PERSONAL, nobody, started_at=NOW, fence=older)


ANN = User(user_id=UserId("ann"))
LAMP = Item(item_id=ItemId("lamp"))


class TestMemoryMarketplace:
    def test_of_several_watches_the_earliest_stays(self) -> None:
        early, late = (
            Watch(user_id=ANN.user_id, item_id=LAMP.item_id, watched_at=at)
            for at in (NOW - DAY, NOW)
        )

        for watches in ([early, late], [late, early]):
            market = MemoryMarketplace(users=[ANN], items=[LAMP], watches=watches)

            assert list(market.watches.values()) == [early]

    @pytest.mark.parametrize(
        "happened",
        [
            Bid(user_id=UserId("bob"), item_id=LAMP.item_id, placed_at=NOW),
            Bid(user_id=ANN.user_id, item_id=ItemId("vase"), placed_at=NOW),
            Watch(user_id=UserId("bob"), item_id=LAMP.item_id, watched_at=NOW),
            Watch(user_id=ANN.user_id, item_id=ItemId("vase"), watched_at=NOW),
        ],
    )
    def test_a_bid_or_watch_of_something_unknown_is_refused(self, happened: Bid | Watch) -> None:
        bids = [happened] if isinstance(happened, Bid) else []
        watches = [happened] if isinstance(happened, Watch) else []

        with pytest.raises(InvalidValueError, match=r"bob|vase"):
            MemoryMarketplace(users=[ANN], items=[LAMP], bids=bids, watches=watches)

    def test_an_id_of_another_kind_is_refused(self) -> None:
        ids = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.INT)
        one = Item(item_id=ItemId(1))

        with pytest.raises(InvalidValueError, match="user id is 'ann'"):
            MemoryMarketplace(ids=ids, users=[ANN])
        with pytest.raises(InvalidValueError, match="item id is 'lamp'"):
            MemoryMarketplace(ids=ids, items=[LAMP])
        with pytest.raises(InvalidValueError, match="category id is 'lamps'"):
            MemoryMarketplace(
                ids=ids, items=[Item(item_id=one.item_id, category_id=CategoryId("lamps"))]
            )
        with pytest.raises(InvalidValueError, match="user id is 'ann'"):
            MemoryMarketplace(ids=ids, items=[Item(item_id=one.item_id, seller_id=ANN.user_id)])

    @pytest.mark.parametrize("amount", ["0.001", "1e17"])
    def test_money_that_does_not_fit_is_refused(self, amount: str) -> None:
        prices, money = PriceScale(100), Decimal(amount)
        bid = Bid(user_id=ANN.user_id, item_id=LAMP.item_id, amount=money, placed_at=NOW)

        with pytest.raises(InvalidValueError, match="amount"):
            MemoryMarketplace(users=[ANN], items=[LAMP], bids=[bid], prices=prices)
        with pytest.raises(InvalidValueError, match="price"):
            MemoryMarketplace(
                items=[Item(item_id=LAMP.item_id, starting_price=money)], prices=prices
            )
