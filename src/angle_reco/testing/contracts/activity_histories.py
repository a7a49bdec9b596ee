"""The contract suite of `ActivityQueries`: the history of one user."""

import attrs

from angle_reco.ports.activity import ActivityQueries
from angle_reco.testing.contracts.activity_base import ActivityOfSample, expected, seen
from angle_reco.testing.contracts.samples import DAY, HOUR, NOW, TICK, Make, Sample


class HistoriesContract(ActivityOfSample):
    """What one user did last, and with which items."""

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
