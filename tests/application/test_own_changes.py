"""What a process published is not applied again when the feed shows it."""

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from angle_reco.application.serving.own_changes import OwnChanges
from angle_reco.application.serving.pending_activity import PendingActivity
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.testing import ManualClock
from tests.application.memories import shop, warm
from tests.application.shop import NOW, TICK, ids_of
from tests.application.test_between_processes import read_feed

ANN, BOB = UserId("ann"), UserId("bob")
VASE = ItemId("vase")
BID, WITHDRAWN = ChangeKind.ENGAGED, ChangeKind.WITHDRAWN
MINUTE = timedelta(minutes=1)


def change_of(kind: ChangeKind, user: UserId = ANN, item: ItemId = VASE) -> Change:
    return Change(kind=kind, user_id=user, item_ids=(item,))


class Process:
    """The pending activity of a process, and the feed that it shares with another."""

    def __init__(self) -> None:
        self.pending = PendingActivity(ManualClock(NOW))
        self.feed = list[ChangeKind]()
        self.of_another = set[ChangeKind]()
        # What the feed has shown, and what this process did that the feed has still to show.
        self.confirmed = False
        self.own = list[ChangeKind]()
        self.uncommitted = list[ChangeKind]()

    def does(self, kind: ChangeKind) -> Change:
        """Take an event in a transaction, which stays open."""
        if kind in self.of_another:
            # Which of two equal changes is an own one cannot be told.
            self.read()
        change = change_of(kind)
        if kind is BID:
            self.pending.bid(ANN, VASE, NOW, change=change)
        else:
            self.pending.withdrawn(ANN, [VASE], change=change)
        self.pending.own.note(change)
        self.own.append(kind)
        self.uncommitted.append(kind)
        return change

    def commit(self) -> None:
        """Commit all that is open."""
        self.feed += self.uncommitted
        self.uncommitted.clear()

    def another_does(self, kind: ChangeKind) -> None:
        """Have another process publish a change that equals none of this process's."""
        if kind not in self.own:
            self.feed.append(kind)
            self.of_another.add(kind)

    def read(self) -> None:
        """Read the feed, and apply it to what is pending and to what is expected."""
        for kind in self.feed:
            if kind is BID:
                self.pending.feed_has_shown(ANN, [VASE])
            else:
                self.pending.feed_has_shown_withdrawal(ANN, [VASE])
            if kind in self.own:
                self.own.remove(kind)
            self.confirmed = kind is BID
        self.feed.clear()
        self.of_another.clear()

    @property
    def hides(self) -> bool:
        """Return whether the pending activity hides the item."""
        return VASE in self.pending.hidden_from(ANN)

    @property
    def should_hide(self) -> bool:
        """Return whether it should: one's own unread changes come on top of the feed."""
        return self.own[-1] is BID if self.own else self.confirmed


STEPS = st.sampled_from(
    [
        *(("does", kind) for kind in (BID, WITHDRAWN)),
        *(("another_does", kind) for kind in (BID, WITHDRAWN)),
        ("commit", None),
        ("read", None),
    ]
)


@given(st.lists(STEPS, max_size=12))
@example([("does", WITHDRAWN), ("another_does", BID), ("read", None)])
@example([("does", BID), ("another_does", WITHDRAWN), ("read", None)])
def test_own_changes_that_the_feed_has_still_to_show_come_on_top_of_it(
    steps: list[tuple[str, ChangeKind | None]],
) -> None:
    process = Process()
    for name, kind in steps:
        step = getattr(process, name)
        step() if kind is None else step(kind)
        assert process.hides is process.should_hide, steps


@pytest.mark.parametrize("first", [BID, WITHDRAWN])
def test_a_later_event_in_an_open_transaction_outlasts_an_earlier_one_in_the_feed(
    first: ChangeKind,
) -> None:
    process = Process()
    process.does(first)
    process.commit()
    process.does(WITHDRAWN if first is BID else BID)

    process.read()

    assert process.hides is (first is WITHDRAWN)


def test_one_that_is_rolled_back_is_expected_no_more() -> None:
    process = Process()
    process.does(BID)
    process.commit()
    process.read()
    process.pending.rolled_back(process.does(WITHDRAWN))
    process.pending.bid(ANN, VASE, NOW)

    # Of another process.
    process.pending.feed_has_shown_withdrawal(ANN, [VASE])

    assert not process.hides


