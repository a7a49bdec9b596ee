"""The contract suite of `InterestStore`."""

from typing import Any

import attrs
import pytest

from angle_reco.domain.millionths import SCORE_TOLERANCE
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.ports.stores import InterestStore, StoreTotals, Written
from angle_reco.testing.contracts.interest_edits import InterestEditsContract
from angle_reco.testing.contracts.interest_runs import InterestRunsContract
from angle_reco.testing.contracts.interest_store_base import interest, write
from angle_reco.testing.contracts.samples import DAY, ELSEWHERE, HOUR, NOW, TICK, Sample


class InterestStoreContract(InterestRunsContract, InterestEditsContract):
    """The promises of `InterestStore`; a subclass overrides the fixture *store*."""

    def test_a_store_is_empty_before_the_first_write(
        self, store: InterestStore, sample: Sample
    ) -> None:
        assert store.of(sample.users[0]) is None
        assert store.totals() == StoreTotals(
            owners=0, rows=0, oldest_at=None, newest_at=None, covered_at=None
        )

    def test_written_interests_can_be_read(self, store: InterestStore, sample: Sample) -> None:
        one = UserInterest(
            user_id=sample.users[1],
            category_id=sample.categories[2],
            score=840_001,
            strength=2**53 + 1,
            interaction_count=2**31,
            last_interaction_at=NOW - TICK,
        )

        written = write(store, sample, [one], at=NOW + TICK)

        assert written == Written(changed=1, unchanged=0)
        kept = store.of(sample.users[1])
        assert kept is not None
        assert kept.interests == (one,)
        assert (kept.computed_at, kept.covered_at) == (NOW + TICK, None)

    def test_interests_are_ordered_by_score_count_last_moment_and_category(
        self, store: InterestStore, sample: Sample
    ) -> None:
        expected = [
            interest(sample, category=9, score=1_000_000, count=1, last_at=NOW - DAY),
            interest(sample, category=8, score=999_999, count=10, last_at=NOW - DAY),
            interest(sample, category=7, score=999_999, count=9, last_at=NOW + TICK),
            interest(sample, category=6, score=999_999, count=9, last_at=NOW),
            *(interest(sample, category=category, score=5, count=3) for category in range(6)),
            *(
                interest(sample, category=category, score=5, count=3)
                for category in range(10, len(sample.categories))
            ),
        ]

        write(store, sample, [*expected[1::2], *reversed(expected[::2])])

        kept = store.of(sample.users[0])
        assert kept is not None
        assert list(kept.interests) == expected

    def test_a_limit_returns_the_strongest(self, store: InterestStore, sample: Sample) -> None:
        interests = [interest(sample, category=place, score=900 - place) for place in range(4)]
        write(store, sample, interests)

        found = [store.of(sample.users[0], limit=limit) for limit in (1, 3, 4, 1_000)]

        assert [one and list(one.interests) for one in found] == [
            interests[:1],
            interests[:3],
            interests,
            interests,
        ]

    def test_interests_of_different_users_are_separate(
        self, store: InterestStore, sample: Sample
    ) -> None:
        interests = [
            interest(sample, user=place, category=place % 3, count=place + 1)
            for place in range(len(sample.users))
        ]

        write(store, sample, interests)

        for one in interests:
            kept = store.of(one.user_id)
            assert kept is not None
            assert kept.interests == (one,)
        assert store.of(sample.unknown_user) is None

    def test_writing_the_same_again_changes_nothing(
        self, store: InterestStore, sample: Sample
    ) -> None:
        interests = [
            interest(sample, user=user, category=category)
            for user in range(3)
            for category in (0, 1)
        ]
        write(store, sample, interests, at=NOW)

        written = write(store, sample, interests, at=NOW + HOUR)

        kept = store.of(sample.users[0])
        assert written == Written(changed=0, unchanged=6)
        assert kept is not None
        assert kept.computed_at == NOW

    @pytest.mark.parametrize(
        ("change", "is_change"),
        [
            ({"score": 500_000 + SCORE_TOLERANCE}, False),
            ({"score": 500_000 - SCORE_TOLERANCE}, False),
            ({"score": 500_000 + SCORE_TOLERANCE + 1}, True),
            ({"score": 500_000 - SCORE_TOLERANCE - 1}, True),
            ({"strength": 3_000_000 + SCORE_TOLERANCE}, False),
            ({"strength": 3_000_000 - SCORE_TOLERANCE - 1}, True),
            ({"interaction_count": 2}, True),
            ({"last_interaction_at": NOW - HOUR + TICK}, True),
            ({"last_interaction_at": (NOW - HOUR).astimezone(ELSEWHERE)}, False),
        ],
    )
    def test_a_row_is_written_when_it_differs_by_more_than_the_tolerance(
        self,
        store: InterestStore,
        sample: Sample,
        change: dict[str, Any],  # fields of any type
        is_change: bool,
    ) -> None:
        old = UserInterest(
            user_id=sample.users[0],
            category_id=sample.categories[0],
            score=500_000,
            strength=3_000_000,
            interaction_count=1,
            last_interaction_at=NOW - HOUR,
        )
        new = attrs.evolve(old, **change)
        write(store, sample, [old], at=NOW)

        written = write(store, sample, [new], at=NOW + HOUR)

        kept = store.of(sample.users[0])
        assert written == Written(changed=is_change, unchanged=not is_change)
        assert kept is not None
        assert kept.interests == (new if is_change else old,)
        assert kept.computed_at == (NOW + HOUR if is_change else NOW)

    def test_a_row_with_another_recipe_is_written(
        self, store: InterestStore, sample: Sample
    ) -> None:
        users, one = sample.user_column(sample.users[:1]), interest(sample)
        old, new = (sample.interests([one], recipe=recipe) for recipe in ("old", 'ours: "été"'))
        store.write(old, users=users, computed_at=NOW)

        written = [store.write(new, users=users, computed_at=NOW + HOUR) for _ in range(2)]

        kept = store.of(sample.users[0])
        assert written == [Written(1, 0), Written(0, 1)]
        assert kept is not None
        assert (kept.recipe, kept.computed_at) == ('ours: "été"', NOW + HOUR)

    def test_small_changes_add_up_to_a_write(self, store: InterestStore, sample: Sample) -> None:
        scores = [500_000, 500_060, 500_120]

        changed = [
            write(store, sample, [interest(sample, score=score)]).changed for score in scores
        ]

        assert changed == [1, 0, 1]

    def test_a_row_computed_later_than_the_write_is_rewritten(
        self, store: InterestStore, sample: Sample
    ) -> None:
        one = interest(sample)
        write(store, sample, [one], at=NOW + DAY)

        written = [write(store, sample, [one], at=at) for at in (NOW, NOW)]

        kept = store.of(sample.users[0])
        assert written == [Written(1, 0), Written(0, 1)]
        assert kept is not None
        assert kept.computed_at == NOW

    def test_a_removed_row_counts_as_a_change(self, store: InterestStore, sample: Sample) -> None:
        interests = [interest(sample, category=place) for place in range(4)]
        write(store, sample, interests)

        written = write(store, sample, interests[:1])

        kept = store.of(sample.users[0])
        assert written == Written(changed=3, unchanged=1)
        assert kept is not None
        assert list(kept.interests) == interests[:1]

    def test_writing_no_interests_of_a_user_removes_all(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample, user=user) for user in range(3)])

        written = write(store, sample, [], users=sample.users[:2])

        assert written == Written(changed=2, unchanged=0)
        assert [store.of(user) is None for user in sample.users[:3]] == [True, True, False]

    def test_interests_of_unnamed_users_are_kept(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample, user=user) for user in range(2)])

        write(store, sample, [interest(sample, user=1, score=7)], at=NOW + HOUR)

        kept = [store.of(user) for user in sample.users[:2]]
        assert [one and one.interests[0].score for one in kept] == [500_000, 7]
        assert [one and one.computed_at for one in kept] == [NOW, NOW + HOUR]

    def test_interests_are_dated_by_their_newest_row(
        self, store: InterestStore, sample: Sample
    ) -> None:
        old, other = interest(sample, category=0, score=9), interest(sample, category=1, score=10)
        write(store, sample, [old, other], at=NOW)

        write(store, sample, [attrs.evolve(old, interaction_count=99), other], at=NOW + HOUR)

        kept, strongest = store.of(sample.users[0]), store.of(sample.users[0], limit=1)
        assert kept is not None
        assert strongest is not None
        assert (kept.computed_at, strongest.computed_at) == (NOW + HOUR, NOW + HOUR)

    def test_writing_for_no_users_changes_nothing(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample)])

        assert write(store, sample, [], users=[]) == Written(0, 0)
        assert store.totals().rows == 1

    def test_a_user_named_several_times_counts_once(
        self, store: InterestStore, sample: Sample
    ) -> None:
        interests = [interest(sample, user=user) for user in range(2)]
        several = [*sample.users[:2], *[sample.unknown_user] * 1_500, *sample.users[:3]]

        written = [write(store, sample, interests, users=several) for _ in range(2)]
        gone = store.retain(sample.user_column(several[1:-3] * 2), started_at=NOW)

        assert written == [Written(2, 0), Written(0, 2)]
        assert gone == 1
        assert store.totals().rows == 1

    def test_interests_of_unnamed_users_are_not_written(
        self, store: InterestStore, sample: Sample
    ) -> None:
        interests = [interest(sample, user=user) for user in range(3)]

        written = write(store, sample, interests, users=[sample.users[1], sample.unknown_user])

        assert written == Written(1, 0)
        assert [store.of(user) is None for user in sample.users[:3]] == [True, False, True]

    def test_many_users_can_be_written_at_once(self, store: InterestStore, sample: Sample) -> None:
        interests = [
            interest(sample, user=user, category=category)
            for user in range(len(sample.users))
            for category in range(len(sample.categories))
        ]

        assert write(store, sample, interests) == Written(len(interests), 0)
        assert write(store, sample, interests) == Written(0, len(interests))
        assert store.totals().rows == len(interests)
