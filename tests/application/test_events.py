"""Events: what they store, and that none of them ever raises into the host's request."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timezone
from decimal import Decimal
from typing import Any

import attrs
import pytest

from angle_reco import InvalidValueError, Recommender, Settings, StorageUnavailableError
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.composition import memory_ports
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.ids import UserId
from angle_reco.testing import MemoryMarketplace
from tests.application.shop import (
    DAY,
    HOUR,
    NOW,
    again,
    bid,
    filled,
    ids_of,
    lot,
    lots,
    opened,
    watch,
)

SECRET = "user-4711"
AT = datetime(2026, 6, 1, 13, tzinfo=timezone(2 * HOUR))


@pytest.fixture
def market() -> MemoryMarketplace:
    """Return a marketplace with one user who has done nothing."""
    return filled(lots("art", 3), users=["ann", SECRET])


@pytest.fixture
def reco(market: MemoryMarketplace) -> Recommender:
    """Return the recommender of that marketplace."""
    return opened(market)


class TestWhatIsStored:
    def test_a_bid_with_its_amount_and_moment(
        self, reco: Recommender, market: MemoryMarketplace
    ) -> None:
        assert reco.bid_placed("ann", "art-01", amount=Decimal("120.5"), at=AT) is True
        assert reco.bid_placed("ann", "art-01") is True

        assert [one for bids in market.bids.values() for one in bids] == [
            attrs.evolve(bid("ann", "art-01", days=0), amount=Decimal("120.5"), placed_at=AT),
            bid("ann", "art-01", days=0),
        ]

    def test_the_same_bid_twice_is_one(self, reco: Recommender) -> None:
        told = [reco.bid_placed("ann", "art-01", amount=Decimal(5), at=NOW) for _ in range(2)]

        assert told == [True, False]
        assert reco.system.stats().bids == 1

    def test_a_watch_until_it_ends(self, reco: Recommender, market: MemoryMarketplace) -> None:
        assert reco.watched("ann", "art-02", at=NOW - DAY) is True
        assert reco.watched("ann", "art-02") is False  # since the earliest

        assert list(market.watches.values()) == [watch("ann", "art-02", days=1)]
        assert [reco.unwatched("ann", "art-02") for _ in range(2)] == [True, False]
        assert market.watches == {}

    def test_a_sign_in_of_now(self, reco: Recommender) -> None:
        assert reco.signed_in("ann") is True

        sign_ins = reco.as_user("ann").sign_ins()
        assert sign_ins is not None
        assert (sign_ins.last_at, sign_ins.count) == (NOW, 1)

    def test_it_shows_in_the_next_answer(self, reco: Recommender) -> None:
        reco.bid_placed("ann", "art-03")

        assert ids_of(reco.anonymous.popular_items(1)) == ["art-03"]
        assert ids_of(reco.as_user("ann").homepage()) == ["art-01", "art-02"]

    def test_without_a_recorder_bids_are_the_host_s_own_to_store(self, reco: Recommender) -> None:
        mapped = again(reco.ports, recorder=None)

        told = [
            mapped.bid_placed("ann", "art-01"),
            mapped.watched("ann", "art-01"),
            mapped.unwatched("ann", "art-01"),
        ]

        assert told == [True] * 3
        stats = mapped.system.stats()
        assert (stats.bids, stats.watches, stats.events_failed) == (0, 0, 0)


NAIVE = datetime(2026, 6, 1)  # noqa: DTZ001 — what is to be dropped

FAILING: dict[str, Callable[[Recommender], object]] = {
    "sign-in of an id of another kind": lambda reco: reco.signed_in(4711),
    "sign-in of nobody": lambda reco: reco.signed_in(None),  # type: ignore[arg-type]  # refused
    "bid of an id of another kind": lambda reco: reco.bid_placed(4711, "art-01"),
    "bid on an id of another kind": lambda reco: reco.bid_placed(SECRET, 1),
    "bid of True": lambda reco: reco.bid_placed(True, "art-01"),
    "bid of a list": lambda reco: reco.bid_placed([SECRET], "art-01"),  # type: ignore[arg-type]  # refused
    "watch of an id of another kind": lambda reco: reco.watched(4711, "art-01"),
    "end of a watch of an id of another kind": lambda reco: reco.unwatched(4711, "art-01"),
    "text that is no id": lambda reco: reco.watched(SECRET, "art\n01"),
    "text too long for an id": lambda reco: reco.watched(SECRET, "a" * 513),
}


class TestFailures:
    @pytest.mark.parametrize("event", FAILING.values(), ids=FAILING)
    def test_what_cannot_be_taken_is_counted_and_logged_without_an_id(
        self,
        reco: Recommender,
        event: Callable[[Recommender], object],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        assert event(reco) is False

        stats = reco.system.stats()
        assert (stats.events_failed, stats.bids, stats.watches) == (1, 0, 0)
        [record] = caplog.records
        assert record.levelno == logging.WARNING
        assert "4711" not in record.getMessage()
        assert "event not taken" in record.getMessage()

    def test_what_would_be_right_is_logged(
        self, reco: Recommender, caplog: pytest.LogCaptureFixture
    ) -> None:
        reco.watched(SECRET, 4711)

        assert "value=item id expected=a text of 1 to 512 printable characters" in caplog.text

    def test_the_past_takes_no_events(self, market: MemoryMarketplace) -> None:
        back = Recommender.in_memory(market, as_of=NOW)

        assert back.signed_in("ann") is back.bid_placed("ann", "art-01") is False
        assert back.watched("ann", "art-01") is back.unwatched("ann", "art-01") is False
        stats = back.system.stats()
        assert (stats.events_failed, stats.bids, stats.watches) == (4, 0, 0)

    @pytest.mark.parametrize(
        "event",
        [
            lambda reco: reco.signed_in("nobody-4711"),
            lambda reco: reco.bid_placed("nobody-4711", "art-01"),
            lambda reco: reco.bid_placed("ann", "nothing-4711"),
            lambda reco: reco.watched("nobody-4711", "art-01"),
            lambda reco: reco.watched("ann", "nothing-4711"),
            lambda reco: reco.unwatched("nobody-4711", "nothing-4711"),
        ],
    )
    def test_what_is_unknown_is_reported_and_stores_nothing(
        self, reco: Recommender, event: Callable[[Recommender], object], caplog: Any
    ) -> None:
        caplog.set_level(logging.INFO)

        assert event(reco) is False

        stats = reco.system.stats()
        assert (stats.users, stats.bids, stats.watches) == (2, 0, 0)
        [record] = caplog.records
        assert "event changed nothing" in record.getMessage()
        assert "4711" not in record.getMessage()

    @pytest.mark.parametrize("error", [StorageUnavailableError(), RuntimeError(SECRET)])
    def test_a_store_that_fails_does_not_fail_the_request(
        self, reco: Recommender, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        broken = Broken(error)
        unlucky = again(reco.ports, users=broken, recorder=broken)

        told = [
            unlucky.signed_in(SECRET),
            unlucky.bid_placed(SECRET, "art-01"),
            unlucky.watched(SECRET, "art-01"),
            unlucky.unwatched(SECRET, "art-01"),
        ]

        assert told == [False] * 4
        assert again(unlucky.ports, users=reco.ports.users).system.stats().events_failed == 0
        assert len(caplog.records) == 4
        assert not [one for one in caplog.records if SECRET in caplog.text]
        assert {one.levelno for one in caplog.records} == {logging.WARNING}

    def test_failures_add_up_by_recommender(self, reco: Recommender) -> None:
        other = again(reco.ports)
        for item in (1, 2):
            reco.bid_placed("ann", item)
        reco.bid_placed("ann", "art-01")

        assert reco.system.stats().events_failed == 2
        assert other.system.stats().events_failed == 0


@attrs.frozen
class Broken:
    """Users and a recorder that fail whatever they are told."""

    error: Exception

    def record_sign_in(self, user_id: UserId, at: datetime) -> bool:
        raise self.error

    def record_bid(self, bid: Bid, *, connection: object | None = None) -> bool:
        raise self.error

    def record_watch(self, watch: Watch, *, connection: object | None = None) -> bool:
        raise self.error

    def remove_watch(
        self, user_id: UserId, item_id: object, *, connection: object | None = None
    ) -> bool:
        raise self.error


ODD_AMOUNTS: list[Any] = [
    *(Decimal(text) for text in ("-1", "NaN", "sNaN", "Infinity", "0.000123", "1e999999")),
    *(19.9, float("nan"), -5, "19.90", "", b"19.90", True, [12]),
]
ODD_MOMENTS: list[Any] = [
    NAIVE,
    NAIVE.date(),
    "now",
    "2026-06-01T12:00:00+00:00",
    1_780_000_000,
    datetime.min.replace(tzinfo=timezone(HOUR)),
]


class TestOddParts:
    """An event counts without an amount or a moment that cannot be used."""

    @pytest.mark.parametrize("amount", ODD_AMOUNTS, ids=repr)
    def test_a_bid_of_an_odd_amount_counts_as_one_of_an_unknown_amount(
        self,
        reco: Recommender,
        market: MemoryMarketplace,
        amount: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        assert reco.bid_placed(SECRET, "art-01", amount=amount, at=AT) is True

        [[stored]] = market.bids.values()
        assert (stored.amount, stored.placed_at) == (None, AT)
        assert reco.system.stats().events_failed == 0
        [record] = caplog.records
        assert record.levelno == logging.WARNING
        assert record.getMessage().startswith(
            "part of an event dropped: event=bid_placed value=amount expected=an amount from 0 to"
        )
        assert SECRET not in caplog.text
        assert "19.9" not in caplog.text

    def test_a_float_is_told_what_to_be_instead(
        self, reco: Recommender, caplog: pytest.LogCaptureFixture
    ) -> None:
        reco.bid_placed(SECRET, "art-01", amount=19.9)  # type: ignore[arg-type]  # dropped

        assert caplog.messages[0].endswith("with at most 4 decimals, as a Decimal or an int")

    @pytest.mark.parametrize("at", ODD_MOMENTS, ids=repr)
    @pytest.mark.parametrize("event", ["signed_in", "bid_placed", "watched"])
    def test_an_event_at_an_odd_moment_is_one_of_now(
        self,
        reco: Recommender,
        market: MemoryMarketplace,
        event: str,
        at: Any,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        ids = (SECRET,) if event == "signed_in" else (SECRET, "art-01")

        assert getattr(reco, event)(*ids, at=at) is True

        sign_ins = reco.as_user(SECRET).sign_ins()
        bids = [one.placed_at for bids in market.bids.values() for one in bids]
        watches = [one.watched_at for one in market.watches.values()]
        assert sign_ins is not None
        assert {
            "signed_in": [sign_ins.last_at] if sign_ins.count else [],
            "bid_placed": bids,
            "watched": watches,
        }[event] == [NOW]
        assert caplog.messages == [
            f"part of an event dropped: event={event} value=at expected=a moment with a time"
            " zone, such as 2026-01-31T12:00:00+00:00"
        ]

    def test_both_may_be_odd(
        self, reco: Recommender, market: MemoryMarketplace, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert reco.bid_placed(SECRET, "art-01", amount=19.9, at=NAIVE) is True  # type: ignore[arg-type]  # dropped

        assert list(market.bids.values()) == [[bid(SECRET, "art-01", days=0)]]
        assert [one.args[1] for one in caplog.records if isinstance(one.args, tuple)] == [
            "amount",
            "at",
        ]

    def test_of_an_event_that_cannot_be_taken_nothing_is_dropped(
        self, reco: Recommender, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert reco.bid_placed(SECRET, 5, amount=19.9, at=NAIVE) is False  # type: ignore[arg-type]  # refused

        assert [one.split(":")[0] for one in caplog.messages] == ["event not taken"]

    def test_a_host_s_own_tables_need_neither(self, reco: Recommender) -> None:
        mapped = again(reco.ports, recorder=None)

        assert mapped.bid_placed("ann", "art-01", amount=19.9, at=NAIVE) is True  # type: ignore[arg-type]  # dropped

        assert mapped.system.stats().events_failed == 0


class TestStrictly:
    """In development and test suites an event raises what it would log."""

    @pytest.fixture
    def strict(self, reco: Recommender) -> Recommender:
        """Return a recommender whose events raise."""
        return again(reco.ports, Settings(cache_enabled=False, strict_events=True))

    @pytest.mark.parametrize("event", FAILING.values(), ids=FAILING)
    def test_what_cannot_be_taken_is_an_error(
        self,
        strict: Recommender,
        event: Callable[[Recommender], object],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        with pytest.raises(InvalidValueError):
            event(strict)

        stats = strict.system.stats()
        assert (stats.events_failed, stats.bids, stats.watches) == (1, 0, 0)
        assert caplog.messages == []

    @pytest.mark.parametrize("more", [*({"amount": one} for one in ODD_AMOUNTS), {"at": NAIVE}])
    def test_so_is_an_odd_part_and_nothing_is_stored(
        self, strict: Recommender, market: MemoryMarketplace, more: dict[str, Any]
    ) -> None:
        [name] = more

        with pytest.raises(InvalidValueError, match=f"^{name} is "):
            strict.bid_placed("ann", "art-01", **more)

        assert market.bids == {}
        # Nor is anything pending of it.
        assert ids_of(strict.as_user("ann").homepage()) == ["art-01", "art-02", "art-03"]

    def test_events_that_are_as_they_should_be_are_taken(self, strict: Recommender) -> None:
        assert strict.bid_placed("ann", "art-01", amount=Decimal("19.9"), at=AT) is True
        assert strict.signed_in("ann", AT) is strict.watched("ann", "art-02", at=AT) is True

    def test_a_store_that_fails_does_not_fail_the_request_all_the_same(
        self, strict: Recommender
    ) -> None:
        broken = Broken(StorageUnavailableError())
        unlucky = again(strict.ports, strict.settings, users=broken, recorder=broken)

        assert unlucky.bid_placed("ann", "art-01") is unlucky.signed_in("ann") is False

    def test_an_event_loop_gets_the_error(self, strict: Recommender) -> None:
        async def tell() -> None:
            with pytest.raises(InvalidValueError, match="amount"):
                await strict.aio.bid_placed("ann", "art-01", amount=19.9)  # type: ignore[arg-type]  # refused
            with pytest.raises(InvalidValueError, match="connection"):
                await strict.aio.bid_placed("ann", "art-01", connection="none")

        asyncio.run(tell())

    @pytest.mark.parametrize("value", [1, None, "yes"])
    def test_the_setting_is_yes_or_no(self, value: Any) -> None:
        with pytest.raises(InvalidValueError, match="strict_events"):
            Settings(strict_events=value)


class TestStats:
    def test_an_empty_shop(self) -> None:
        nothing = {
            "owners": 0,
            "rows": 0,
            "oldest_at": None,
            "newest_at": None,
            "covered_at": None,
        }

        stats = opened().system.stats().to_json()

        jobs = stats.pop("jobs")
        assert isinstance(jobs, dict)
        assert {name: one["last"] for name, one in jobs.items()} == dict.fromkeys(BATCH_JOBS)
        assert stats == {
            "users": 0,
            "items": 0,
            "bids": 0,
            "watches": 0,
            "interests": nothing,
            "lists": dict.fromkeys(("similar", "personal", "popular"), nothing),
            "events_failed": 0,
            "sign_ins_not_counted": 0,
            "events_unconfirmed": 0,
            "memory": None,
            "statements": None,
        }

    def test_what_there_is_and_how_old_what_is_stored_is(self) -> None:
        reco = opened(filled([*lots("art", 2), lot("book", "books")], users=["ann", "bob"]))
        reco.bid_placed("ann", "art-01")
        reco.bid_placed("ann", "book")
        reco.watched("bob", "book")
        for job in ("refresh_user_interests", "compute_item_similarities"):
            reco.system.run_job(job)

        answer = reco.system.stats().to_json()

        moment = NOW.astimezone(UTC).isoformat()
        ages = {"oldest_at": moment, "newest_at": moment, "covered_at": moment}
        assert {name: answer[name] for name in ("users", "items", "bids", "watches")} == {
            "users": 2,
            "items": 3,
            "bids": 2,
            "watches": 1,
        }
        assert answer["interests"] == {"owners": 2, "rows": 3, **ages}
        assert answer["lists"]["similar"] == {"owners": 3, "rows": 4, **ages}  # type: ignore[index]  # JSON


@pytest.mark.parametrize("items", ["vase", "", 7, None])
def test_items_that_changed_are_a_collection_of_ids(items: Any, reco: Recommender) -> None:
    before = reco.system.stats().events_failed

    assert not reco.items_changed(items)

    strict = Recommender(memory_ports(), Settings(strict_events=True))
    with pytest.raises(InvalidValueError, match=r"^items is ") as caught:
        strict.items_changed(items)
    assert caught.value.expected == "a collection of at most 100,000 ids"
    assert reco.system.stats().events_failed == before + 1


def test_a_hundred_thousand_items_may_change_at_once_and_no_more() -> None:
    strict = Recommender(memory_ports(), Settings(strict_events=True))

    assert strict.items_changed(f"item-{place}" for place in range(100_000))
    with pytest.raises(InvalidValueError, match=r"^items is 'more', but should be a collection of"):
        strict.items_changed(f"item-{place}" for place in range(100_001))
