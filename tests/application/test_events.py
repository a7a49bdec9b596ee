"""Events: what they store, and that none of them ever raises into the host's request."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timezone
from decimal import Decimal
from typing import Any

import attrs
import pytest

from angle_reco import MemoryMarketplace, Recommender, StorageUnavailableError
from angle_reco.bootstrap import JOB_NAMES
from angle_reco.domain import Bid, UserId, Watch
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


NAIVE = datetime(2026, 6, 1)  # noqa: DTZ001 — what is to be refused

FAILING: dict[str, Callable[[Recommender], object]] = {
    "sign-in of an id of another kind": lambda reco: reco.signed_in(4711),
    "sign-in of nobody": lambda reco: reco.signed_in(None),  # type: ignore[arg-type]  # refused
    "sign-in at a naive moment": lambda reco: reco.signed_in(SECRET, at=NAIVE),
    "sign-in at no moment": lambda reco: reco.signed_in(SECRET, at="now"),  # type: ignore[arg-type]  # refused
    "bid of an id of another kind": lambda reco: reco.bid_placed(4711, "art-01"),
    "bid on an id of another kind": lambda reco: reco.bid_placed(SECRET, 1),
    "bid of True": lambda reco: reco.bid_placed(True, "art-01"),
    "bid of a list": lambda reco: reco.bid_placed([SECRET], "art-01"),  # type: ignore[arg-type]  # refused
    "bid at a naive moment": lambda reco: reco.bid_placed(SECRET, "art-01", at=NAIVE),
    "bid before the calendar": lambda reco: reco.bid_placed(
        SECRET, "art-01", at=datetime.min.replace(tzinfo=timezone(HOUR))
    ),
    **{
        f"bid of {amount!r}": lambda reco, amount=amount: reco.bid_placed(  # type: ignore[misc]  # a default binds it
            SECRET, "art-01", amount=amount
        )
        for amount in (
            *(Decimal(text) for text in ("-1", "NaN", "sNaN", "Infinity", "0.00001", "1e999999")),
            *(12.5, "12", True, [12]),
        )
    },
    "watch of an id of another kind": lambda reco: reco.watched(4711, "art-01"),
    "watch at a naive moment": lambda reco: reco.watched(SECRET, "art-01", at=NAIVE),
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
        reco.watched(SECRET, "art-01", at=NAIVE)

        assert "value=at expected=a moment with a time zone" in caplog.text

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
        for amount in (-1, -2):
            reco.bid_placed("ann", "art-01", amount=Decimal(amount))
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
        assert {name: one["last"] for name, one in jobs.items()} == dict.fromkeys(JOB_NAMES)
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
