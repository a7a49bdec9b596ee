"""What happens in one process is so in all of them, at once where it matters."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from functools import partial
from threading import Event, Thread
from time import sleep
from typing import Any, NoReturn

import attrs
import pytest

from angle_reco import Freshness, Recommender, Settings, Shelf, StorageUnavailableError
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.runs import RunState
from angle_reco.ports.deadlines import NotInMemoryError, from_memory_alone
from angle_reco.testing import AuctionStatus
from tests.application.memories import (
    ASK,
    MINUTE,
    PERSONAL_JOB,
    SIMILAR_JOB,
    CachingShop,
    comes_true,
    settle,
    shop,
    warm,
)
from tests.application.shop import DAY, HOUR, NOW, TICK, ids_of, lot

SECOND = timedelta(seconds=1)
FRESH, STALE = Freshness.FRESH, Freshness.STALE

Two = tuple[CachingShop, Recommender]


@pytest.fixture(params=["by calls", "by a thread"])
def two(request: pytest.FixtureRequest) -> Iterator[Two]:
    """Return a process that has answers in memory, and another; each reads the feed in a way."""
    one = shop()
    other = one.another()
    if request.param == "by a thread":
        for reco in (one.reco, other):
            reco.start(scheduler=None)
            assert comes_true(partial(reads_feed, reco))
    for _ in range(2):
        warm(one)
        for surface in ASK:
            ASK[surface](other)
        settle(other)
    yield one, other
    for reco in (one.reco, other):
        reco.close()


def invalidator_of(reco: Recommender) -> Any:
    invalidator = reco._use_cases.invalidator
    assert invalidator is not None
    return invalidator


def cursor_of(reco: Recommender) -> object:
    return invalidator_of(reco)._cursor


def read_feed(one: CachingShop, *recommenders: Recommender) -> None:
    """Have the recommenders read all published changes."""
    one.passes(SECOND)
    for reco in recommenders:
        invalidator = invalidator_of(reco)
        if not invalidator.is_started:
            reco.anonymous.popular_items(1)
        else:
            assert comes_true(partial(knows_of_all, invalidator, one))
            with invalidator._lock:
                pass
        settle(reco)


def reads_feed(reco: Recommender) -> bool:
    return cursor_of(reco) is not None


def knows_of_all(invalidator: Any, one: CachingShop) -> bool:
    return bool(invalidator._cursor == feed_of(one).now())


def feed_of(one: CachingShop) -> Any:
    return one.stores["changes"].port


def users_in_feed(one: CachingShop) -> list[object]:
    """Return the users that the feed still names, whether or not a reader would be told."""
    changes = [told.change for told in feed_of(one)._published]
    return [change.user_id for change in changes if change is not None and change.user_id]


def shown(reco: Recommender) -> set[object]:
    """Return every item in any answer to ann."""
    return {item for surface in ASK for item in ids_of(ASK[surface](reco))}


def first_of(reco: Recommender, user: str) -> ItemId:
    """Return the first item of a user's homepage."""
    return ItemId(ids_of(reco.as_user(user).homepage())[0])


