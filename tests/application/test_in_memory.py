"""A recommender in memory is bounded as one on a database."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from time import monotonic

import pytest

from angle_reco import Recommender, Settings, StorageUnavailableError
from angle_reco.adapters.memory.stores import MemoryListStore
from angle_reco.domain.lists import ListKind
from angle_reco.testing import MemoryMarketplace
from angle_reco.testing.contracts.samples import KINDS, Sample
from tests.application.memories import comes_true
from tests.application.shop import bid, filled, lots

SOON = timedelta(milliseconds=200)


@pytest.fixture
def market() -> MemoryMarketplace:
    """Return a shop with as many lots as a page has."""
    return filled(lots("art", 70), bid("ann", "art-01"))


def ours() -> list[str]:
    """Return the names of our threads."""
    return [one.name for one in threading.enumerate() if one.name.startswith("angle-reco")]


class TestStoredLists:
    def test_those_of_ever_more_users_take_no_more_than_their_share(
        self, market: MemoryMarketplace
    ) -> None:
        with Recommender.in_memory(market, settings=Settings(cache_bytes=1_000_000)) as reco:
            for number in range(200):
                assert len(reco.as_user(f"user-{number}").homepage()) == 20
                reco._use_cases.settle()
            totals = reco.system.stats().lists[ListKind.PERSONAL]

        # A million bytes are 2,500 suggestions.
        assert 30 <= totals.owners <= 41
        assert totals.rows <= 2_500

    def test_one_that_made_room_is_computed_again(self, market: MemoryMarketplace) -> None:
        with Recommender.in_memory(market, settings=Settings(cache_bytes=1_000_000)) as reco:
            first = list(reco.as_user("user-0").homepage())
            for number in range(1, 60):
                reco.as_user(f"user-{number}").homepage()
            reco._use_cases.settle()
            assert reco.system.stored.get_recommendations(of="user-0") is None

            assert [one.item_id for one in reco.as_user("user-0").homepage()] == [
                one.item_id for one in first
            ]

    def test_those_of_jobs_and_edited_ones_stay(self, market: MemoryMarketplace) -> None:
        with Recommender.in_memory(market, settings=Settings(cache_bytes=1_000_000)) as reco:
            # Of users who are active.
            reco.signed_in("ann")
            reco.system.run_job("generate_recommendations")
            reco.as_user("eve").homepage()
            reco._use_cases.settle()
            reco.system.stored.delete_recommendation("eve", "art-05")
            for number in range(100):
                reco.as_user(f"user-{number}").homepage()
                reco._use_cases.settle()

            assert reco.system.stored.get_recommendations(of="ann") is not None
            assert reco.system.stored.get_recommendations(of="eve") is not None

    def test_a_store_without_a_bound_keeps_everything(self) -> None:
        store, sample = MemoryListStore(), Sample(KINDS[0])
        for owner in sample.users:
            store.write(ListKind.PERSONAL, sample.lists(ListKind.PERSONAL, {owner: ()}))

        assert store.totals(ListKind.PERSONAL).owners == len(sample.users)


class TestDeadline:
    @pytest.mark.parametrize("cached", [True, False])
    def test_a_call_waits_for_the_marketplace_no_longer(
        self, market: MemoryMarketplace, cached: bool
    ) -> None:
        chosen = Settings(deadline=SOON, cache_enabled=cached)
        reco = Recommender.in_memory(market, settings=chosen)
        asked: list[Callable[[], object]] = [
            reco.system.stats,
            lambda: reco.as_user("ann").interests(),
        ]
        with locked(market):
            for ask in asked:
                began = monotonic()
                with pytest.raises(StorageUnavailableError):
                    ask()
                assert monotonic() - began < 5
            assert reco.bid_placed("ann", "art-02") is False

        assert reco.bid_placed("ann", "art-02") is True
        reco.close()

    def test_without_a_deadline_it_is_waited_for(self, market: MemoryMarketplace) -> None:
        done = list[bool]()

        def grant() -> None:
            market.grant("ann", "inspect_users")
            done.append(True)

        with locked(market):
            thread = threading.Thread(target=grant)
            thread.start()
            thread.join(0.05)
            assert done == []
        thread.join(10)

        assert done == [True]


class locked:  # noqa: N801 — used as a function
    """Hold the lock of a marketplace, in another thread."""

    def __init__(self, market: MemoryMarketplace) -> None:
        self._market, self._holds, self._ends = market, threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold)

    def _hold(self) -> None:
        with self._market.lock:
            self._holds.set()
            self._ends.wait(20)

    def __enter__(self) -> None:
        self._thread.start()
        assert self._holds.wait(10)

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()


class TestThreads:
    @pytest.mark.parametrize("where", ["memory", "sqlite"])
    def test_they_end_with_it(self, market: MemoryMarketplace, where: str, tmp_path: Path) -> None:
        reco = (
            Recommender.in_memory(market, settings=Settings())
            if where == "memory"
            else Recommender.connect(f"sqlite:///{tmp_path / 'shop.db'}", migrate=True)
        )
        before = set(threading.enumerate())
        reco.start()
        for user in ("ann", "bob"):
            reco.as_user(user).homepage()
            reco.bid_placed(user, "art-02")
        assert ours() != []

        reco.close()

        # They end by themselves: they were woken up for that.
        assert comes_true(lambda: set(threading.enumerate()) <= before)

    def test_another_one_goes_on(self, market: MemoryMarketplace) -> None:
        one, other = (Recommender.in_memory(market, settings=Settings()) for _ in range(2))
        for reco in (one, other):
            reco.start(scheduler=None)
            reco.as_user("ann").homepage()

        one.close()

        assert "angle-reco-ticker" in ours()
        assert len(other.as_user("bob").homepage()) == 20
        other.close()

    def test_it_can_be_used_again(self, market: MemoryMarketplace) -> None:
        reco = Recommender.in_memory(market, settings=Settings())
        for _ in range(3):
            reco.start()
            assert len(reco.as_user("ann").homepage()) == 20
            reco.close()
            assert comes_true(lambda: "angle-reco-ticker" not in ours())
