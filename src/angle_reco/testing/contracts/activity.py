"""What every `ActivityQueries` and `ActivityRecorder` promises."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Protocol, TypeAlias

import pytest

from angle_reco.domain import (
    Activity,
    Bid,
    Interactions,
    InvalidValueError,
    Watch,
    from_micros,
)
from angle_reco.ports import ActivityQueries, ActivityRecorder
from angle_reco.testing.contracts.samples import (
    DAY,
    ELSEWHERE,
    HOUR,
    NOW,
    TICK,
    EveryIdKind,
    Make,
    Sample,
)

After: TypeAlias = Callable[..., ActivityQueries]
"""Returns the port under test, after these bids and watches by known users on known items."""

_SPANS = [
    (None, None, [-2, -1, 0, 1, 2]),
    (NOW, None, [0, 1, 2]),
    (None, NOW, [-2, -1, 0]),
    (NOW - TICK, NOW + TICK, [-1, 0, 1]),
    (NOW, NOW, [0]),
    (NOW.astimezone(ELSEWHERE), (NOW + TICK).astimezone(ELSEWHERE), [0, 1]),
    (NOW + TICK, NOW - TICK, []),
    (NOW + DAY, None, []),
]
"""The borders of a span, and the ticks around NOW that lie in it."""


class ActivityQueriesContract(EveryIdKind):
    """The promises of `ActivityQueries`; a subclass says how to *make* one."""

    @pytest.fixture
    def make(self, sample: Sample) -> Make[ActivityQueries]:
        """Return what makes the port under test, with ids of `sample.ids`."""
        raise NotImplementedError

    @pytest.fixture
    def after(self, make: Make[ActivityQueries], sample: Sample) -> After:
        """Return what makes it with all users and items of the sample."""

        def after(*happened: Bid | Watch) -> ActivityQueries:
            return make(
                users=sample.everyone,
                items=sample.everything,
                bids=[one for one in happened if isinstance(one, Bid)],
                watches=[one for one in happened if isinstance(one, Watch)],
            )

        return after

    def test_interactions_are_all_bids_and_watches(self, after: After, sample: Sample) -> None:
        happened: list[Bid | Watch] = [
            sample.bid(0, 1, NOW),
            sample.bid(0, 1, NOW + TICK, "9.90"),
            sample.watch(0, 1, NOW),
            sample.watch(2, 0, NOW - DAY),
            sample.bid(1, 1, NOW.replace(year=9999)),
            sample.watch(1, 1, NOW.replace(year=1)),
        ]

        assert seen(after(*happened).interactions()) == expected(happened)

    def test_interactions_of_every_id_are_told_apart(self, after: After, sample: Sample) -> None:
        users, items = len(sample.users), len(sample.items)
        happened: list[Bid | Watch] = [
            sample.bid(place, place % items, NOW + TICK * place) for place in range(users)
        ]
        happened += [sample.watch(place % users, place) for place in range(items)]

        assert seen(after(*happened).interactions()) == expected(happened)

    def test_every_bid_counts_and_equal_ones_too(self, after: After, sample: Sample) -> None:
        happened = [
            *[sample.bid(0, 0, NOW, "5")] * 3,
            *[sample.bid(0, 0, NOW)] * 2,
            sample.bid(0, 0, NOW, "6"),
        ]
        activity = after(*happened)

        assert seen(activity.interactions()) == expected(happened)
        assert Counter(activity.user_bids(sample.users[0])) == Counter(happened)
        assert activity.totals() == (6, 0)

    @pytest.mark.parametrize(("since", "until", "ticks"), _SPANS)
    def test_a_span_of_interactions_includes_both_borders(
        self,
        after: After,
        sample: Sample,
        since: datetime | None,
        until: datetime | None,
        ticks: list[int],
    ) -> None:
        happened: list[Bid | Watch] = []
        for tick in range(-2, 3):
            at = NOW + TICK * tick
            happened += [sample.bid(0, 0, at), sample.watch(0, tick + 2, at)]

        found = seen(after(*happened).interactions(since=since, until=until))

        within = [NOW + TICK * tick for tick in ticks]
        assert found == expected(one for one in happened if moment_of(one) in within)

    def test_interactions_of_some_users(self, after: After, sample: Sample) -> None:
        happened: list[Bid | Watch] = [
            *(sample.bid(place, 0) for place in range(4)),
            *(sample.watch(place, 1) for place in range(4)),
        ]
        some = [sample.users[0], sample.users[2], sample.unknown_user, sample.users[0]]

        found = seen(after(*happened).interactions(users=sample.user_column(some)))

        assert found == expected(one for one in happened if one.user_id in some)

    def test_interactions_with_some_items(self, after: After, sample: Sample) -> None:
        happened: list[Bid | Watch] = [
            *(sample.bid(0, place) for place in range(4)),
            *(sample.watch(1, place) for place in range(4)),
        ]
        some = [sample.items[3], sample.items[1], sample.unknown_item, sample.items[1]]

        found = seen(after(*happened).interactions(items=sample.item_column(some)))

        assert found == expected(one for one in happened if one.item_id in some)

    def test_interactions_of_some_users_with_some_items_in_a_span(
        self, after: After, sample: Sample
    ) -> None:
        happened = [
            sample.bid(user, item, NOW + HOUR * hour)
            for user in range(2)
            for item in range(2)
            for hour in range(3)
        ]

        found = seen(
            after(*happened).interactions(
                since=NOW + HOUR,
                until=NOW + HOUR,
                users=sample.user_column(sample.users[:1]),
                items=sample.item_column(sample.items[1:2]),
            )
        )

        assert found == expected([sample.bid(0, 1, NOW + HOUR)])

    def test_users_and_items_with_odd_ids_are_found(self, after: After, sample: Sample) -> None:
        happened = [sample.bid(place, place) for place in range(len(sample.users[:13]))]
        activity = after(*happened)

        for bid in happened:
            by_user = activity.interactions(users=sample.user_column([bid.user_id]))
            by_item = activity.interactions(items=sample.item_column([bid.item_id]))

            assert seen(by_user) == seen(by_item) == expected([bid])

    def test_of_no_users_or_items_there_are_no_interactions(
        self, after: After, sample: Sample
    ) -> None:
        activity = after(sample.bid(0, 0), sample.watch(0, 0))

        assert seen(activity.interactions(users=sample.user_column([]))) == Counter()
        assert seen(activity.interactions(items=sample.item_column([]))) == Counter()

    def test_without_activity_there_are_no_interactions(
        self, make: Make[ActivityQueries], sample: Sample
    ) -> None:
        joined = Interactions.joined(sample.ids, make().interactions())

        assert (joined.users.kind, joined.items.kind) == (sample.ids.user, sample.ids.item)
        assert len(joined) == 0

    def test_many_users_may_be_asked_for_at_once(self, after: After, sample: Sample) -> None:
        activity = after(sample.bid(0, 0))
        many = sample.user_column([*[sample.unknown_user] * 40_000, sample.users[0]])

        assert seen(activity.interactions(users=many)) == expected([sample.bid(0, 0)])

    def test_a_users_bids_come_newest_first_and_those_of_one_moment_by_item(
        self, after: After, sample: Sample
    ) -> None:
        newest_first = [
            sample.bid(0, 0, NOW + TICK, "1"),
            *(sample.bid(0, item, NOW, "2.5") for item in range(len(sample.items))),
            sample.bid(0, 9, NOW - TICK),
            sample.bid(0, 3, NOW - DAY, "3"),
        ]
        shuffled = newest_first[1::2] + newest_first[::2][::-1]

        found = after(*shuffled, sample.bid(1, 0), sample.watch(0, 1)).user_bids(sample.users[0])

        assert list(found) == newest_first

    def test_an_amount_is_exact_and_may_be_unknown(self, after: After, sample: Sample) -> None:
        amounts = [None, "0", "0.0001", "0.1", "19.9000", "100000000000000", "99999999999999.9999"]
        bids = [sample.bid(0, 0, NOW - HOUR * age, amount) for age, amount in enumerate(amounts)]

        found = after(*bids).user_bids(sample.users[0])

        assert [bid.amount for bid in found] == [
            None if amount is None else Decimal(amount) for amount in amounts
        ]

    @pytest.mark.parametrize(("since", "until", "ticks"), _SPANS)
    def test_a_span_of_bids_includes_both_borders(
        self,
        after: After,
        sample: Sample,
        since: datetime | None,
        until: datetime | None,
        ticks: list[int],
    ) -> None:
        activity = after(*(sample.bid(0, 0, NOW + TICK * tick) for tick in range(-2, 3)))

        found = activity.user_bids(sample.users[0], since=since, until=until)

        assert [bid.placed_at for bid in found] == [NOW + TICK * tick for tick in reversed(ticks)]

    def test_a_watchlist_comes_newest_first_and_what_is_of_one_moment_by_item(
        self, after: After, sample: Sample
    ) -> None:
        newest_first = [
            sample.watch(0, 5, NOW + TICK),
            *(sample.watch(0, item) for item in range(len(sample.items)) if item not in (5, 2)),
            sample.watch(0, 2, NOW - TICK),
        ]
        shuffled = newest_first[1::2] + newest_first[::2][::-1]

        found = after(*shuffled, sample.watch(1, 0), sample.bid(0, 0)).user_watchlist(
            sample.users[0]
        )

        assert list(found) == newest_first

    @pytest.mark.parametrize(("since", "until", "ticks"), _SPANS)
    def test_a_span_of_a_watchlist_includes_both_borders(
        self,
        after: After,
        sample: Sample,
        since: datetime | None,
        until: datetime | None,
        ticks: list[int],
    ) -> None:
        activity = after(*(sample.watch(0, tick + 2, NOW + TICK * tick) for tick in range(-2, 3)))

        found = activity.user_watchlist(sample.users[0], since=since, until=until)

        assert [watch.watched_at for watch in found] == [
            NOW + TICK * tick for tick in reversed(ticks)
        ]

    def test_a_user_nobody_has_heard_of_has_done_nothing(
        self, after: After, sample: Sample
    ) -> None:
        activity = after(sample.bid(0, 0), sample.watch(0, 0))

        assert list(activity.user_bids(sample.unknown_user)) == []
        assert list(activity.user_watchlist(sample.unknown_user)) == []
        assert activity.touched_by(sample.unknown_user) == frozenset()

    def test_engaged_is_who_bid_on_or_watches_an_item(self, after: After, sample: Sample) -> None:
        activity = after(
            sample.bid(0, 0),
            sample.bid(0, 0, NOW + DAY),
            sample.watch(0, 0),
            sample.watch(1, 0),
            sample.bid(2, 1),
            sample.bid(3, 3),
        )
        users, items = sample.users, sample.items

        engaged = activity.engaged_users([*items[:3], items[0], sample.unknown_item])

        assert dict(engaged) == {
            items[0]: {users[0], users[1]},
            items[1]: {users[2]},
            items[2]: set(),
            sample.unknown_item: set(),
        }
        assert all(isinstance(one, frozenset) for one in engaged.values())

    def test_of_no_items_nobody_is_engaged(self, after: After, sample: Sample) -> None:
        assert dict(after(sample.bid(0, 0)).engaged_users([])) == {}

    def test_engaged_users_of_every_id_are_told_apart(self, after: After, sample: Sample) -> None:
        places = range(min(len(sample.users), len(sample.items)))
        activity = after(*(sample.bid(place, place) for place in places))

        assert dict(activity.engaged_users(sample.items[: len(places)])) == {
            sample.items[place]: {sample.users[place]} for place in places
        }

    def test_who_is_engaged_by_then(self, after: After, sample: Sample) -> None:
        activity = after(
            sample.bid(0, 0, NOW),
            sample.watch(1, 0, NOW),
            sample.bid(2, 0, NOW + TICK),
            sample.watch(3, 0, NOW + TICK),
        )

        engaged = activity.engaged_users(sample.items[:1], until=NOW)

        assert dict(engaged) == {sample.items[0]: set(sample.users[:2])}
        assert dict(activity.engaged_users(sample.items[:1])) == {
            sample.items[0]: set(sample.users[:4])
        }

    def test_touched_is_what_a_user_bid_on_or_watches(self, after: After, sample: Sample) -> None:
        activity = after(
            sample.bid(0, 0),
            sample.bid(0, 0, NOW + DAY),
            sample.watch(0, 0),
            sample.watch(0, 1),
            sample.bid(0, 2),
            sample.bid(1, 3),
        )

        assert activity.touched_by(sample.users[0]) == set(sample.items[:3])
        assert isinstance(activity.touched_by(sample.users[0]), frozenset)

    def test_what_a_user_touched_by_then(self, after: After, sample: Sample) -> None:
        activity = after(
            sample.bid(0, 0, NOW),
            sample.watch(0, 1, NOW),
            sample.bid(0, 2, NOW + TICK),
            sample.watch(0, 3, NOW + TICK),
        )

        assert activity.touched_by(sample.users[0], until=NOW) == set(sample.items[:2])
        assert activity.touched_by(sample.users[0]) == set(sample.items[:4])

    def test_nothing_is_counted_where_nothing_happened(self, after: After) -> None:
        assert after().totals() == (0, 0)

    def test_bids_and_watches_are_counted(self, after: After, sample: Sample) -> None:
        watches = [sample.watch(user, user, NOW + TICK * user) for user in range(5)]
        activity = after(sample.bid(0, 0), sample.bid(0, 0, NOW + DAY), *watches)

        assert activity.totals() == (2, 5)


class RecordedActivity(ActivityQueries, ActivityRecorder, Protocol):
    """Activity that can be recorded, and read again."""


class ActivityRecorderContract(EveryIdKind):
    """The promises of `ActivityRecorder`; a subclass says how to *make* one that also reads."""

    @pytest.fixture
    def make(self, sample: Sample) -> Make[RecordedActivity]:
        """Return what makes the port under test, with ids of `sample.ids`."""
        raise NotImplementedError

    @pytest.fixture
    def activity(self, make: Make[RecordedActivity], sample: Sample) -> RecordedActivity:
        """Return the port under test with all users and items of the sample, and nothing done."""
        return make(users=sample.everyone, items=sample.everything)

    def test_a_bid_is_stored(self, activity: RecordedActivity, sample: Sample) -> None:
        bids = [
            sample.bid(0, 1, NOW + 2 * TICK, "19.9"),
            sample.bid(0, 0, NOW + TICK),
            sample.bid(0, 0, NOW.astimezone(ELSEWHERE), "0"),
        ]

        assert [activity.record_bid(bid) for bid in bids] == [True] * 3

        assert list(activity.user_bids(sample.users[0])) == bids
        assert activity.totals() == (3, 0)

    @pytest.mark.parametrize("amount", [None, "0", "12.34"])
    def test_a_bid_that_is_there_stays_one(
        self, activity: RecordedActivity, sample: Sample, amount: str | None
    ) -> None:
        bid = sample.bid(0, 0, NOW, amount)

        changed = [activity.record_bid(bid) for _ in range(3)]

        assert changed == [True, False, False]
        assert activity.totals() == (1, 0)

    def test_amounts_are_equal_by_value_and_moments_wherever_the_clock_hangs(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        changed = [
            activity.record_bid(sample.bid(0, 0, NOW, "2.50")),
            activity.record_bid(sample.bid(0, 0, NOW, "2.5")),
            activity.record_bid(sample.bid(0, 0, NOW.astimezone(ELSEWHERE), "2.5000")),
        ]

        assert changed == [True, False, False]

    def test_a_bid_that_differs_in_anything_is_another(
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

        assert [activity.record_bid(bid) for bid in bids] == [True] * len(bids)
        assert activity.totals() == (len(bids), 0)

    def test_a_bid_that_is_there_several_times_stays_so(
        self, make: Make[RecordedActivity], sample: Sample
    ) -> None:
        bid = sample.bid(0, 0, NOW, "1")
        activity = make(users=sample.everyone, items=sample.everything, bids=[bid, bid])

        assert activity.record_bid(bid) is False
        assert activity.totals() == (2, 0)

    @pytest.mark.parametrize("amount", ["-0.01", "NaN", "Infinity", "0.00001", "1e15"])
    def test_an_amount_that_is_none_is_refused(
        self, activity: RecordedActivity, sample: Sample, amount: str
    ) -> None:
        with pytest.raises(InvalidValueError, match="amount"):
            activity.record_bid(sample.bid(0, 0, NOW, amount))

        assert activity.totals() == (0, 0)

    def test_a_bid_of_or_on_something_unknown_changes_nothing(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        user, item = sample.users[0], sample.items[0]
        bids = [
            Bid(user_id=sample.unknown_user, item_id=item, placed_at=NOW),
            Bid(user_id=user, item_id=sample.unknown_item, placed_at=NOW),
            Bid(user_id=sample.unknown_user, item_id=sample.unknown_item, placed_at=NOW),
        ]

        assert [activity.record_bid(bid) for bid in bids] == [False] * 3
        assert activity.totals() == (0, 0)

    def test_a_watch_is_stored(self, activity: RecordedActivity, sample: Sample) -> None:
        watches = [sample.watch(0, 1, NOW + TICK), sample.watch(0, 0), sample.watch(0, 2)]

        assert [activity.record_watch(watch) for watch in watches] == [True] * 3

        assert list(activity.user_watchlist(sample.users[0])) == watches
        assert activity.totals() == (0, 3)

    def test_of_several_watches_the_earliest_stays(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        moments = [NOW, NOW, NOW + DAY, NOW - TICK, NOW, NOW.astimezone(ELSEWHERE) - HOUR]

        changed = [activity.record_watch(sample.watch(0, 0, at)) for at in moments]

        assert changed == [True, False, False, True, False, True]
        assert list(activity.user_watchlist(sample.users[0])) == [sample.watch(0, 0, NOW - HOUR)]
        assert seen(activity.interactions()) == expected([sample.watch(0, 0, NOW - HOUR)])

    def test_a_watch_of_or_on_something_unknown_changes_nothing(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        user, item = sample.users[0], sample.items[0]
        watches = [
            Watch(user_id=sample.unknown_user, item_id=item, watched_at=NOW),
            Watch(user_id=user, item_id=sample.unknown_item, watched_at=NOW),
        ]

        assert [activity.record_watch(watch) for watch in watches] == [False] * 2
        assert activity.totals() == (0, 0)

    def test_a_watch_can_be_forgotten(self, activity: RecordedActivity, sample: Sample) -> None:
        users, items = sample.users, sample.items
        for watch in (sample.watch(0, 0), sample.watch(0, 1), sample.watch(1, 0)):
            activity.record_watch(watch)
        activity.record_bid(sample.bid(0, 0))

        assert activity.remove_watch(users[0], items[0]) is True

        assert activity.remove_watch(users[0], items[0]) is False
        assert seen(activity.interactions()) == expected(
            [sample.watch(0, 1), sample.watch(1, 0), sample.bid(0, 0)]
        )

    def test_a_watch_that_was_forgotten_may_begin_again_later(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        activity.record_watch(sample.watch(0, 0, NOW))
        activity.remove_watch(sample.users[0], sample.items[0])

        assert activity.record_watch(sample.watch(0, 0, NOW + DAY)) is True
        assert list(activity.user_watchlist(sample.users[0])) == [sample.watch(0, 0, NOW + DAY)]

    def test_what_nobody_watches_cannot_be_forgotten(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        activity.record_bid(sample.bid(0, 0))

        gone = [
            activity.remove_watch(sample.users[0], sample.items[0]),
            activity.remove_watch(sample.unknown_user, sample.items[0]),
            activity.remove_watch(sample.users[0], sample.unknown_item),
        ]

        assert gone == [False] * 3

    def test_users_and_items_of_every_id_are_told_apart(
        self, activity: RecordedActivity, sample: Sample
    ) -> None:
        places = range(min(len(sample.users), len(sample.items)))
        happened: list[Bid | Watch] = []
        for place in places:
            bid, watch = sample.bid(place, place), sample.watch(place, place, NOW + TICK)
            assert activity.record_bid(bid)
            assert activity.record_watch(watch)
            happened += [bid, watch]

        assert activity.remove_watch(sample.users[3], sample.items[3])

        assert seen(activity.interactions()) == expected(
            one for one in happened if one != sample.watch(3, 3, NOW + TICK)
        )


_Row: TypeAlias = tuple[object, object, Activity, datetime]


def seen(batches: Iterable[Interactions]) -> Counter[_Row]:
    """Return the rows of interactions, and how often each is there."""
    return Counter(
        (user_id, item_id, Activity(kind), from_micros(moment))
        for batch in batches
        for user_id, item_id, kind, moment in zip(
            batch.users, batch.items, batch.kinds, batch.moments, strict=True
        )
    )


def expected(happened: Iterable[Bid | Watch]) -> Counter[_Row]:
    """Return the rows that interactions should have."""
    return Counter(
        (
            one.user_id,
            one.item_id,
            Activity.BID if isinstance(one, Bid) else Activity.WATCH,
            moment_of(one),
        )
        for one in happened
    )


def moment_of(one: Bid | Watch) -> datetime:
    """Return when it happened."""
    return one.placed_at if isinstance(one, Bid) else one.watched_at
