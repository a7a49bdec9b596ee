"""The contract suite of `ActivityQueries`."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from angle_reco.testing.contracts.activity_base import SPANS, After
from angle_reco.testing.contracts.activity_histories import HistoriesContract
from angle_reco.testing.contracts.activity_interactions import InteractionsContract
from angle_reco.testing.contracts.samples import DAY, HOUR, NOW, SUMMER, TICK, WINTER, Sample


class ActivityQueriesContract(InteractionsContract, HistoriesContract):
    """The promises of `ActivityQueries`; a subclass overrides the fixture *make*.

    An adapter that stores money as binary floats overrides *largest_amount* with the
    largest amount that these represent to the fourth decimal place.
    """

    def test_bids_of_a_user_are_ordered_newest_first_then_by_item(
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

    def test_bids_of_one_moment_on_one_item_are_ordered_by_amount_unknown_first(
        self, after: After, sample: Sample
    ) -> None:
        amounts = [None, None, "0", "2", "2", "10", "10.0001"]
        bids = [sample.bid(0, 0, NOW, amount) for amount in amounts]

        found = after(*bids[1::2], *bids[::2][::-1]).user_bids(sample.users[0])

        assert list(found) == bids

    def test_a_repeated_local_hour_is_two_different_hours(
        self, after: After, sample: Sample
    ) -> None:
        activity = after(
            sample.bid(0, 0, SUMMER),
            sample.bid(0, 0, WINTER),
            sample.watch(0, 1, SUMMER),
            sample.watch(0, 2, WINTER),
        )

        moments = [
            [bid.placed_at.astimezone(UTC) for bid in activity.user_bids(sample.users[0], **span)]
            for span in ({}, {"since": WINTER}, {"until": SUMMER})
        ]
        winter, summer = WINTER.astimezone(UTC), SUMMER.astimezone(UTC)
        assert moments == [[winter, summer], [winter], [summer]]
        assert [one.item_id for one in activity.user_watchlist(sample.users[0])] == [
            sample.items[2],
            sample.items[1],
        ]
        assert activity.touched_by(sample.users[0], until=SUMMER) == set(sample.items[:2])

    def test_an_amount_is_exact_and_may_be_unknown(self, after: After, sample: Sample) -> None:
        amounts = [None, "0", "0.0001", "0.1", "19.9000", "100000000000000", self.largest_amount]
        bids = [sample.bid(0, 0, NOW - HOUR * age, amount) for age, amount in enumerate(amounts)]

        found = after(*bids).user_bids(sample.users[0])

        assert [bid.amount for bid in found] == [
            None if amount is None else Decimal(amount) for amount in amounts
        ]

    @pytest.mark.parametrize(("since", "until", "ticks"), SPANS)
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

    def test_a_watchlist_is_ordered_newest_first_then_by_item(
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

    @pytest.mark.parametrize(("since", "until", "ticks"), SPANS)
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

    def test_an_unknown_user_has_no_activity(self, after: After, sample: Sample) -> None:
        activity = after(sample.bid(0, 0), sample.watch(0, 0))

        assert list(activity.user_bids(sample.unknown_user)) == []
        assert list(activity.user_watchlist(sample.unknown_user)) == []
        assert activity.touched_by(sample.unknown_user) == frozenset()

    def test_users_who_bid_on_or_watch_an_item_are_engaged(
        self, after: After, sample: Sample
    ) -> None:
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

    def test_no_items_give_no_engaged_users(self, after: After, sample: Sample) -> None:
        assert dict(after(sample.bid(0, 0)).engaged_users([])) == {}

    def test_engaged_users_of_all_ids_are_distinguished(self, after: After, sample: Sample) -> None:
        places = range(min(len(sample.users), len(sample.items)))
        activity = after(*(sample.bid(place, place) for place in places))

        assert dict(activity.engaged_users(sample.items[: len(places)])) == {
            sample.items[place]: {sample.users[place]} for place in places
        }

    def test_engaged_users_until_a_moment(self, after: After, sample: Sample) -> None:
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

    def test_items_that_a_user_bid_on_or_watches_are_touched(
        self, after: After, sample: Sample
    ) -> None:
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

    def test_touched_items_until_a_moment(self, after: After, sample: Sample) -> None:
        activity = after(
            sample.bid(0, 0, NOW),
            sample.watch(0, 1, NOW),
            sample.bid(0, 2, NOW + TICK),
            sample.watch(0, 3, NOW + TICK),
        )

        assert activity.touched_by(sample.users[0], until=NOW) == set(sample.items[:2])
        assert activity.touched_by(sample.users[0]) == set(sample.items[:4])

    def test_without_activity_the_totals_are_zero(self, after: After) -> None:
        assert after().totals() == (0, 0)

    def test_bids_and_watches_are_counted(self, after: After, sample: Sample) -> None:
        watches = [sample.watch(user, user, NOW + TICK * user) for user in range(5)]
        activity = after(sample.bid(0, 0), sample.bid(0, 0, NOW + DAY), *watches)

        assert activity.totals() == (2, 5)