class TestItems:
    @pytest.mark.parametrize(
        "change",
        [
            {"is_published": False},
            {"status": AuctionStatus.SOLD},
            {"ends_at": NOW - TICK},
        ],
    )
    def test_one_that_is_gone_is_gone_here_at_once_and_elsewhere_when_that_is_heard(
        self, two: Two, change: dict[str, Any]
    ) -> None:
        one, other = two
        gone = first_of(one.reco, "ann")
        assert gone in shown(other)
        one.change(str(gone), **change)

        assert one.reco.items_changed([gone])

        assert gone not in shown(one.reco)
        read_feed(one, one.reco, other)
        assert gone not in shown(one.reco)
        assert gone not in shown(other)

    def test_a_process_that_catches_up_knows_it_at_once(self, two: Two) -> None:
        one, other = two
        gone = first_of(one.reco, "ann")
        one.change(str(gone), is_published=False)
        one.reco.items_changed([gone])

        other.catch_up()

        assert gone not in shown(other)

    def test_between_a_host_s_commit_and_its_being_heard_it_is_gone_already(self, two: Two) -> None:
        one, _ = two
        gone = first_of(one.reco, "ann")
        # As with a connection: the feed has it when that is committed.
        invalidator_of(one.reco).items.note_changed([gone])
        assert gone in shown(one.reco)

        one.change(str(gone), is_published=False)

        assert gone not in shown(one.reco)

    def test_an_earlier_change_that_is_heard_says_nothing_of_a_later_one(self) -> None:
        one = shop()
        warm(one)
        gone = first_of(one.reco, "ann")
        one.reco.items_changed([gone])
        invalidator_of(one.reco).items.note_changed([gone])
        read_feed(one, one.reco)

        one.change(str(gone), is_published=False)

        assert gone not in shown(one.reco)

    def test_nor_do_cards_that_were_read_before_it(self) -> None:
        one = shop()
        warm(one)
        gone = first_of(one.reco, "ann")
        one.another().items_changed([gone])
        catalog: Any = one.stores["catalog"].port

        class Meanwhile:
            """The catalogue, while which is read the item is withdrawn."""

            def __getattr__(self, name: str) -> Any:
                return getattr(catalog, name)

            def cards(self, *args: Any, **named: Any) -> Any:
                one.stores["catalog"].port = catalog
                found = catalog.cards(*args, **named)
                one.passes(TICK)
                one.change(str(gone), is_published=False)
                one.reco.items_changed([gone])
                return found

        one.stores["catalog"].port = Meanwhile()
        one.passes(SECOND)
        invalidator_of(one.reco).read_if_due()

        assert gone not in shown(one.reco)

    def test_what_is_never_committed_costs_reading_it_for_a_minute_or_two(self) -> None:
        one = shop()
        warm(one)
        first = first_of(one.reco, "ann")
        invalidator_of(one.reco).items.note_changed([first])
        one.calls()

        one.reco.as_user("ann").homepage()
        assert one.calls()["catalog.cards"] == 1
        for _ in range(2):
            one.passes(MINUTE)
            one.reco.as_user("ann").homepage()
            settle(one.reco)
        one.passes(SECOND)
        one.calls()
        one.reco.as_user("ann").homepage()

        assert one.calls()["catalog.cards"] == 0

    def test_a_moved_end_counts_at_once(self, two: Two) -> None:
        one, other = two
        first = first_of(one.reco, "ann")
        one.change(str(first), ends_at=NOW + MINUTE)
        one.reco.items_changed([first])
        read_feed(one, one.reco, other)
        assert first in shown(one.reco) & shown(other)

        one.passes(MINUTE - SECOND)

        assert first not in shown(one.reco) | shown(other)

    def test_one_that_comes_back_is_shown_again(self, two: Two) -> None:
        one, other = two
        first = first_of(one.reco, "ann")
        for is_published in (False, True):
            one.change(str(first), is_published=is_published)
            one.reco.items_changed([first])
            read_feed(one, one.reco, other)
            assert (first in shown(one.reco), first in shown(other)) == (is_published,) * 2

    def test_the_open_items_that_are_read_later_take_the_place_of_what_was_told(self) -> None:
        one = shop()
        warm(one)
        first = first_of(one.reco, "ann")
        one.reco.items_changed([first])
        read_feed(one, one.reco)
        changed = invalidator_of(one.reco).items.changed
        assert len(changed) == 1

        for _ in range(3):
            one.passes(MINUTE + TICK)
            one.reco.anonymous.popular_items()
            settle(one.reco)

        assert len(changed) == 0

    @pytest.mark.parametrize("is_from_feed", [True, False])
    def test_older_open_items_do_not_bring_one_back(self, is_from_feed: bool) -> None:
        one = shop()
        warm(one)
        gone = first_of(one.reco, "ann")
        # Too old by then to be shown, but on error.
        one.passes(3 * MINUTE)
        one.change(str(gone), is_published=False)
        if is_from_feed:
            one.another().items_changed([gone])
        else:
            # As with a connection, whose commit takes longer than a minute to be heard.
            invalidator_of(one.reco).items.note_changed([gone])
            one.passes(MINUTE)
        invalidator_of(one.reco).read()
        one.stores["catalog"].error = StorageUnavailableError()

        homepage, popular = one.reco.as_user("ann").homepage(), one.reco.anonymous.popular_items(50)

        assert gone not in {*ids_of(homepage), *ids_of(popular)}
        assert "items" in homepage.degraded_by
        assert len(homepage) > 0

    def test_nor_do_those_that_were_being_read_when_it_was_heard(self) -> None:
        one = shop()
        gone = first_of(one.plain(), "ann")
        invalidator_of(one.reco).read()
        catalog: Any = one.stores["catalog"].port

        class Meanwhile:
            """The catalogue, right after the open items of which it is withdrawn and told."""

            def __getattr__(self, name: str) -> Any:
                return getattr(catalog, name)

            def open_cards(self, *args: Any, **named: Any) -> Any:
                found = catalog.open_cards(*args, **named)
                one.stores["catalog"].port = catalog
                one.passes(TICK)
                one.change(str(gone), is_published=False)
                one.another().items_changed([gone])
                invalidator_of(one.reco).read()
                return found

        one.stores["catalog"].port = Meanwhile()
        one.reco.anonymous.popular_items()
        settle(one.reco)

        assert gone not in shown(one.reco)

    def test_that_reading_failed_once_says_nothing_hours_later(self) -> None:
        one = shop()
        warm(one)
        gone, other = first_of(one.reco, "ann"), one.another()
        one.passes(MINUTE + SECOND)
        one.stores["catalog"].error = StorageUnavailableError()
        one.reco.as_user("ann").homepage()
        settle(one.reco)
        one.stores["catalog"].error = None
        one.passes(4 * HOUR)
        one.change(str(gone), is_published=False)
        other.items_changed([gone])
        one.passes(2 * HOUR)
        feed_of(one).prune(older_than=HOUR)

        page = one.reco.as_user("ann").homepage()

        assert gone not in ids_of(page)
        assert page.degraded_by == ()

    def test_one_told_of_again_and_again_is_read_once_more(self) -> None:
        one = shop()
        warm(one)
        first = first_of(one.reco, "ann")
        for _ in range(3):
            one.reco.items_changed([first])
        read_feed(one, one.reco)
        one.calls()

        one.reco.as_user("ann").homepage()

        assert one.calls()["catalog.cards"] == 0

    def test_very_many_have_all_open_ones_be_read_again(self) -> None:
        one = shop()
        warm(one)
        many = [f"item-{number}" for number in range(30_000)]

        assert one.reco.items_changed([*many, "art-01"])

        invalidator = invalidator_of(one.reco)
        assert invalidator.open_items.known() is None
        assert len(invalidator.items.changed) == 0
        read_feed(one, one.reco)
        assert len(invalidator.items.changed) <= 20_000
        assert "art-02" in shown(one.reco)

    def test_where_they_cannot_be_read_those_told_of_are_left_out_and_it_says_so(self) -> None:
        one = shop()
        warm(one)
        first = first_of(one.reco, "ann")
        one.reco.items_changed([first])
        one.fails(StorageUnavailableError())

        page = one.reco.as_user("ann").homepage()

        assert first not in ids_of(page)
        assert "items" in page.degraded_by
        assert len(page) > 0


