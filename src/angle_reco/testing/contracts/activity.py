"""The contract suite of `ActivityQueries`."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias

import attrs
import pytest

from angle_reco.domain.activity import Activity, Bid, Interactions, Watch
from angle_reco.domain.moments import from_micros
from angle_reco.ports.activity import ActivityQueries
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

After: TypeAlias = Callable[..., ActivityQueries]
"""A factory of the port under test, over these bids and watches and all users and items."""

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
"""The borders of spans, each with the ticks around NOW that the span includes."""


class ActivityQueriesContract(EveryIdKind):
    """The promises of `ActivityQueries`; a subclass overrides the fixture *make*.

    An adapter that stores money as binary floats overrides *largest_amount* with the
    largest amount that these represent to the fourth decimal place.
    """

    largest_amount = Decimal("99999999999999.9999")

    @pytest.fixture
    def make(self, sample: Sample) -> Make[ActivityQueries]:
        """Return the factory of the port under test, with ids of `sample.ids`."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def after(self, make: Make[ActivityQueries], sample: Sample) -> After:
        """Return a factory that includes all users and items of the sample."""

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

    def test_interactions_of_all_ids_are_distinguished(self, after: After, sample: Sample) -> None:
        users, items = len(sample.users), len(sample.items)
        happened: list[Bid | Watch] = [
            sample.bid(place, place % items, NOW + TICK * place) for place in range(users)
        ]
        happened += [sample.watch(place % users, place) for place in range(items)]

        assert seen(after(*happened).interactions()) == expected(happened)

    def test_every_bid_counts_even_equal_ones(self, after: After, sample: Sample) -> None:
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

    def test_interactions_of_several_spans(self, after: After, sample: Sample) -> None:
        happened: list[Bid | Watch] = []
        for hours in range(-3, 6):
            at = NOW + HOUR * hours
            happened += [sample.bid(0, 0, at), sample.watch(0, hours + 4, at)]
        activity = after(*happened)
        spans = [(NOW - 2 * HOUR, NOW - HOUR), (NOW - HOUR, NOW), (NOW + 4 * HOUR, None)]

        def hours_of(found: Iterable[Interactions]) -> list[int]:
            moments = [from_micros(one) for batch in found for one in batch.moments.tolist()]
            return sorted((one - NOW) // HOUR for one in moments)

        assert hours_of(activity.interactions(within=spans)) == sorted([-2, -1, 0, 4, 5] * 2)
        within_both = activity.interactions(within=spans, since=NOW, until=NOW + 4 * HOUR)
        assert hours_of(within_both) == [0, 0, 4, 4]
        assert hours_of(activity.interactions(within=[])) == []

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

    def test_no_users_or_no_items_give_no_interactions(self, after: After, sample: Sample) -> None:
        activity = after(sample.bid(0, 0), sample.watch(0, 0))

        assert seen(activity.interactions(users=sample.user_column([]))) == Counter()
        assert seen(activity.interactions(items=sample.item_column([]))) == Counter()

    def test_without_activity_there_are_no_interactions(
        self, make: Make[ActivityQueries], sample: Sample
    ) -> None:
        joined = Interactions.joined(sample.ids, make().interactions())

        assert (joined.users.kind, joined.items.kind) == (sample.ids.user, sample.ids.item)
        assert len(joined) == 0

    def test_many_users_may_be_requested_at_once(self, after: After, sample: Sample) -> None:
        activity = after(sample.bid(0, 0))
        many = sample.user_column([*[sample.unknown_user] * 40_000, sample.users[0]])

        assert seen(activity.interactions(users=many)) == expected([sample.bid(0, 0)])

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

    def test_touched_items_of_a_history_are_those_of_one_user_the_last_touched_first(
        self, make: Make[ActivityQueries], sample: Sample
    ) -> None:
        activity = make(
            users=sample.everyone,
            items=[
                attrs.evolve(
                    sample.item(0),
                    title="a lamp",
                    category_id=sample.categories[1],
                    seller_id=sample.users[3],
                    ends_at=NOW - DAY,
                ),
                *(sample.item(place) for place in range(1, 5)),
            ],
            bids=[
                *(sample.bid(0, 0, NOW + TICK * tick) for tick in range(3)),
                sample.bid(0, 1, NOW - HOUR),
                sample.bid(1, 2, NOW),
            ],
            watches=[
                sample.watch(0, 1, NOW + HOUR),
                sample.watch(0, 4, NOW - HOUR),
                sample.watch(0, 3, NOW - HOUR),
                sample.watch(1, 3, NOW),
            ],
        )

        history = activity.history(sample.users[0])
        found = history.touched(sample.users[0], most=9)

        items = sample.items
        assert [(one.item_id, one.is_bid, one.last_at) for one in found] == [
            (items[1], True, NOW + HOUR),
            (items[0], True, NOW + 2 * TICK),
            (items[3], False, NOW - HOUR),
            (items[4], False, NOW - HOUR),
        ]
        lamp = found[1]
        assert (lamp.title, lamp.category_id) == ("a lamp", sample.categories[1])
        assert lamp.seller_id == sample.users[3]
        assert (found[0].title, found[0].category_id, found[0].seller_id) == ("", None, None)
        assert [one.item_id for one in history.touched(sample.users[0], most=2)] == [
            items[1],
            items[0],
        ]
        for user_id in (sample.users[2], sample.unknown_user):
            nothing = activity.history(user_id)
            assert (len(nothing.interactions), nothing.items) == (0, {})

    def test_a_history_has_the_interactions_of_one_user_with_their_items(
        self, make: Make[ActivityQueries], sample: Sample
    ) -> None:
        user, items = sample.users[0], sample.items
        activity = make(
            users=sample.everyone,
            items=[
                attrs.evolve(sample.item(0), category_id=sample.categories[2], title="a lamp"),
                attrs.evolve(sample.item(1), seller_id=user),
                attrs.evolve(sample.item(2), seller_id=sample.users[1], is_published=False),
                sample.item(3),
            ],
            bids=[
                *(sample.bid(0, place, NOW + TICK * place) for place in range(2)),
                *(sample.bid(0, 2, NOW, amount) for amount in ("5", "6")),
                sample.bid(1, 3),
            ],
            watches=[sample.watch(0, 1, NOW - TICK), sample.watch(0, 0), sample.watch(1, 3)],
        )

        history = activity.history(user)

        did = history.interactions
        assert set(did.users) == {user}
        # A bid of a seller on the own item is no interaction, a watch of it is.
        assert seen([did]) == expected(
            [
                sample.bid(0, 0, NOW),
                *(sample.bid(0, 2, NOW, amount) for amount in ("5", "6")),
                sample.watch(0, 1, NOW - TICK),
                sample.watch(0, 0),
            ]
        )
        known = {
            one: (item.title, item.category_id, item.seller_id, item.is_public)
            for one, item in history.items.items()
        }
        assert known == {
            items[0]: ("a lamp", sample.categories[2], None, True),
            items[1]: ("", None, user, True),
            items[2]: ("", None, sample.users[1], False),
        }

    def test_the_newest_of_a_history_are_so_many_bids_and_watches(
        self, make: Make[ActivityQueries], sample: Sample
    ) -> None:
        activity = make(
            users=sample.everyone,
            items=[sample.item(place) for place in range(5)],
            bids=[
                *(sample.bid(0, place, NOW + TICK * place) for place in range(3)),
                sample.bid(1, 4, NOW + HOUR),
            ],
            watches=[sample.watch(0, 3, NOW), sample.watch(0, 4, NOW - HOUR)],
        )

        history = activity.history(sample.users[0], newest=1)
        earlier = activity.history(sample.users[0], until=NOW + TICK, newest=2)

        bid, watch = sample.bid(0, 2, NOW + 2 * TICK), sample.watch(0, 3, NOW)
        assert seen([history.interactions]) == expected([bid, watch])
        assert set(history.items) == {bid.item_id, watch.item_id}
        assert set(earlier.interactions.items) == {*sample.items[:2], *sample.items[3:5]}

    def test_touched_items_of_a_history_are_public_and_not_the_user_s_own(
        self, make: Make[ActivityQueries], sample: Sample
    ) -> None:
        activity = make(
            users=sample.everyone,
            items=[
                attrs.evolve(sample.item(0), is_published=False),
                attrs.evolve(sample.item(1), seller_id=sample.users[0]),
                sample.item(2),
            ],
            bids=[sample.bid(0, place, NOW + TICK * place) for place in range(3)],
            watches=[sample.watch(0, 0), sample.watch(0, 1)],
        )

        found = activity.history(sample.users[0]).touched(sample.users[0], most=9)

        assert [one.item_id for one in found] == [sample.items[2]]

    def test_touched_items_of_a_history_as_of_a_moment(
        self, make: Make[ActivityQueries], sample: Sample
    ) -> None:
        activity = make(
            users=sample.everyone,
            items=[
                attrs.evolve(sample.item(0), listed_at=NOW - DAY),
                attrs.evolve(sample.item(1), listed_at=NOW + TICK),
                sample.item(2),
            ],
            bids=[
                sample.bid(0, 0, NOW),
                sample.bid(0, 0, NOW + TICK),
                sample.bid(0, 1, NOW),
                sample.bid(0, 2, NOW + TICK),
            ],
            watches=[sample.watch(0, 2, NOW - DAY)],
        )

        found = activity.history(sample.users[0], until=NOW).touched(sample.users[0], most=9)

        assert [(one.item_id, one.is_bid, one.last_at) for one in found] == [
            (sample.items[0], True, NOW),
            (sample.items[2], False, NOW - DAY),
        ]

    def test_sellers_bids_on_their_own_items_are_no_interactions(
        self, make: Make[ActivityQueries], sample: Sample
    ) -> None:
        own = [sample.bid(0, 0, NOW, "5"), sample.bid(0, 0, NOW + TICK), sample.bid(1, 1)]
        counted: list[Bid | Watch] = [
            sample.bid(0, 1),  # a seller bids on the item of another
            sample.bid(1, 0),
            sample.bid(0, 2),  # an item without a seller
            sample.bid(2, 3),  # an item whose seller is no bidder
            sample.watch(0, 0),
        ]
        activity = make(
            users=sample.everyone,
            items=[
                attrs.evolve(sample.item(0), seller_id=sample.users[0]),
                attrs.evolve(sample.item(1), seller_id=sample.users[1]),
                sample.item(2),
                attrs.evolve(sample.item(3), seller_id=sample.unknown_user),
            ],
            bids=[*own, *(one for one in counted if isinstance(one, Bid))],
            watches=[one for one in counted if isinstance(one, Watch)],
        )
        users, items = sample.users, sample.items

        assert seen(activity.interactions()) == expected(counted)
        for user in users[:3]:
            found = seen(activity.interactions(users=sample.user_column([user])))
            assert found == expected(one for one in counted if one.user_id == user)
        for item in items[:4]:
            found = seen(activity.interactions(items=sample.item_column([item])))
            assert found == expected(one for one in counted if one.item_id == item)
        assert dict(activity.engaged_users(items[:4])) == {
            items[0]: {users[0], users[1]},
            items[1]: {users[0]},
            items[2]: {users[0]},
            items[3]: {users[2]},
        }

    def test_sellers_bids_on_their_own_items_are_still_bids_of_the_user(
        self, make: Make[ActivityQueries], sample: Sample
    ) -> None:
        own = sample.bid(0, 0, NOW, "5")
        activity = make(
            users=sample.everyone,
            items=[attrs.evolve(sample.item(0), seller_id=sample.users[0])],
            bids=[own],
        )

        assert list(activity.user_bids(sample.users[0])) == [own]
        assert activity.touched_by(sample.users[0]) == {sample.items[0]}
        assert activity.totals() == (1, 0)
        assert dict(activity.engaged_users(sample.items[:1])) == {sample.items[0]: frozenset()}

    def test_sellers_and_bidders_of_all_ids_are_distinguished(
        self, make: Make[ActivityQueries], sample: Sample
    ) -> None:
        places = range(min(len(sample.users), len(sample.items)))
        others = [sample.bid(place, (place + 1) % len(places)) for place in places]
        activity = make(
            users=sample.everyone,
            items=[
                attrs.evolve(sample.item(place), seller_id=sample.users[place]) for place in places
            ],
            bids=[*others, *(sample.bid(place, place) for place in places)],
        )

        assert seen(activity.interactions()) == expected(others)

    def test_without_activity_the_totals_are_zero(self, after: After) -> None:
        assert after().totals() == (0, 0)

    def test_bids_and_watches_are_counted(self, after: After, sample: Sample) -> None:
        watches = [sample.watch(user, user, NOW + TICK * user) for user in range(5)]
        activity = after(sample.bid(0, 0), sample.bid(0, 0, NOW + DAY), *watches)

        assert activity.totals() == (2, 5)


_Row: TypeAlias = tuple[object, object, Activity, datetime]


def seen(batches: Iterable[Interactions]) -> Counter[_Row]:
    """Return the rows of interactions, and how often each occurs."""
    return Counter(
        (user_id, item_id, Activity(kind), from_micros(moment))
        for batch in batches
        for user_id, item_id, kind, moment in zip(
            batch.users, batch.items, batch.kinds, batch.moments, strict=True
        )
    )


def expected(happened: Iterable[Bid | Watch]) -> Counter[_Row]:
    """Return the rows that `interactions` should yield for these bids and watches."""
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
    """Return when a bid was placed or a watch started."""
    return one.placed_at if isinstance(one, Bid) else one.watched_at
