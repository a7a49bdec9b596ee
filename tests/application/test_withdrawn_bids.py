"""Bids that are taken back, and the prices of those that are pending."""

import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs
import pytest

from angle_reco import (
    AccessDeniedError,
    InvalidValueError,
    ItemId,
    Recommender,
    Settings,
    StorageUnavailableError,
)
from angle_reco.application.serving.own_changes import PendingOffers
from angle_reco.application.serving.pending_activity import PendingActivity
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.ids import UserId
from angle_reco.testing import ManualClock
from tests.application.memories import CachingShop
from tests.application.shop import DAY, NOW, again, bid, clock_of, filled, ids_of, lots, opened
from tests.application.test_between_processes import read_feed

SECOND = timedelta(seconds=1)
LOT = "art-03"
ENGAGED = ChangeKind.ENGAGED


@pytest.fixture
def one() -> CachingShop:
    """Return a process with answers in memory, in whose shop ann may be shown five lots."""
    market = filled(lots("art", 5), users=["ann", "bob", "eve"])
    return warmed(CachingShop.of(market))


def warmed(one: CachingShop, *others: Recommender) -> CachingShop:
    """Have all answers of ann in memory."""
    for reco in (one.reco, *others):
        for _ in range(2):
            reco.as_user("ann").homepage()
            reco.anonymous.popular_items()
            reco._use_cases.settle()
    return one


def hosts(one: CachingShop) -> Recommender:
    """Return a process whose bids are the host's own to store."""
    reco = again(one.ports, Settings(), recorder=None)
    warmed(one, reco)
    return reco


def is_shown(reco: Recommender, user: str = "ann") -> bool:
    return LOT in ids_of(reco.as_user(user).homepage())


def price_of(reco: Recommender, item: str = LOT) -> Decimal | None:
    [price] = [one.card.price for one in reco.anonymous.popular_items() if str(one.item_id) == item]
    return price if price is None else Decimal(price)