class TestNewItems:
    def test_one_gets_its_similar_items_and_enters_the_lists_of_these(self, two: Two) -> None:
        one, other = two
        for reco in (one.reco, other):
            reco.system.run_job(SIMILAR_JOB)
        read_feed(one, one.reco, other)
        warm(one)
        one.market.add_item(lot("new", "books", listed=0))

        one.reco.items_changed(["new"])
        read_feed(one, one.reco, other)
        run_requests(one.reco)
        read_feed(one, one.reco, other)

        stored = one.reco.system.stored.find_similar_items("new")
        assert stored is not None
        nearest: list[Any] = [line.item_id for line in stored.lines]
        assert nearest[:3] == ["books-01", "books-02", "books-03"]
        for reco in (one.reco, other):
            lists = [reco.system.stored.find_similar_items(item) for item in nearest]
            assert all(
                kept and ItemId("new") in [line.item_id for line in kept.lines] for kept in lists
            )
            assert ids_of(reco.anonymous.similar_items("books-01"))[2] == "new"
            assert ids_of(reco.anonymous.similar_items("new"))[0] == "books-01"

    @pytest.mark.parametrize(
        ("change", "is_recomputed"),
        [
            ({"title": "another"}, True),
            ({"category_id": "books"}, True),
            ({"starting_price": 7}, True),
            ({"ends_at": NOW + DAY}, False),
            ({}, False),
        ],
    )
    def test_one_is_compared_with_what_was_known(
        self, change: dict[str, Any], is_recomputed: bool
    ) -> None:
        one = shop()
        warm(one)
        values = {**change}
        if "starting_price" in values:
            values["starting_price"] = Decimal(7)
        one.change("art-05", **values)
        one.reco.items_changed(["art-05"])

        read_feed(one, one.reco)

        assert (requested(one.reco) == ["art-05"]) is is_recomputed

    def test_one_is_compared_once_with_what_was_known(self) -> None:
        one = shop()
        warm(one)
        one.change("art-05", title="another")
        one.reco.items_changed(["art-05"])
        read_feed(one, one.reco)
        run_requests(one.reco)

        one.change("art-05", ends_at=NOW + DAY)
        one.another().items_changed(["art-05"])
        read_feed(one, one.reco)

        assert requested(one.reco) == []

    def test_what_a_process_tells_first_of_all_it_hears_itself(self) -> None:
        one = shop()
        one.market.add_item(lot("new"))
        one.reco.items_changed(["new"])

        read_feed(one, one.reco)

        assert requested(one.reco) == ["new"]

    def test_bids_recompute_nothing(self) -> None:
        one = shop()
        warm(one)
        one.plain().bid_placed("eve", "art-05", amount=Decimal(500))
        one.reco.items_changed(["art-05"])

        read_feed(one, one.reco)

        assert requested(one.reco) == []

    def test_of_very_many_all_are_made_at_once(self) -> None:
        one = shop()
        warm(one)
        new = [lot(f"new-{number:03}", listed=0) for number in range(60)]
        for item in new:
            one.market.add_item(item)
        one.reco.items_changed([item.item_id for item in new])

        read_feed(one, one.reco)

        assert requested(one.reco) == [None]

    def test_where_the_ledger_does_not_answer_it_is_tried_again(self) -> None:
        one = shop()
        warm(one)
        one.market.add_item(lot("new", listed=0))
        one.reco.items_changed(["new"])
        one.stores["ledger"].error = StorageUnavailableError()
        read_feed(one, one.reco)
        one.stores["ledger"].error = None
        assert requested(one.reco) == []

        read_feed(one, one.reco)

        assert requested(one.reco) == ["new"]


