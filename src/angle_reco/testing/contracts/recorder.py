"""The contract suite of `ActivityRecorder`."""

from datetime import UTC

import attrs
import pytest

from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.errors import InvalidValueError
from angle_reco.ports.activity import ActivityQueries, ActivityRecorder
from angle_reco.testing.contracts.activity_base import expected, seen
from angle_reco.testing.contracts.samples import (
    DAY,
    ELSEWHERE,
    HOUR,
    NOW,
    SUMMER,
    TICK,
    WINTER,
    EveryIdKind,
    Make,
    Sample,
)


@attrs.frozen(kw_only=True)
class RecordedActivity:
    """The port under test, and queries that read the recorded activity."""

    recorder: ActivityRecorder
    queries: ActivityQueries


class ActivityRecorderContract(EveryIdKind):
    """The promises of `ActivityRecorder`; a subclass overrides the fixture *make*."""

    @pytest.fixture
    def make(self, sample: Sample) -> Make[RecordedActivity]:
        """Return the factory of the port under test and its queries, with ids of `sample.ids`."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def activity(self, make: Make[RecordedActivity], sample: Sample) -> RecordedActivity:
        """Return the port under test with all users and items of the sample, without activity."""
        return make(users=sample.everyone, items=sample.everything)

    def test_a_bid_is_stored(self, activity: RecordedActivity, sample: Sample) -> None:
        bids = [
            sample.bid(0, 1, NOW + 2 * TICK, "19.9"),
            sample.bid(0, 0, NOW + TICK),
            sample.bid(0, 0, NOW.astimezone(ELSEWHERE), "0"),
        ]

        assert [activity.recorder.record_bid(bid) for bid in bids] == [True] * 3

        assert list(activity.queries.user_bids(sample.users[0])) == bids
        assert activity.queries.totals() == (3, 0)

    @pytest.mark.parametrize("amount", [None, "0", "12.34"])
    def test_recording_a_stored_bid_again_changes_nothing(
        self, activity: RecordedActivity, sample: Sample, amount: str | None
    ) -> None:
        bid = sample.bid(0, 0, NOW, amount)

        changed = [activity.recorder.record_bid(bid) for _ in range(3)]

        assert changed == [True, False, False]
        assert activity.queries.totals() == (1, 0)

    def test_equal_bids_are_recognised_across_scales_and_time_zones(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        changed = [
            activity.recorder.record_bid(sample.bid(0, 0, NOW, "2.50")),
            activity.recorder.record_bid(sample.bid(0, 0, NOW, "2.5")),
            activity.recorder.record_bid(sample.bid(0, 0, NOW.astimezone(ELSEWHERE), "2.5000")),
        ]

        assert changed == [True, False, False]

    def test_a_repeated_local_hour_is_two_different_hours(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        bids = [sample.bid(0, 0, at) for at in (SUMMER, WINTER, WINTER.astimezone(UTC), SUMMER)]
        watches = [sample.watch(0, 0, at) for at in (WINTER, SUMMER, WINTER)]

        assert [activity.recorder.record_bid(bid) for bid in bids] == [True, True, False, False]
        assert [activity.recorder.record_watch(one) for one in watches] == [True, True, False]

    def test_bids_that_differ_in_any_field_are_separate(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        bids = [
            sample.bid(0, 0, NOW, "1"),
            sample.bid(1, 0, NOW, "1"),
            sample.bid(0, 1, NOW, "1"),
            sample.bid(0, 0, NOW + TICK, "1"),
            sample.bid(0, 0, NOW, "1.0001"),
            sample.bid(0, 0, NOW, "0"),
            sample.bid(0, 0, NOW),
        ]

        assert [activity.recorder.record_bid(bid) for bid in bids] == [True] * len(bids)
        assert activity.queries.totals() == (len(bids), 0)

    def test_recording_keeps_stored_duplicates_of_a_bid(
        self, make: Make[RecordedActivity], sample: Sample
    ) -> None:
        bid = sample.bid(0, 0, NOW, "1")
        activity = make(users=sample.everyone, items=sample.everything, bids=[bid, bid])

        assert activity.recorder.record_bid(bid) is False
        assert activity.queries.totals() == (2, 0)

    @pytest.mark.parametrize("amount", ["-0.01", "NaN", "Infinity", "0.00001", "1e15"])
    def test_an_invalid_amount_is_refused(
        self, activity: RecordedActivity, sample: Sample, amount: str
    ) -> None:
        with pytest.raises(InvalidValueError, match="amount"):
            activity.recorder.record_bid(sample.bid(0, 0, NOW, amount))

        assert activity.queries.totals() == (0, 0)

    def test_a_bid_with_an_unknown_user_or_item_changes_nothing(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        user, item = sample.users[0], sample.items[0]
        bids = [
            Bid(user_id=sample.unknown_user, item_id=item, placed_at=NOW),
            Bid(user_id=user, item_id=sample.unknown_item, placed_at=NOW),
            Bid(user_id=sample.unknown_user, item_id=sample.unknown_item, placed_at=NOW),
        ]

        assert [activity.recorder.record_bid(bid) for bid in bids] == [False] * 3
        assert activity.queries.totals() == (0, 0)

    def test_bids_of_a_user_on_an_item_can_be_removed(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        users, items = sample.users, sample.items
        gone = [sample.bid(0, 0, NOW, "1"), sample.bid(0, 0, NOW + DAY), sample.bid(0, 0, NOW)]
        left: list[Bid | Watch] = [
            sample.bid(0, 1, NOW, "1"),
            sample.bid(1, 0, NOW, "1"),
            sample.watch(0, 0),
        ]
        for one in (*gone, *left):
            if isinstance(one, Bid):
                assert activity.recorder.record_bid(one)
            else:
                assert activity.recorder.record_watch(one)

        assert activity.recorder.remove_bids(users[0], items[0]) is True

        assert activity.recorder.remove_bids(users[0], items[0]) is False
        assert seen(activity.queries.interactions()) == expected(left)
        assert list(activity.queries.user_bids(users[0])) == left[:1]

    def test_bids_placed_after_until_are_not_removed(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        bids = [sample.bid(0, 0, NOW + TICK * tick, "1") for tick in (-1, 0, 1)]
        for one in bids:
            activity.recorder.record_bid(one)
        user, item = sample.users[0], sample.items[0]

        removed = [
            activity.recorder.remove_bids(user, item, until=until)
            for until in (NOW - DAY, NOW.astimezone(ELSEWHERE), NOW)
        ]

        assert removed == [False, True, False]
        assert list(activity.queries.user_bids(user)) == bids[2:]

    def test_a_bid_that_was_removed_can_be_placed_again(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        bid = sample.bid(0, 0, NOW, "1")
        activity.recorder.record_bid(bid)
        activity.recorder.remove_bids(sample.users[0], sample.items[0])

        assert activity.recorder.record_bid(bid) is True
        assert list(activity.queries.user_bids(sample.users[0])) == [bid]

    def test_without_bids_none_are_removed(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        activity.recorder.record_watch(sample.watch(0, 0))

        gone = [
            activity.recorder.remove_bids(sample.users[0], sample.items[0]),
            activity.recorder.remove_bids(sample.unknown_user, sample.items[0]),
            activity.recorder.remove_bids(sample.users[0], sample.unknown_item),
        ]

        assert gone == [False] * 3
        assert activity.queries.totals() == (0, 1)

    def test_a_watch_is_stored(self, activity: RecordedActivity, sample: Sample) -> None:
        watches = [sample.watch(0, 1, NOW + TICK), sample.watch(0, 0), sample.watch(0, 2)]

        assert [activity.recorder.record_watch(watch) for watch in watches] == [True] * 3

        assert list(activity.queries.user_watchlist(sample.users[0])) == watches
        assert activity.queries.totals() == (0, 3)

    def test_the_earliest_of_several_watches_is_stored(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        moments = [NOW, NOW, NOW + DAY, NOW - TICK, NOW, NOW.astimezone(ELSEWHERE) - HOUR]

        changed = [activity.recorder.record_watch(sample.watch(0, 0, at)) for at in moments]

        assert changed == [True, False, False, True, False, True]
        assert list(activity.queries.user_watchlist(sample.users[0])) == [
            sample.watch(0, 0, NOW - HOUR)
        ]
        assert seen(activity.queries.interactions()) == expected([sample.watch(0, 0, NOW - HOUR)])

    def test_a_watch_with_an_unknown_user_or_item_changes_nothing(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        user, item = sample.users[0], sample.items[0]
        watches = [
            Watch(user_id=sample.unknown_user, item_id=item, watched_at=NOW),
            Watch(user_id=user, item_id=sample.unknown_item, watched_at=NOW),
        ]

        assert [activity.recorder.record_watch(watch) for watch in watches] == [False] * 2
        assert activity.queries.totals() == (0, 0)

    def test_a_watch_can_be_removed(self, activity: RecordedActivity, sample: Sample) -> None:
        users, items = sample.users, sample.items
        for watch in (sample.watch(0, 0), sample.watch(0, 1), sample.watch(1, 0)):
            activity.recorder.record_watch(watch)
        activity.recorder.record_bid(sample.bid(0, 0))

        assert activity.recorder.remove_watch(users[0], items[0]) is True

        assert activity.recorder.remove_watch(users[0], items[0]) is False
        assert seen(activity.queries.interactions()) == expected(
            [sample.watch(0, 1), sample.watch(1, 0), sample.bid(0, 0)]
        )

    def test_a_removed_watch_can_be_recorded_again(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        activity.recorder.record_watch(sample.watch(0, 0, NOW))
        activity.recorder.remove_watch(sample.users[0], sample.items[0])

        assert activity.recorder.record_watch(sample.watch(0, 0, NOW + DAY)) is True
        assert list(activity.queries.user_watchlist(sample.users[0])) == [
            sample.watch(0, 0, NOW + DAY)
        ]

    def test_without_a_watch_none_is_removed(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        activity.recorder.record_bid(sample.bid(0, 0))

        gone = [
            activity.recorder.remove_watch(sample.users[0], sample.items[0]),
            activity.recorder.remove_watch(sample.unknown_user, sample.items[0]),
            activity.recorder.remove_watch(sample.users[0], sample.unknown_item),
        ]

        assert gone == [False] * 3

    def test_users_and_items_of_all_ids_are_distinguished(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        places = range(min(len(sample.users), len(sample.items)))
        happened: list[Bid | Watch] = []
        for place in places:
            bid, watch = sample.bid(place, place), sample.watch(place, place, NOW + TICK)
            assert activity.recorder.record_bid(bid)
            assert activity.recorder.record_watch(watch)
            happened += [bid, watch]

        assert activity.recorder.remove_watch(sample.users[3], sample.items[3])

        assert seen(activity.queries.interactions()) == expected(
            one for one in happened if one != sample.watch(3, 3, NOW + TICK)
        )