class TestWithdrawing:
    @pytest.mark.parametrize("stores_bids", [True, False])
    def test_its_lot_is_back_at_once(self, one: CachingShop, stores_bids: bool) -> None:
        reco = one.reco if stores_bids else hosts(one)
        assert reco.bid_placed("ann", LOT, amount=Decimal(500)) is True
        assert not is_shown(reco)

        assert reco.bid_withdrawn("ann", LOT) is True

        assert is_shown(reco)
        assert price_of(reco) == Decimal(100)
        assert reco.system.stats().bids == 0

    def test_in_other_processes_when_they_read_the_feed(self, one: CachingShop) -> None:
        other = one.another()
        warmed(one, other)
        one.reco.bid_placed("ann", LOT, amount=Decimal(500))
        read_feed(one, one.reco, other)
        assert (is_shown(other), price_of(other)) == (False, Decimal(500))

        one.reco.bid_withdrawn("ann", LOT)
        read_feed(one, one.reco, other)

        assert (is_shown(other), price_of(other)) == (True, Decimal(100))

    def test_a_list_that_was_made_without_it_is_made_again(self, one: CachingShop) -> None:
        other = one.another()
        one.reco.bid_placed("ann", LOT)
        for reco in (one.reco, other):
            reco.system.run_job("generate_recommendations")
            read_feed(one, reco)
            assert not is_shown(reco)

        one.reco.bid_withdrawn("ann", LOT)

        assert is_shown(one.reco)
        read_feed(one, one.reco, other)
        assert is_shown(other)

    def test_without_memory_too(self) -> None:
        reco = opened(filled(lots("art", 5), users=["ann"]))
        reco.bid_placed("ann", LOT)
        reco.system.run_job("generate_recommendations")
        assert not is_shown(reco)

        reco.bid_withdrawn("ann", LOT)

        assert is_shown(reco)

    def test_a_list_that_was_edited_by_hand_stays_so(self, one: CachingShop) -> None:
        reco = one.reco
        reco.bid_placed("ann", LOT)
        reco.system.run_job("generate_recommendations")
        reco.system.stored.delete_recommendation("ann", "art-01")

        reco.bid_withdrawn("ann", LOT)

        assert "art-01" not in ids_of(reco.as_user("ann").homepage())

    def test_it_counts_no_more(self, one: CachingShop) -> None:
        reco = one.reco
        reco.bid_placed("ann", LOT)

        reco.bid_withdrawn("ann", LOT)

        assert reco.as_user("ann").interests() == ()
        clock_of(reco).advance(2 * timedelta(minutes=1))
        assert is_shown(reco)
        assert reco.system.stats().events_unconfirmed == 0

    def test_others_bids_and_watches_stay(self, one: CachingShop) -> None:
        reco = one.reco
        reco.bid_placed("bob", LOT, amount=Decimal(300))
        reco.bid_placed("ann", LOT, amount=Decimal(400))
        reco.watched("eve", LOT)
        reco.watched("ann", "art-01")

        reco.bid_withdrawn("ann", LOT)

        assert [is_shown(reco, user) for user in ("ann", "bob", "eve")] == [True, False, False]
        assert "art-01" not in ids_of(reco.as_user("ann").homepage())
        assert price_of(reco) == Decimal(300)
        read_feed(one, reco)
        assert price_of(reco) == Decimal(300)

    def test_one_that_is_watched_too_stays_hidden(self, one: CachingShop) -> None:
        reco = one.reco
        reco.watched("ann", LOT)
        reco.bid_placed("ann", LOT)

        reco.bid_withdrawn("ann", LOT)

        assert not is_shown(reco)

    def test_bids_that_were_placed_later_stay(self, one: CachingShop) -> None:
        reco = one.reco
        reco.bid_placed("ann", LOT, amount=Decimal(300), at=NOW - DAY)
        reco.bid_placed("ann", LOT, amount=Decimal(400), at=NOW)

        assert reco.bid_withdrawn("ann", LOT, at=NOW - SECOND) is True

        assert not is_shown(reco)
        assert price_of(reco) == Decimal(400)
        assert reco.system.stats().bids == 1

    def test_it_can_be_placed_again(self, one: CachingShop) -> None:
        for _ in range(2):
            one.reco.bid_placed("ann", LOT)
            assert not is_shown(one.reco)
            one.reco.bid_withdrawn("ann", LOT)
            assert is_shown(one.reco)
        one.reco.bid_placed("ann", LOT)
        read_feed(one, one.reco)

        assert not is_shown(one.reco)

    def test_where_there_was_none_nothing_changes(self, one: CachingShop) -> None:
        assert one.reco.bid_withdrawn("ann", LOT) is False
        assert one.reco.bid_withdrawn("nobody", "nothing") is False
        assert hosts(one).bid_withdrawn("ann", LOT) is True

    @pytest.mark.parametrize(("user", "item"), [(5, LOT), ("ann", None), ("", LOT)])
    def test_ids_of_another_kind_are_not_taken(
        self, one: CachingShop, user: Any, item: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert one.reco.bid_withdrawn(user, item) is False

        assert one.reco.system.stats().events_failed == 1
        assert caplog.messages[0].startswith("event not taken: event=bid_withdrawn value=")

    def test_with_an_odd_moment_no_bid_is_removed(
        self, one: CachingShop, caplog: pytest.LogCaptureFixture
    ) -> None:
        one.reco.bid_placed("ann", LOT)

        assert one.reco.bid_withdrawn("ann", LOT, at=datetime(2026, 1, 1)) is False  # noqa: DTZ001 — what is tried

        assert not is_shown(one.reco)
        assert len(one.reco.ports.activity.user_bids(UserId("ann"))) == 1
        assert caplog.messages[0].startswith("event not taken: event=bid_withdrawn value=at")

    async def _withdraw(self, reco: Recommender) -> bool:
        return await reco.aio.bid_withdrawn("ann", LOT, at=NOW)

    def test_on_an_event_loop(self, one: CachingShop) -> None:
        one.reco.bid_placed("ann", LOT)

        assert asyncio.run(self._withdraw(one.reco)) is True
        assert is_shown(one.reco)


class TestForgettingWhatIsPending:
    @pytest.fixture(params=[True, False], ids=["cached", "uncached"])
    def host(self, request: pytest.FixtureRequest, one: CachingShop) -> Recommender:
        """Return a process of a host's that has rolled a bid of ann's and a watch of bob's back."""
        reco = again(one.ports, Settings(cache_enabled=request.param), recorder=None)
        warmed(one, reco)
        reco.bid_placed("ann", LOT, amount=Decimal(500))
        reco.watched("bob", LOT)
        assert not is_shown(reco)
        return reco

    def test_lots_are_back_with_their_prices(self, host: Recommender) -> None:
        # Without a cache prices are those of the database.
        is_cached = host.settings.cache_enabled
        assert price_of(host) == Decimal(500 if is_cached else 100)
        # The events of two users, and their homepages, which are computed again.
        assert is_shown(host, "bob") is False
        gone = host.system.forget_cached(pending=True)
        assert gone == (4 if is_cached else 2)

        assert is_shown(host)
        assert is_shown(host, "bob")
        assert price_of(host) == Decimal(100)
        assert host.system.forget_cached(pending=True) <= 2

    @pytest.mark.parametrize("user", ["ann", None])
    def test_the_feed_does_not_bring_them_back(self, one: CachingShop, user: str | None) -> None:
        host = hosts(one)
        host.bid_placed("ann", LOT, amount=Decimal(500))
        host.system.forget_cached(user_id=user, pending=True)

        read_feed(one, host)

        assert is_shown(host)
        assert price_of(host) == Decimal(100)

    def test_of_one_user_alone(self, host: Recommender) -> None:
        host.system.forget_cached(user_id="ann", pending=True)

        assert is_shown(host)
        assert not is_shown(host, "bob")

    def test_what_is_not_pending_stays(self, one: CachingShop) -> None:
        one.reco.bid_placed("ann", LOT, amount=Decimal(500))

        one.reco.system.forget_cached(pending=True)

        # It is in the tables.
        assert not is_shown(one.reco)
        read_feed(one, one.reco)
        assert price_of(one.reco) == Decimal(500)

    def test_nothing_is_asked_of_the_database(self, one: CachingShop) -> None:
        one.reco.bid_placed("ann", LOT)
        one.calls()

        one.reco.system.forget_cached(pending=True)

        assert one.calls() == {}

    def test_no_item_may_be_named(self, host: Recommender) -> None:
        with pytest.raises(InvalidValueError, match=r"^item_id is "):
            host.system.forget_cached(item_id=LOT, pending=True)
        with pytest.raises(InvalidValueError, match=r"^pending is "):
            host.system.forget_cached(pending=1)  # type: ignore[arg-type]  # refused

    def test_users_may_not(self, host: Recommender) -> None:
        for view in (host.anonymous, host.as_user("ann")):
            with pytest.raises(AccessDeniedError):
                view.forget_cached(pending=True)


class TestPrices:
    @pytest.mark.parametrize("stores_bids", [True, False])
    def test_the_next_answer_has_the_amount_of_a_bid(
        self, one: CachingShop, stores_bids: bool
    ) -> None:
        reco = one.reco if stores_bids else hosts(one)
        one.calls()

        reco.bid_placed("ann", LOT, amount=Decimal("406.5"))

        assert price_of(reco) == Decimal("406.5")
        assert {
            card.card.price for card in reco.as_user("bob").homepage() if str(card.item_id) == LOT
        } == {Decimal("406.5")}
        assert price_of(reco, "art-01") == Decimal(100)

    def test_no_item_is_read_for_it(self, one: CachingShop) -> None:
        one.reco.bid_placed("ann", LOT, amount=Decimal(500))
        one.calls()

        assert price_of(one.reco) == Decimal(500)

        assert one.calls()["catalog.cards"] == 0

    def test_other_processes_read_it_by_id_when_the_feed_says_so(self, one: CachingShop) -> None:
        other = one.another()
        warmed(one, other)
        one.calls()
        one.reco.bid_placed("ann", LOT, amount=Decimal(500))
        assert price_of(other) == Decimal(100)

        read_feed(one, other)

        assert price_of(other) == Decimal(500)
        assert one.calls()["catalog.cards"] == 1

    def test_an_amount_that_the_host_stored_by_itself_is_read_then(self, one: CachingShop) -> None:
        reco = hosts(one)
        one.market.bids[ItemId(LOT)] = [bid("ann", LOT, days=0, amount=700)]

        reco.bid_placed("ann", LOT)
        read_feed(one, reco)

        assert price_of(reco) == Decimal(700)

    def test_the_highest_of_several_is_shown(self, one: CachingShop) -> None:
        reco = hosts(one)
        for user, amount in (("ann", 500), ("bob", 600), ("ann", 550), ("eve", 90)):
            reco.bid_placed(user, LOT, amount=Decimal(amount))

        assert price_of(reco) == Decimal(600)

    def test_a_lower_one_than_the_price_changes_nothing(self, one: CachingShop) -> None:
        reco = hosts(one)

        reco.bid_placed("ann", LOT, amount=Decimal(99))

        assert price_of(reco) == Decimal(100)

    def test_one_that_is_never_committed_is_gone_after_a_minute(self, one: CachingShop) -> None:
        reco = hosts(one)
        # As in a transaction that is rolled back: the feed never has it.
        reco._use_cases.shelves.pending.offers.note(UserId("ann"), ItemId(LOT), Decimal(500))
        assert price_of(reco) == Decimal(500)

        one.passes(timedelta(seconds=60))

        assert price_of(reco) == Decimal(100)

    def test_what_the_tables_say_counts_once_the_feed_has_it(self, one: CachingShop) -> None:
        reco = hosts(one)
        reco.bid_placed("ann", LOT, amount=Decimal(500))
        one.market.bids[ItemId(LOT)] = [bid("ann", LOT, days=0, amount=450)]
        assert price_of(reco) == Decimal(500)

        read_feed(one, reco)

        # A host may keep the highest amount of a bidder to itself.
        assert price_of(reco) == Decimal(450)

    def test_an_earlier_event_that_is_heard_says_nothing_of_a_later_one(
        self, one: CachingShop
    ) -> None:
        reco = hosts(one)
        reco.bid_placed("ann", LOT, amount=Decimal(500))
        pending = reco._use_cases.shelves.pending
        # As in a transaction that is still open.
        pending.own.note(Change(kind=ENGAGED, user_id=UserId("ann"), item_ids=(ItemId(LOT),)))
        pending.offers.note(UserId("ann"), ItemId(LOT), Decimal(600))

        read_feed(one, reco)

        assert price_of(reco) == Decimal(600)

    def test_a_bid_that_changed_nothing_shows_no_price(self, one: CachingShop) -> None:
        assert one.reco.bid_placed("a stranger", LOT, amount=Decimal(500)) is False

        assert price_of(one.reco) == Decimal(100)

    def test_a_bid_whose_event_fails_shows_no_price(self, one: CachingShop) -> None:
        warmed(one, one.reco)
        one.stores["changes"].error = StorageUnavailableError()
        assert one.reco.bid_placed("ann", LOT, amount=Decimal(500)) is False
        one.stores["changes"].error = None

        assert price_of(one.reco) == Decimal(100)


class TestPendingOffers:
    CARDS = opened(filled(lots("art", 5))).ports.catalog.cards(
        [ItemId(f"art-0{place}") for place in range(1, 6)], at=NOW
    )

    def test_they_are_bounded_and_the_oldest_go_first(self) -> None:
        offers = PendingOffers(ManualClock(NOW), seconds=60, most=2)
        for place in (1, 2, 3):
            offers.note(UserId("ann"), ItemId(f"art-0{place}"), Decimal(500))

        prices = [card.price for card in offers.on(self.CARDS, self.CARDS).values()]

        assert prices == [Decimal(100), Decimal(500), Decimal(500), Decimal(100), Decimal(100)]

    @pytest.mark.parametrize("how", ["forget", "clear", "drop", "over"])
    def test_they_go(self, how: str) -> None:
        clock = ManualClock(NOW)
        offers = PendingOffers(clock, seconds=60, most=10)
        ann, first = UserId("ann"), ItemId("art-01")
        offers.note(ann, first, Decimal(500))
        clock.advance(timedelta(seconds=60))

        {
            "forget": lambda: offers.forget(ann),
            "clear": offers.clear,
            "drop": lambda: offers.drop(ann, first),
            "over": offers.drop_expired,
        }[how]()

        assert offers.on(self.CARDS, [first]) is self.CARDS
        assert (offers._offers, offers._in_order) == ({}, {})

    def test_of_a_user_without_any_nothing_goes(self) -> None:
        offers = PendingOffers(ManualClock(NOW), seconds=60, most=10)
        first = ItemId("art-01")
        offers.note(UserId("ann"), first, Decimal(500))

        offers.drop(UserId("bob"), first)
        offers.drop(UserId("bob"), ItemId("art-02"))

        assert offers.highest == {first: Decimal(500)}

    def test_one_that_is_rolled_back_leaves_the_others(self) -> None:
        offers = PendingOffers(ManualClock(NOW), seconds=60, most=10)
        ann, first = UserId("ann"), ItemId("art-01")
        changes = [Change(kind=ENGAGED, user_id=ann, item_ids=(first,)) for _ in range(2)]
        for amount, change in zip((200, 900), changes, strict=True):
            offers.note(ann, first, Decimal(amount), change=change)

        offers.rolled_back(ann, first, changes[1])
        assert offers.highest == {first: Decimal(200)}
        offers.rolled_back(ann, first, changes[0])
        assert offers.highest == {}

    def test_of_several_events_all_amounts_count_until_the_feed_has_shown_all(self) -> None:
        pending = PendingActivity(ManualClock(NOW))
        ann, first = UserId("ann"), ItemId("art-01")
        changes = [Change(kind=ENGAGED, user_id=ann, item_ids=(first,)) for _ in range(3)]
        for change in changes:
            pending.own.note(change)
        for amount, change in zip((200, 900), changes, strict=False):
            pending.offers.note(ann, first, Decimal(amount), change=change)

        pending.rolled_back(changes[1])
        assert pending.offers.highest == {first: Decimal(200)}
        pending.feed_has_shown(ann, [first])
        assert pending.offers.highest == {first: Decimal(200)}
        pending.feed_has_shown(ann, [first])
        assert pending.offers.highest == {}

    def test_what_the_feed_has_shown_is_confirmed_when_the_rest_is_rolled_back(self) -> None:
        pending = PendingActivity(ManualClock(NOW))
        ann, first = UserId("ann"), ItemId("art-01")
        changes = [Change(kind=ENGAGED, user_id=ann, item_ids=(first,)) for _ in range(2)]
        for change in changes:
            pending.own.note(change)
            pending.offers.note(ann, first, Decimal(500), change=change)
        pending.feed_has_shown(ann, [first])
        assert pending.offers.highest == {first: Decimal(500)}

        pending.rolled_back(changes[0])

        assert pending.offers.highest == {}

    def test_of_many_of_one_user_the_last_hundred_count(self) -> None:
        offers = PendingOffers(ManualClock(NOW), seconds=60, most=10)
        ann, first = UserId("ann"), ItemId("art-01")
        for amount in range(1_000, 1_000 - 102, -1):
            offers.note(ann, first, Decimal(amount))

        assert offers.highest == {first: Decimal(998)}

    def test_a_price_that_is_not_known_becomes_the_amount(self) -> None:
        offers = PendingOffers(ManualClock(NOW), seconds=60, most=10)
        first = ItemId("art-01")
        offers.note(UserId("ann"), first, Decimal(5))
        unknown = {first: attrs.evolve(self.CARDS[first], price=None)}

        assert offers.on(unknown, [first])[first].price == Decimal(5)