def requested(reco: Recommender) -> list[object]:
    """Return for which items runs wait, None for all of them."""
    known = reco.ports.ledger.open([SIMILAR_JOB], back=DAY)
    return [run.key.values.get("item_id") for run in known.runs if run.state is RunState.DUE]


def run_requests(reco: Recommender) -> None:
    """Do what waits, as whoever works does."""
    runs = reco._use_cases.runs
    for run_request in runs.due():
        if run_request.key.arguments:
            assert runs.begin(run_request, stop=Event())


class TestEngagement:
    @pytest.mark.parametrize("event", ["bid_placed", "watched"])
    def test_what_a_user_engages_with_leaves_their_homepage_at_once_everywhere(
        self, two: Two, event: str
    ) -> None:
        one, other = two
        first = first_of(one.reco, "ann")

        # As a host tells of it whose transaction is not committed yet.
        mapped = without_recorder(one)
        assert getattr(mapped, event)("ann", first)

        assert first not in ids_of(mapped.as_user("ann").homepage())
        read_feed(one, other)
        assert first not in ids_of(other.as_user("ann").homepage())
        assert first in ids_of(other.as_user("eve").homepage(limit=40))
        mapped.close()

    def test_when_it_is_not_stored_within_a_minute_it_comes_back(self) -> None:
        one = shop()
        mapped = without_recorder(one)
        first = first_of(mapped, "ann")
        mapped.bid_placed("ann", first)
        assert first not in ids_of(mapped.as_user("ann").homepage())

        one.passes(MINUTE)
        mapped.anonymous.popular_items()
        settle(mapped)

        assert first in ids_of(mapped.as_user("ann").homepage())
        assert invalidator_of(mapped).unconfirmed == 1
        assert len(invalidator_of(mapped).pending) == 0

    @pytest.mark.parametrize("cache_enabled", [True, False])
    def test_where_nobody_asks_for_anything_they_are_let_go_of_too(
        self, cache_enabled: bool
    ) -> None:
        one = shop(Settings(cache_enabled=cache_enabled))
        pending = one.reco._use_cases.shelves.pending
        for number in range(5):
            one.reco.bid_placed("ann", f"art-{number:02}")
            one.passes(MINUTE)

        assert len(pending) == 1

    def test_without_a_cache_it_comes_back_too(self) -> None:
        one = shop(Settings(cache_enabled=False))
        first = first_of(one.reco, "eve")
        one.reco._use_cases.shelves.pending.watch(UserId("eve"), first)
        assert first not in ids_of(one.reco.as_user("eve").homepage())

        one.passes(MINUTE)

        assert first in ids_of(one.reco.as_user("eve").homepage())

    def test_one_that_is_stored_is_confirmed(self) -> None:
        one = shop()
        first = first_of(one.reco, "ann")
        one.reco.bid_placed("ann", first)

        one.passes(MINUTE)
        one.reco.anonymous.popular_items()
        settle(one.reco)

        assert invalidator_of(one.reco).unconfirmed == 0
        assert first not in ids_of(one.reco.as_user("ann").homepage())

    def test_the_end_of_a_watch_lets_an_item_back(self, two: Two) -> None:
        one, other = two
        first = first_of(one.reco, "eve")
        one.reco.watched("eve", first)
        read_feed(one, other)
        assert first not in ids_of(other.as_user("eve").homepage())
        settle(other)  # What it computed is stored behind, at the moment of the run below.

        assert one.reco.unwatched("eve", first)

        # A stored list that was made meanwhile has no place for it.
        one.reco.system.run_job(PERSONAL_JOB)
        one.passes(MINUTE)
        read_feed(one, one.reco, other)
        for reco in (one.reco, other):
            reco.as_user("eve").homepage()
            settle(reco)
            assert first in ids_of(reco.as_user("eve").homepage())

    def test_after_a_bid_it_counts_before_it_is_committed_and_not_twice_then(self) -> None:
        one = shop()
        mapped = without_recorder(one)
        before = mapped.as_user("eve").after_bid("books-02", assume_bid=True)

        mapped.bid_placed("eve", "books-02")
        told = mapped.as_user("eve").after_bid("books-02")
        one.plain().bid_placed("eve", "books-02", at=NOW)
        stored = mapped.as_user("eve").after_bid("books-02")

        assert list(told) == list(stored) == list(before)
        assert told[0].contributions["interest"] > 0

    def test_one_of_long_ago_or_from_the_future_is_taken(self) -> None:
        one = shop()
        for at in (NOW - 36_500 * DAY, NOW + 36_500 * DAY):
            assert one.reco.bid_placed("eve", "art-07", at=at)
            assert "art-07" not in ids_of(one.reco.as_user("eve").homepage())
            assert len(one.reco.as_user("eve").after_bid("art-07")) > 0

    def test_while_the_database_fails_a_bidder_keeps_their_page_without_it(self) -> None:
        one = shop()
        with one.reco:
            one.reco.start(scheduler=None)
            assert comes_true(partial(reads_feed, one.reco))
            warm(one)
            first = first_of(one.reco, "ann")
            one.reco.watched("ann", first)
            read_feed(one, one.reco)
            warm(one)
            invalidator = invalidator_of(one.reco)
            one.fails(StorageUnavailableError())
            invalidator.read()
            one.passes(2 * MINUTE)
            invalidator.read()

            page = one.reco.as_user("ann").homepage()

            assert first not in ids_of(page)
            assert "list" not in page.degraded_by

    def test_of_unknown_users_and_items_nothing_comes(self) -> None:
        one = shop()
        warm(one)
        for user, item in (("nobody", "art-01"), ("ann", "nothing"), ("nobody", "nothing")):
            assert not one.reco.bid_placed(user, item)
            assert not one.reco.watched(user, item)
            assert not one.reco.unwatched(user, item)
        assert one.reco.items_changed(["nothing"])
        read_feed(one, one.reco)

        assert len(one.reco.as_user("ann").homepage()) > 0
        assert requested(one.reco) == []


