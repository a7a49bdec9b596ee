"""Items that changed: which are read by id, and whose card is newer than that in memory."""

from collections.abc import Collection, Mapping
from datetime import timedelta

import pytest

from angle_reco.application.serving.open_items import Before, ChangedItems
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import ItemId
from angle_reco.domain.items import ItemCard
from angle_reco.testing import ManualClock
from tests.application.shop import NOW, TICK

VASE, LAMP, CUP = ItemId("vase"), ItemId("lamp"), ItemId("cup")
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def card(item_id: ItemId, title: str = "old") -> ItemCard:
    return ItemCard(
        item_id=item_id,
        title=title,
        category_id=None,
        seller_id=None,
        price=None,
        is_published=True,
        status=AuctionStatus.ACTIVE,
        ends_at=None,
        listed_at=NOW,
    )


OLD, NEW = card(VASE), card(VASE, "new")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def changed(clock: ManualClock) -> ChangedItems:
    return ChangedItems(clock)


def is_read_by_id(changed: ChangedItems, item_id: ItemId = VASE) -> bool:
    """Return whether the card in memory is not enough, whatever it is."""
    return changed.card(item_id, card(item_id), 0.0) is None


class TestAnItemThatChangesHere:
    def test_is_read_by_id_until_its_change_is_read(self, changed: ChangedItems) -> None:
        before = is_read_by_id(changed)
        changed.note_changed([VASE], {})
        until_then = is_read_by_id(changed), is_read_by_id(changed, LAMP)
        changed.read({VASE: NEW}, at=0.0)

        assert (before, until_then) == (False, (True, False))
        assert changed.card(VASE, OLD, 0.0) is NEW
        assert len(changed) == 1

    def test_several_times_is_read_by_id_until_each_was_heard(self, changed: ChangedItems) -> None:
        for _ in range(5):
            changed.note_changed([VASE], {})

        unread = []
        for heard in (1, 2, 1, 1):
            changed.read({VASE: NEW}, at=0.0, times={VASE: heard})
            unread.append(is_read_by_id(changed))

        assert unread == [True, True, True, False]

    def test_is_heard_once_by_default(self, changed: ChangedItems) -> None:
        for _ in range(2):
            changed.note_changed([VASE], {})

        changed.read({VASE: NEW}, at=0.0)
        once = is_read_by_id(changed)
        changed.read({VASE: NEW}, at=0.0)

        assert (once, is_read_by_id(changed)) == (True, False)

    def test_may_be_heard_more_often_than_it_changed_here(self, changed: ChangedItems) -> None:
        changed.note_changed([VASE], {})

        changed.read({VASE: NEW}, at=0.0, times={VASE: 3})

        assert not is_read_by_id(changed)

    def test_after_its_card_began_to_be_read_is_read_by_id_still(
        self, changed: ChangedItems, clock: ManualClock
    ) -> None:
        clock.advance(SECOND)
        changed.note_changed([VASE, LAMP], {})
        at = clock.monotonic()

        changed.read({VASE: NEW}, at=at - TICK.total_seconds())
        changed.read({LAMP: card(LAMP)}, at=at)

        assert is_read_by_id(changed)
        assert not is_read_by_id(changed, LAMP)

    def test_that_one_is_too_new_does_not_stop_the_others(
        self, changed: ChangedItems, clock: ManualClock
    ) -> None:
        changed.note_changed([LAMP], {})
        clock.advance(SECOND)
        changed.note_changed([VASE], {})

        changed.read({VASE: NEW, CUP: card(CUP), LAMP: card(LAMP)}, at=0.0)

        assert [is_read_by_id(changed, one) for one in (VASE, CUP, LAMP)] == [True, False, False]
        assert len(changed) == 4

    def test_is_there_as_memory_had_it_at_first(
        self, changed: ChangedItems, clock: ManualClock
    ) -> None:
        changed.note_changed([VASE, LAMP], {VASE: OLD})
        changed.note_changed([CUP], None)
        clock.advance(SECOND)
        changed.note_changed([VASE, LAMP, CUP], {VASE: NEW, LAMP: card(LAMP), CUP: card(CUP)})

        assert changed.before([VASE, LAMP, CUP, ItemId("other")]) == {
            VASE: Before(OLD, 60.0),
            LAMP: Before(None, 60.0),
            CUP: Before(None, 60.0),
        }

    def test_is_no_longer_there_once_it_was_handled(self, changed: ChangedItems) -> None:
        changed.note_changed([VASE, LAMP], {VASE: OLD})

        changed.handled([CUP, VASE])

        assert changed.before([VASE, LAMP]).keys() == {LAMP}


class TestTheCardOfOneItem:
    def test_is_the_one_read_since_where_that_is_not_older(self, changed: ChangedItems) -> None:
        changed.read({VASE: NEW}, at=5.0)

        found = [changed.card(VASE, OLD, since) for since in (4.0, 5.0, 5.1)]

        assert found == [NEW, NEW, OLD]

    def test_is_none_of_an_item_that_is_gone(self, changed: ChangedItems) -> None:
        changed.read({VASE: None}, at=5.0)

        assert changed.card(VASE, OLD, 5.0) is None
        assert changed.card(VASE, OLD, 6.0) is OLD

    def test_is_the_one_in_memory_where_nothing_changed(self, changed: ChangedItems) -> None:
        assert changed.card(VASE, OLD, 0.0) is OLD
        assert changed.card(VASE, None, 0.0) is None


