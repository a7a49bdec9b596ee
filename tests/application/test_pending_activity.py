"""What users were just told to have done: for a minute, bounded, and of nobody else."""

import subprocess
import sys
from datetime import timedelta
from threading import Thread

import pytest

from angle_reco.application.serving.open_items import ChangedItems
from angle_reco.application.serving.pending_activity import PendingActivity
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.testing import ManualClock
from tests.application.shop import NOW, TICK, lot, opened

ANN, BOB = UserId("ann"), UserId("bob")
VASE, JAR = ItemId("vase"), ItemId("jar")
MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def pending(clock: ManualClock) -> PendingActivity:
    return PendingActivity(clock, most=4)


class TestPendingActivity:
    def test_a_bid_hides_its_item_from_the_bidder_alone(self, pending: PendingActivity) -> None:
        pending.bid(ANN, VASE, NOW)

        assert pending.hidden_from(ANN) == {VASE}
        assert pending.hidden_from(BOB) == pending.hidden_from(None) == frozenset()
        [bid] = pending.bids_of(ANN)
        assert (bid.user_id, bid.item_id, bid.placed_at) == (ANN, VASE, NOW)
        assert list(pending.bids_of(BOB)) == []

    def test_a_new_bid_is_not_of_an_item_that_returned(self, pending: PendingActivity) -> None:
        pending.bid(ANN, VASE, NOW)
        pending.withdrawn(ANN, [VASE, JAR])
        assert pending.returned_to(ANN) == {VASE, JAR}

        pending.bid(ANN, VASE, NOW + MINUTE)

        assert pending.returned_to(ANN) == {JAR}
        assert pending.hidden_from(ANN) == {VASE}

    def test_a_reset_of_a_user_forgets_what_returned_to_that_user_alone(
        self, pending: PendingActivity
    ) -> None:
        pending.withdrawn(ANN, [VASE])
        pending.withdrawn(BOB, [JAR])

        pending.reset(ANN)

        assert pending.returned_to(ANN) == frozenset()
        assert pending.returned_to(BOB) == {JAR}

    def test_the_oldest_of_many_that_returned_are_forgotten(self, pending: PendingActivity) -> None:
        items = [ItemId(item) for item in "abcde"]
        for item in items:
            pending.withdrawn(ANN, [item])

        assert pending.returned_to(ANN) == {*items[1:]}

    def test_a_withdrawal_leaves_a_watch_of_this_process(self, pending: PendingActivity) -> None:
        pending.watch(ANN, VASE)

        pending.withdrawn(ANN, [VASE])

        assert pending.hidden_from(ANN) == {VASE}

    def test_a_withdrawal_leaves_later_bids(self, pending: PendingActivity) -> None:
        pending.bid(ANN, VASE, NOW + MINUTE)
        pending.bid(ANN, JAR, NOW)

        pending.withdrawn(ANN, [VASE, JAR], until=NOW)

        assert pending.hidden_from(ANN) == {VASE}
        assert pending.returned_to(ANN) == {JAR}

    def test_the_end_of_a_watch_shows_what_is_not_bid_on(self, pending: PendingActivity) -> None:
        pending.watch(ANN, VASE)
        pending.watch(ANN, JAR)
        pending.bid(ANN, JAR, NOW)
        for item in (VASE, JAR):
            pending.watch(ANN, item, ends=True)

        assert pending.hidden_from(ANN) == {JAR}

    def test_what_is_heard_counts_less_than_what_was_told_here(
        self, pending: PendingActivity
    ) -> None:
        pending.watch(ANN, VASE, ends=True)
        pending.feed_has_shown(ANN, [VASE, JAR])

        assert pending.hidden_from(ANN) == {JAR}

    def test_after_a_minute_it_is_over_once(
        self, pending: PendingActivity, clock: ManualClock
    ) -> None:
        pending.bid(ANN, VASE, NOW)
        clock.advance(MINUTE - TICK)
        assert list(pending.drop_expired()) == []
        pending.bid(ANN, VASE, NOW)
        clock.advance(TICK)
        # The later one stands.
        assert list(pending.drop_expired()) == []
        assert len(pending) == 1
        clock.advance(MINUTE)

        [over] = pending.drop_expired()

        assert (over.user_id, over.item_id, over.at) == (ANN, VASE, NOW)
        assert (len(pending), pending.hidden_from(ANN)) == (0, frozenset())
        assert list(pending.drop_expired()) == []

    def test_a_withdrawal_is_over_after_a_minute(
        self, pending: PendingActivity, clock: ManualClock
    ) -> None:
        pending.withdrawn(ANN, [VASE])

        returned = []
        for passes in (MINUTE - TICK, TICK):
            clock.advance(passes)
            pending.drop_expired()
            returned.append(pending.returned_to(ANN))

        assert returned == [{VASE}, set()]

    def test_of_several_the_one_that_is_over_goes_and_the_rest_stay(
        self, pending: PendingActivity, clock: ManualClock
    ) -> None:
        pending.bid(ANN, VASE, NOW)
        clock.advance(MINUTE / 2)
        pending.bid(ANN, JAR, NOW + TICK)
        pending.watch(ANN, VASE)
        pending.bid(BOB, VASE, NOW)
        clock.advance(MINUTE / 2)

        over = pending.drop_expired()

        # The bid is over; the watch of the same item still hides it.
        assert [(one.user_id, one.item_id, one.at) for one in over] == [(ANN, VASE, NOW)]
        assert pending.hidden_from(ANN) == {VASE, JAR}
        assert [(one.item_id, one.placed_at) for one in pending.bids_of(ANN)] == [(JAR, NOW + TICK)]
        assert pending.hidden_from(BOB) == {VASE}
        assert len(pending) == 3
        clock.advance(MINUTE / 2)
        assert len(pending.drop_expired()) == 3
        assert (len(pending), pending.hidden_from(ANN)) == (0, frozenset())

    def test_of_too_many_of_one_user_the_oldest_goes_and_the_rest_stay(
        self, pending: PendingActivity
    ) -> None:
        items = [ItemId(f"item-{place}") for place in range(5)]
        for item in items:
            pending.bid(ANN, item, NOW)

        assert pending.hidden_from(ANN) == set(items[1:])
        assert [one.item_id for one in pending.bids_of(ANN)] == items[1:]
        assert len(pending) == 4

    def test_of_too_many_the_oldest_go(self, pending: PendingActivity) -> None:
        users = [UserId(f"user-{place}") for place in range(6)]
        for user in users:
            pending.bid(user, VASE, NOW)

        assert [user for user in users if pending.hidden_from(user)] == users[2:]
        assert len(pending) == len(pending._in_order) == 4

    def test_one_user_takes_no_more_than_a_thousand(self, clock: ManualClock) -> None:
        pending = PendingActivity(clock)
        for place in range(1_500):
            pending.bid(ANN, ItemId(f"item-{place}"), NOW)

        assert len(pending) == len(pending.hidden_from(ANN)) == 1_000

    def test_the_same_again_and_again_takes_no_more_room(self, pending: PendingActivity) -> None:
        for _ in range(1_000):
            pending.bid(ANN, VASE, NOW)

        assert len(pending) == 1
        assert len(pending._in_order) <= 9

    def test_a_forgotten_user_is_in_nothing(self, pending: PendingActivity) -> None:
        pending.bid(ANN, VASE, NOW)
        pending.bid(BOB, VASE, NOW)
        events = [pending.forget(ANN), pending.forget(ANN)]

        assert events == [1, 0]
        assert pending.hidden_from(ANN) == frozenset()
        assert (len(pending), set(pending.hidden_from(BOB))) == (1, {VASE})
        assert [one.user_id for one in pending._in_order] == [BOB]

    def test_everybody_is_forgotten_at_once(self, pending: PendingActivity) -> None:
        pending.bid(ANN, VASE, NOW)
        pending.watch(BOB, JAR)

        pending.clear()

        assert len(pending) == 0
        assert pending.hidden_from(ANN) == pending.hidden_from(BOB) == frozenset()
        pending.bid(ANN, VASE, NOW)
        assert len(pending) == 1
        assert pending.hidden_from(ANN) == {VASE}

    def test_threads_lose_nothing(self, clock: ManualClock) -> None:
        pending = PendingActivity(clock)

        def watch(first: int) -> None:
            for place in range(first, first + 200):
                pending.watch(ANN, ItemId(f"item-{place}"))

        threads = [Thread(target=watch, args=[200 * number]) for number in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()

        assert len(pending.hidden_from(ANN)) == len(pending) == 800

    def test_a_process_that_forks_off_has_a_lock_of_its_own(self) -> None:
        program = (
            "import os, signal, sys\n"
            "from angle_reco.application.serving.pending_activity import PendingActivity\n"
            "from angle_reco.testing import ManualClock\n"
            "one = PendingActivity(ManualClock())\n"
            "one.watch('ann', 'vase')\n"
            # As if another thread held it at that moment.
            "one._lock.acquire()\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    signal.alarm(20)\n"
            "    one.watch('ann', 'jar')\n"
            "    os._exit(0 if one.hidden_from('ann') == {'vase', 'jar'} else 1)\n"
            "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        )

        said = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
        )

        assert (said.returncode, said.stderr) == (0, "")


class TestChangedItems:
    def test_what_cannot_be_read_is_left_out(self, clock: ManualClock) -> None:
        changed = ChangedItems(clock)
        cards = opened_cards("vase", "jar")
        changed.note_changed([VASE], cards)

        def fail(_: object) -> dict[ItemId, ItemCard]:
            raise StorageUnavailableError

        shown, is_complete = changed.applied(
            cards,
            [VASE, JAR],
            live_since=0.0,
            read=fail,
        )

        assert (list(shown), is_complete) == ([JAR], False)

    def test_what_was_read_counts_until_the_open_items_are_newer(self, clock: ManualClock) -> None:
        changed, cards = ChangedItems(clock), opened_cards("vase")
        changed.read({VASE: None}, at=10.0)

        for since, card in ((9.0, None), (10.0, None), (11.0, cards[VASE])):
            assert changed.card(VASE, cards[VASE], since) == card
            changed.drop_expired(since)
        assert len(changed) == 0


def opened_cards(*items: str) -> dict[ItemId, ItemCard]:
    from angle_reco.testing import MemoryMarketplace

    reco = opened(MemoryMarketplace(items=[lot(one) for one in items]))
    return dict(reco.ports.catalog.cards([ItemId(one) for one in items], at=NOW))


@pytest.mark.parametrize("has_expired", [False, True])
def test_an_event_that_was_replaced_counts_again_until_it_expires(
    pending: PendingActivity, clock: ManualClock, has_expired: bool
) -> None:
    change = Change(kind=ChangeKind.ENGAGED, user_id=ANN, item_ids=(VASE,))
    pending.bid(ANN, VASE, NOW)
    clock.advance(MINUTE if has_expired else MINUTE - TICK)
    pending.bid(ANN, VASE, NOW, change=change)

    pending.rolled_back(change)

    assert pending.hidden_from(ANN) == (set() if has_expired else {VASE})


def test_an_event_that_was_rolled_back_after_it_was_replaced_counts_no_more(
    pending: PendingActivity,
) -> None:
    changes = [Change(kind=ChangeKind.ENGAGED, user_id=ANN, item_ids=(VASE,)) for _ in range(2)]
    for change in changes:
        pending.bid(ANN, VASE, NOW, change=change)

    hidden = []
    for change in changes:
        pending.rolled_back(change)
        hidden.append(pending.hidden_from(ANN))

    assert hidden == [{VASE}, set()]
