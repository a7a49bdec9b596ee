"""The contract suite of `UserQueries`."""

from datetime import timedelta

import pytest

from angle_reco.ports.users import UserQueries
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


class UserQueriesContract(EveryIdKind):
    """The promises of `UserQueries`; a subclass overrides the fixture *make*."""

    @pytest.fixture
    def make(self, sample: Sample) -> Make[UserQueries]:
        """Return the factory of the port under test, with ids of `sample.ids`."""
        pytest.fail("override this fixture")

    def test_users_who_signed_in_strictly_after_the_moment_are_active(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(
            users=[
                sample.user(0, last_sign_in_at=NOW - TICK),
                sample.user(1, last_sign_in_at=NOW),
                sample.user(2, last_sign_in_at=NOW + TICK),
                sample.user(3, last_sign_in_at=NOW + DAY),
            ]
        )

        assert users.active_since(NOW).to_list() == sample.users[2:4]

    def test_users_who_never_signed_in_are_active_if_created_after_the_moment(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(
            users=[
                sample.user(0, created_at=NOW - TICK),
                sample.user(1, created_at=NOW),
                sample.user(2, created_at=NOW + TICK),
                sample.user(3),
            ]
        )

        assert users.active_since(NOW).to_list() == sample.users[2:3]

    def test_with_a_known_sign_in_the_creation_does_not_matter(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(
            users=[
                sample.user(0, created_at=NOW + DAY, last_sign_in_at=NOW - DAY),
                sample.user(1, created_at=NOW - DAY, last_sign_in_at=NOW + DAY),
            ]
        )

        assert users.active_since(NOW).to_list() == sample.users[1:2]

    def test_users_who_signed_in_again_are_left_out(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(
            users=[
                sample.user(0, last_sign_in_at=NOW),
                sample.user(1, last_sign_in_at=NOW + TICK),
                sample.user(2, last_sign_in_at=NOW + DAY),
                sample.user(3, last_sign_in_at=NOW + DAY + TICK),
                sample.user(4, created_at=NOW + DAY),
                sample.user(5, created_at=NOW + DAY + TICK),
                sample.user(6),
            ]
        )

        some = users.active_since(NOW, not_since=NOW + DAY)

        assert some.to_list() == [*sample.users[1:3], sample.users[4]]

    def test_active_users_come_in_the_order_of_their_ids(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        places = range(len(sample.users))
        users = make(
            users=[
                sample.user(place, last_sign_in_at=NOW + TICK * (place * 5 % 7 + 1))
                for place in sorted(places, key=lambda place: place * 5 % len(places))
            ]
        )

        active = users.active_since(NOW)

        assert active.kind == sample.ids.user
        assert active.to_list() == sample.users

    def test_without_users_there_are_no_active_users(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        active = make().active_since(NOW)

        assert (active.kind, len(active)) == (sample.ids.user, 0)

    def test_moments_are_compared_across_time_zones(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(
            users=[
                sample.user(0, last_sign_in_at=NOW.astimezone(ELSEWHERE)),
                sample.user(1, last_sign_in_at=(NOW + TICK).astimezone(ELSEWHERE)),
            ]
        )

        assert users.active_since(NOW.astimezone(ELSEWHERE)).to_list() == sample.users[1:2]
        assert users.active_since(NOW).to_list() == sample.users[1:2]

    def test_a_repeated_local_hour_is_two_different_hours(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(
            users=[
                sample.user(0, last_sign_in_at=WINTER),
                sample.user(1, last_sign_in_at=SUMMER),
                sample.user(2, created_at=WINTER),
            ]
        )

        assert users.active_since(SUMMER).to_list() == [sample.users[0], sample.users[2]]
        assert users.total(until=SUMMER) == 2
        users.record_sign_in(sample.users[1], WINTER)
        assert users.active_since(SUMMER).to_list() == sample.users[:3]

    def test_the_first_and_the_last_year_are_accepted(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        long_ago, far_ahead = NOW.replace(year=1), NOW.replace(year=9999)
        users = make(
            users=[
                sample.user(0, last_sign_in_at=long_ago),
                sample.user(1, last_sign_in_at=far_ahead),
            ]
        )

        assert users.active_since(long_ago - TICK).to_list() == sample.users[:2]
        assert users.active_since(far_ahead - TICK).to_list() == sample.users[1:2]

    def test_a_user_created_after_until_does_not_exist_yet(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(
            users=[
                sample.user(0, created_at=NOW, sign_in_count=1),
                sample.user(1, created_at=NOW + TICK, last_sign_in_at=NOW, sign_in_count=2),
                sample.user(2, last_sign_in_at=NOW, sign_in_count=3),
            ]
        )

        assert users.active_since(NOW - DAY, until=NOW).to_list() == [
            sample.users[0],
            sample.users[2],
        ]
        assert [
            found and found.count
            for found in (users.sign_ins(one, until=NOW) for one in sample.users[:3])
        ] == [1, None, 3]

    @pytest.mark.parametrize(
        ("bid_before", "watch_before", "expected"),
        [(3, 2, 2), (2, 3, 2), (3, None, 3), (None, 3, 3), (0, 5, 0), (5, 0, 0), (-1, 4, 4)],
    )
    def test_the_newest_bid_or_watch_replaces_a_last_sign_in_after_until(
        self,
        make: Make[UserQueries],
        sample: Sample,
        bid_before: int | None,
        watch_before: int | None,
        expected: int,
    ) -> None:
        signed_in_later = sample.user(0, last_sign_in_at=NOW + DAY, sign_in_count=7)
        ages = {"bid": bid_before, "watch": watch_before}
        users = make(
            users=[signed_in_later, sample.user(1)],
            items=[sample.item(0), sample.item(1)],
            bids=[
                sample.bid(0, 0, NOW - 9 * HOUR),
                *(sample.bid(0, 0, NOW - HOUR * age) for age in [ages["bid"]] if age is not None),
                sample.bid(0, 1, NOW + TICK),
                sample.bid(1, 0, NOW),
            ],
            watches=[
                *(
                    sample.watch(0, 0, NOW - HOUR * age)
                    for age in [ages["watch"]]
                    if age is not None
                ),
                sample.watch(1, 0, NOW),
            ],
        )

        found = users.sign_ins(sample.users[0], until=NOW)

        assert found is not None
        assert (found.last_at, found.count) == (NOW - HOUR * expected, 7)
        just_before, at_once = (
            users.active_since(NOW - HOUR * expected - early, until=NOW).to_list()
            for early in (TICK, 0 * TICK)
        )
        assert just_before == sample.users[:1]
        assert at_once == []

    def test_without_activity_the_creation_replaces_a_last_sign_in_after_until(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(
            users=[
                sample.user(0, created_at=NOW - DAY, last_sign_in_at=NOW + DAY),
                sample.user(1, created_at=NOW - HOUR, last_sign_in_at=NOW + DAY),
                sample.user(2, last_sign_in_at=NOW + DAY),
            ]
        )

        found = [users.sign_ins(one, until=NOW) for one in sample.users[:3]]

        assert [one and one.last_at for one in found] == [None, None, None]
        assert None not in found
        assert users.active_since(NOW - DAY, until=NOW).to_list() == sample.users[1:2]

    def test_activity_does_not_replace_a_sign_in_before_until(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(
            users=[
                sample.user(0, last_sign_in_at=NOW),
                sample.user(1, last_sign_in_at=NOW - DAY),
                sample.user(2),
            ],
            items=[sample.item(0)],
            bids=[sample.bid(user, 0, NOW - HOUR) for user in range(3)],
        )

        found = [users.sign_ins(one, until=NOW) for one in sample.users[:3]]

        assert [one and one.last_at for one in found] == [NOW, NOW - DAY, None]

    def test_without_until_the_future_is_included(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(
            users=[sample.user(0, created_at=NOW + DAY, last_sign_in_at=NOW + 2 * DAY)],
            items=[sample.item(0)],
            bids=[sample.bid(0, 0, NOW)],
        )

        found = users.sign_ins(sample.users[0])

        assert found is not None
        assert found.last_at == NOW + 2 * DAY
        assert users.active_since(NOW + DAY).to_list() == sample.users[:1]

    def test_a_sign_in_is_counted_and_its_moment_stored(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(
            users=[
                sample.user(0, created_at=NOW),
                sample.user(1, last_sign_in_at=NOW - DAY, sign_in_count=41),
            ]
        )

        taken = [users.record_sign_in(one, NOW + TICK) for one in sample.users[:2]]

        found = [users.sign_ins(one) for one in sample.users[:2]]
        assert taken == [True, True]
        assert [one and (one.last_at, one.count) for one in found] == [
            (NOW + TICK, 1),
            (NOW + TICK, 42),
        ]

    def test_the_moment_of_the_last_sign_in_never_goes_back_and_the_count_always_up(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(users=[sample.user(0)])

        taken = [
            users.record_sign_in(sample.users[0], at)
            for at in (NOW - DAY, NOW, NOW - TICK, NOW - HOUR)
        ]

        found = users.sign_ins(sample.users[0])
        assert taken == [True] * 4
        assert found is not None
        assert (found.last_at, found.count) == (NOW, 4)

    def test_a_sign_in_of_an_unknown_user_changes_nothing(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(users=[sample.user(0)])

        taken = users.record_sign_in(sample.unknown_user, NOW)

        assert taken is False
        assert users.total() == 1
        assert users.sign_ins(sample.unknown_user) is None

    def test_a_sign_in_makes_a_user_active(self, make: Make[UserQueries], sample: Sample) -> None:
        users = make(users=[sample.user(0), sample.user(1)])

        users.record_sign_in(sample.users[1], NOW.astimezone(ELSEWHERE))

        assert users.active_since(NOW - TICK).to_list() == sample.users[1:2]
        assert len(users.active_since(NOW)) == 0

    def test_sign_ins_of_different_users_are_separate(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        users = make(users=sample.everyone)

        for place, user_id in enumerate(sample.users):
            for _ in range(place):
                users.record_sign_in(user_id, NOW + timedelta(seconds=place))

        found = [users.sign_ins(one) for one in sample.users]
        assert [one and one.count for one in found] == list(range(len(sample.users)))
        assert [one and one.last_at for one in found][1:] == [
            NOW + timedelta(seconds=place) for place in range(1, len(sample.users))
        ]

    def test_a_user_without_sign_ins_is_known(
        self, make: Make[UserQueries], sample: Sample
    ) -> None:
        found = make(users=[sample.user(0)]).sign_ins(sample.users[0])

        assert found is not None
        assert (found.last_at, found.count) == (None, 0)

    def test_without_users_the_total_is_zero(self, make: Make[UserQueries]) -> None:
        assert make().total() == 0

    def test_all_users_are_counted(self, make: Make[UserQueries], sample: Sample) -> None:
        assert make(users=sample.everyone).total() == len(sample.users)