class TestTheCardsOfAnAnswer:
    def test_are_those_of_now(self, changed: ChangedItems) -> None:
        asked = list[Collection[ItemId]]()

        def read(item_ids: Collection[ItemId]) -> Mapping[ItemId, ItemCard]:
            asked.append(item_ids)
            return {one: card(one, "by id") for one in item_ids}

        older, gone = ItemId("older"), ItemId("gone")
        changed.read({VASE: NEW, gone: None}, at=5.0)
        changed.read({older: card(older, "older")}, at=4.9)
        changed.note_changed([LAMP], {})
        ids = [VASE, LAMP, CUP, older, gone, ItemId("unknown")]

        now, is_complete = changed.applied(
            {one: card(one) for one in (VASE, LAMP, CUP, older, gone)},
            ids,
            live_since=5.0,
            read=read,
        )

        titles = {one: found.title for one, found in now.items()}
        assert titles == {VASE: "new", LAMP: "by id", CUP: "old", older: "old"}
        assert (is_complete, [list(one) for one in asked]) == (True, [[LAMP]])

    def test_are_read_for_no_item_where_none_is_unread(self, changed: ChangedItems) -> None:
        changed.note_changed([LAMP], {})

        now, is_complete = changed.applied({VASE: OLD}, [VASE], live_since=0.0, read=_unavailable)

        assert (dict(now), is_complete) == ({VASE: OLD}, True)

    def test_are_fewer_where_those_that_changed_cannot_be_read(self, changed: ChangedItems) -> None:
        changed.note_changed([LAMP], {})

        now, is_complete = changed.applied(
            {VASE: OLD, LAMP: card(LAMP)}, [LAMP, VASE], live_since=0.0, read=_unavailable
        )

        assert (dict(now), is_complete) == ({VASE: OLD}, False)


def _unavailable(item_ids: Collection[ItemId]) -> Mapping[ItemId, ItemCard]:
    del item_ids
    raise StorageUnavailableError


class TestWhatIsOver:
    def test_are_cards_read_before_the_open_items(
        self, changed: ChangedItems, clock: ManualClock
    ) -> None:
        changed.read({VASE: NEW}, at=5.0)
        changed.read({LAMP: card(LAMP)}, at=4.9)

        changed.drop_expired(5.0)

        assert len(changed) == 1
        assert changed.card(VASE, OLD, 5.0) is NEW

    def test_are_cards_of_a_minute_ago_where_no_open_items_are_in_memory(
        self, changed: ChangedItems, clock: ManualClock
    ) -> None:
        changed.read({VASE: NEW}, at=0.0)
        counts = []
        for passes in (MINUTE, TICK):
            clock.advance(passes)
            changed.drop_expired(None)
            counts.append(len(changed))

        assert counts == [1, 0]

    def test_are_changes_of_a_minute_before_the_open_items_were_read(
        self, changed: ChangedItems, clock: ManualClock
    ) -> None:
        changed.note_changed([VASE], {})
        clock.advance(9 * MINUTE)

        unread = []
        for live_since in (59.9, 60.0):
            changed.drop_expired(live_since)
            unread.append(is_read_by_id(changed))

        assert unread == [True, False]

    def test_are_changes_of_a_minute_ago_where_no_open_items_are_in_memory(
        self, changed: ChangedItems, clock: ManualClock
    ) -> None:
        changed.note_changed([VASE], {})
        unread = []
        for passes in (MINUTE - TICK, TICK):
            clock.advance(passes)
            changed.drop_expired(None)
            unread.append(is_read_by_id(changed))

        assert unread == [True, False]

    @pytest.mark.parametrize("live_since", [None, 0.0])
    def test_is_what_was_in_memory_of_an_item_a_minute_ago(
        self, changed: ChangedItems, clock: ManualClock, live_since: float | None
    ) -> None:
        changed.note_changed([VASE], {VASE: OLD})
        kept = []
        for passes in (MINUTE - TICK, TICK):
            clock.advance(passes)
            changed.drop_expired(live_since)
            kept.append(list(changed.before([VASE])))

        assert kept == [[VASE], []]

    def test_is_everything_read_or_unread_once_the_open_items_are_read(
        self, changed: ChangedItems
    ) -> None:
        changed.note_changed([VASE], {VASE: OLD})
        changed.read({LAMP: None}, at=0.0)

        changed.clear()

        assert len(changed) == 0
        assert not is_read_by_id(changed)
        assert changed.card(LAMP, card(LAMP), 0.0) is not None
        assert changed.before([VASE]) == {VASE: Before(OLD, 60.0)}


def test_more_than_twenty_thousand_are_too_many(changed: ChangedItems) -> None:
    changed.note_changed(map(ItemId, range(10_000)), {})
    changed.read(dict.fromkeys(map(ItemId, range(10_000, 20_000))), at=0.0)
    at_most = changed.are_too_many

    changed.note_changed([VASE], {})

    assert (at_most, changed.are_too_many) == (False, True)