def test_one_that_was_read_is_expected_no_more() -> None:
    process = Process()
    process.does(WITHDRAWN)
    process.commit()
    process.read()
    process.another_does(BID)

    process.read()

    assert process.hides


@pytest.mark.parametrize("how", ["forget", "clear", "drop_expired"])
def test_they_go_with_all_that_is_pending(how: str) -> None:
    clock = ManualClock(NOW)
    pending = PendingActivity(clock)
    pending.own.note(change_of(BID))
    clock.advance(MINUTE)

    {
        "forget": lambda: pending.forget(ANN),
        "clear": pending.clear,
        "drop_expired": pending.drop_expired,
    }[how]()

    assert len(pending.own) == 0


@pytest.mark.parametrize("is_published", [True, False])
def test_one_that_the_feed_will_never_show_is_not_expected(is_published: bool) -> None:
    one = shop()
    other = one.another()
    if not is_published:
        warm(one)
    changes = one.stores["changes"]
    changes.error = StorageUnavailableError()
    if is_published:
        # Without a position in the feed the process does not read what it publishes now.
        warm(one)
        changes.error = None
    one.reco.bid_withdrawn("ann", "art-03")
    assert one.reco.system.stats().events_failed == (0 if is_published else 1)
    changes.error = None
    read_feed(one, one.reco)
    one.reco.bid_placed("ann", "art-03")
    read_feed(one, one.reco, other)

    other.bid_withdrawn("ann", "art-03")
    read_feed(one, one.reco)

    assert "art-03" in ids_of(one.reco.as_user("ann").homepage())


class TestOwnChanges:
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock(NOW)

    @pytest.fixture
    def own(self, clock: ManualClock) -> OwnChanges:
        return OwnChanges(clock, seconds=60, most=2)

    def test_as_many_count_as_were_published(self, own: OwnChanges) -> None:
        for _ in range(2):
            own.note(change_of(BID))

        assert [own.shown(BID, ANN, VASE) for _ in range(3)] == [True, True, False]
        assert len(own) == 0

    def test_others_do_not(self, own: OwnChanges) -> None:
        own.note(change_of(BID))

        assert not own.shown(WITHDRAWN, ANN, VASE)
        assert not own.shown(BID, BOB, VASE)
        assert not own.shown(BID, ANN, ItemId("jar"))
        assert own.has_unread(BID, ANN, VASE)

    def test_one_that_is_dropped_does_not_whichever_the_feed_has_shown(
        self, own: OwnChanges
    ) -> None:
        changes = [change_of(BID) for _ in range(2)]
        for change in changes:
            own.note(change)
        own.drop(change_of(BID))
        assert own.shown(BID, ANN, VASE)

        own.drop(changes[0])

        assert not own.has_unread(BID, ANN, VASE)

    def test_they_expire(self, own: OwnChanges, clock: ManualClock) -> None:
        own.note(change_of(BID))
        own.note(change_of(BID, BOB))
        clock.advance(MINUTE - TICK)
        own.note(change_of(BID))
        own.drop_expired()
        assert len(own) == 2
        clock.advance(TICK)
        own.drop_expired()
        assert not own.has_unread(BID, BOB, VASE)
        assert own.has_unread(BID, ANN, VASE)
        clock.advance(MINUTE)

        own.drop_expired()

        assert len(own) == 0

    def test_they_are_bounded_and_the_oldest_go_first(self, own: OwnChanges) -> None:
        for user in (ANN, BOB, UserId("eve")):
            own.note(change_of(BID, user))

        assert [own.has_unread(BID, user, VASE) for user in (ANN, BOB)] == [False, True]

    def test_of_equal_ones_the_last_hundred_count(self, own: OwnChanges) -> None:
        for _ in range(50):
            own.note(change_of(BID))
        assert own.shown(BID, ANN, VASE)
        for _ in range(60):
            own.note(change_of(BID))

        assert sum(own.shown(BID, ANN, VASE) for _ in range(200)) == 100

    @pytest.mark.parametrize("whose", ["of one user", "all"])
    def test_they_go(self, own: OwnChanges, whose: str) -> None:
        own.note(change_of(BID))
        own.note(change_of(BID, BOB))

        if whose == "all":
            own.clear()
        else:
            own.forget(ANN)

        assert not own.has_unread(BID, ANN, VASE)
        assert own.has_unread(BID, BOB, VASE) is (whose != "all")
