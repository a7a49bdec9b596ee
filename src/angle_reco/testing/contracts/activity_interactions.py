"""The contract suite of `ActivityQueries`: interactions in bulk."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

import attrs
import pytest

from angle_reco.domain.activity import Bid, Interactions, Watch
from angle_reco.domain.moments import from_micros
from angle_reco.ports.activity import ActivityQueries
from angle_reco.testing.contracts.activity_base import (
    SPANS,
    ActivityOfSample,
    After,
    expected,
    moment_of,
    seen,
)
from angle_reco.testing.contracts.samples import DAY, HOUR, NOW, TICK, Make, Sample


class InteractionsContract(ActivityOfSample):
    """Which bids and watches are interactions, of which users, with what and when."""

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

    @pytest.mark.parametrize(("since", "until", "ticks"), SPANS)
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