def without_recorder(one: CachingShop) -> Recommender:
    """Return another process, of a host that stores bids and watches itself, later."""
    return Recommender(attrs.evolve(one.ports, recorder=None), one.settings)


class TestGaps:
    def test_after_one_everything_counts_as_stale(self) -> None:
        one = shop()
        warm(one)
        one.passes(SECOND)
        one.reco.anonymous.popular_items()
        told = one.another()
        told.items_changed(["art-01"])
        one.stores["changes"].port.prune(older_than=timedelta())  # type: ignore[attr-defined]  # a feed
        one.passes(SECOND)

        shown = [ASK[surface](one.reco).freshness for surface in ("popular_items", "similar_items")]

        assert shown == [STALE, STALE]
        settle(one.reco)
        assert ASK["similar_items"](one.reco).freshness is FRESH

    def test_after_one_pages_of_users_are_dropped_and_other_lists_stay(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        one = shop()
        warm(one)
        read_feed(one, one.reco)
        cache, of_ann = invalidator_of(one.reco).lists, (ListKind.PERSONAL.value, "ann")
        of_item = (ListKind.SIMILAR.value, "liked")
        assert cache.held(of_ann) is not None
        one.another().items_changed(["art-01"])
        feed_of(one).prune(older_than=timedelta())
        one.passes(SECOND)

        invalidator_of(one.reco).read_if_due()

        # Of users who were erased meanwhile nothing may be shown.
        assert cache.held(of_ann) is None
        assert cache.held(of_item) is not None
        assert "changes missed: dropped=1" in caplog.messages

    def test_after_the_first_look_pages_of_users_are_dropped_and_other_lists_stay(self) -> None:
        one = shop()
        one.stores["changes"].error = StorageUnavailableError()
        warm(one)
        cache, of_ann = invalidator_of(one.reco).lists, (ListKind.PERSONAL.value, "ann")
        of_item = (ListKind.SIMILAR.value, "liked")
        assert cache.held(of_ann) is not None
        one.stores["changes"].error = None
        one.passes(SECOND)

        invalidator_of(one.reco).read_if_due()

        assert cache.held(of_ann) is None
        assert cache.held(of_item) is not None

    def test_what_was_read_before_the_first_look_succeeded_counts_as_stale(self) -> None:
        one = shop()
        one.stores["changes"].error = StorageUnavailableError()
        warm(one)
        assert cursor_of(one.reco) is None
        one.stores["changes"].error = None
        one.passes(SECOND)

        assert ASK["similar_items"](one.reco).freshness is STALE
        settle(one.reco)
        assert cursor_of(one.reco) is not None


class TestErasure:
    def test_a_user_is_forgotten_in_every_memory(self, two: Two) -> None:
        one, other = two
        for reco in (one.reco, other):
            reco.watched("ann", "art-03")
        read_feed(one, one.reco, other)
        for reco in (one.reco, other):
            reco.as_user("ann").homepage()

        one.reco.system.erase_user("ann")
        read_feed(one, one.reco, other)

        for reco in (one.reco, other):
            invalidator = invalidator_of(reco)
            assert invalidator.lists.get((ListKind.PERSONAL.value, "ann")) is None
            assert invalidator.pending.hidden_from(UserId("ann")) == frozenset()

    def test_within_a_minute_the_feed_has_forgotten_them_too(self) -> None:
        one = shop()
        warm(one)
        one.reco.bid_placed("ann", "art-03")
        one.reco.bid_placed("eve", "art-03")
        one.reco.system.erase_user("ann")
        read_feed(one, one.reco)
        before = users_in_feed(one)
        for _ in range(40):
            read_feed(one, one.reco)

        # The erasure itself names the user, until every process has read it.
        assert before == ["eve", "ann"]
        assert users_in_feed(one) == ["eve"]

    def test_so_it_has_if_they_were_erased_before_the_first_look(self) -> None:
        one = shop(Settings(cache_enabled=False))
        one.reco.system.erase_user("ann")
        other = Recommender(one.ports, Settings())
        read_feed(one, other)
        before = users_in_feed(one)
        for _ in range(40):
            read_feed(one, other)

        assert before == ["ann"]
        assert users_in_feed(one) == []

    def test_so_it_has_if_the_erasure_is_within_a_gap(self) -> None:
        one = shop()
        warm(one)
        read_feed(one, one.reco)
        # A while later, as the first look has a pruning of its own.
        for _ in range(40):
            read_feed(one, one.reco)
        one.reco.bid_placed("ann", "art-03")
        pending = one.reco._use_cases.events.pending
        assert pending.hidden_from(UserId("ann"))
        one.another().items_changed(["art-01"])
        feed_of(one).prune(older_than=timedelta())
        one.plain().system.erase_user("ann")
        read_feed(one, one.reco)
        assert not pending.hidden_from(UserId("ann"))
        before = users_in_feed(one)
        for _ in range(40):
            read_feed(one, one.reco)

        assert before == ["ann"]
        assert users_in_feed(one) == []

    def test_what_could_not_be_forgotten_is_soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        one = shop()
        warm(one)
        feed, tries = feed_of(one), list[float]()
        prune = feed.prune

        def fail_once(**named: Any) -> int:
            tries.append(one.clock.monotonic())
            if len(tries) == 1:
                raise StorageUnavailableError
            return int(prune(**named))

        one.reco.system.erase_user("ann")
        read_feed(one, one.reco)
        monkeypatch.setattr(feed, "prune", fail_once)
        for _ in range(50):
            read_feed(one, one.reco)

        assert len(tries) == 2
        assert tries[1] - tries[0] == 5.0
        assert "ann" not in str(feed._published)

    def test_without_memory_it_goes_with_the_runs(self) -> None:
        one = shop(Settings(cache_enabled=False))
        one.reco.items_changed(["art-01"])
        one.passes(4 * HOUR)

        one.reco.system.run_job(PERSONAL_JOB, scheduled=True)

        assert "art-01" not in str(feed_of(one)._published)

    def test_so_it_has_of_those_who_were_erased_one_soon_after_the_other(self) -> None:
        one = shop()
        warm(one)
        for user in ("ann", "eve"):
            one.reco.system.erase_user(user)
            for _ in range(25):
                read_feed(one, one.reco)
        before = users_in_feed(one)
        for _ in range(35):
            read_feed(one, one.reco)

        assert before == ["ann", "eve"]
        assert users_in_feed(one) == []


class TestReadingTheFeed:
    def test_a_process_is_asked_at_most_once_a_second(self) -> None:
        one = shop()
        warm(one)
        for _ in range(50):
            ASK["homepage"](one.reco)
        assert one.calls() == {}
        one.passes(SECOND)
        for _ in range(50):
            ASK["homepage"](one.reco)

        assert one.calls() == {"changes.since": 1}

    def test_a_call_does_not_wait_while_another_one_looks(self) -> None:
        one = shop()
        warm(one)
        one.passes(SECOND)
        invalidator = invalidator_of(one.reco)
        looking = Thread(target=invalidator.read_if_due, daemon=True)

        with invalidator._lock:
            looking.start()
            looking.join(20)
            is_waiting = looking.is_alive()

        assert not is_waiting
        assert one.calls() == {}

    def test_a_defect_is_logged_and_reading_goes_on(self, caplog: pytest.LogCaptureFixture) -> None:
        one = shop()
        one.reco.start(scheduler=None)
        assert comes_true(lambda: cursor_of(one.reco) is not None)
        one.stores["changes"].error = ValueError("ours")
        feed_of(one).publish([Change(kind=ChangeKind.FORGET)])
        assert comes_true(lambda: "changes not followed: error=ValueError" in caplog.text)
        one.stores["changes"].error = None
        warm(one)
        first = first_of(one.reco, "ann")
        one.change(str(first), is_published=False)

        one.another().items_changed([ItemId(first)])

        assert comes_true(lambda: first not in ids_of(one.reco.as_user("ann").homepage()))
        one.reco.close()

    def test_one_that_nobody_needs_any_more_ends(self) -> None:
        one = shop(Settings())
        reco = one.another()
        reco.start(scheduler=None)
        invalidator = invalidator_of(reco)
        assert comes_true(partial(reads_feed, reco))
        ended = weakref.ref(reco)
        del reco, invalidator

        def is_over() -> bool:
            gc.collect()
            return ended() is None

        assert comes_true(is_over)

    def test_it_begins_once_and_ends_with_stop(self) -> None:
        one = shop()
        for _ in range(3):
            one.reco.start(scheduler=None)
        settle(one.reco)
        invalidator = invalidator_of(one.reco)
        assert invalidator.is_started
        one.reco.stop()
        assert comes_true(lambda: not invalidator._pool.is_busy)
        one.calls()
        sleep(1.5)

        assert not invalidator.is_started
        assert one.calls()["changes.since"] == 0

    @pytest.mark.parametrize("is_on_a_loop", [True, False])
    def test_without_a_thread_answers_come_from_memory_and_later_ones_know(
        self, is_on_a_loop: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one = shop()
        warm(one)
        first = first_of(one.reco, "ann")
        one.change(str(first), is_published=False)
        other = one.another()
        other.items_changed([first])
        one.reco.system.erase_user("eve")
        # Each prunes at its first look, behind: by a later clock that would be of the erasure.
        settle(one.reco, other)

        def homepage() -> Shelf:
            if is_on_a_loop:
                with from_memory_alone({}):
                    return one.reco.as_user("ann").homepage()
            return one.reco.as_user("ann").homepage()

        def refuse(work: object) -> NoReturn:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as without_threads:
            pool = invalidator_of(one.reco).open_items.stale_cache.pool
            without_threads.setattr(pool, "submit", refuse)
            for _ in range(40):
                one.passes(SECOND)
                page = homepage()
        # A loop waits for nothing; a call looks itself, and only pruning is left to a thread.
        assert len(page) > 0
        assert (first in ids_of(page)) is is_on_a_loop
        assert users_in_feed(one) == ["eve"]
        for _ in range(7):
            one.passes(SECOND)
            with suppress(NotInMemoryError):  # Where what is read behind was faster.
                homepage()
            settle(one.reco)
        assert first not in ids_of(one.reco.as_user("ann").homepage())
        # The look that found the erasure comes 35 seconds before it is pruned.
        for _ in range(36):
            one.passes(SECOND)
            homepage()
            settle(one.reco)
        assert users_in_feed(one) == []

    def test_hours_later_it_has_forgotten_what_it_told(self) -> None:
        one = shop()
        warm(one)
        start = feed_of(one).now()
        one.reco.items_changed(["art-01"])
        for _ in range(7):
            one.passes(HOUR)
            one.reco.anonymous.popular_items()
            settle(one.reco)

        assert feed_of(one).since(start).has_gap
