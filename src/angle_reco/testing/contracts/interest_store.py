"""The contract suite of `InterestStore`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import attrs
import pytest

from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import FencedOffError
from angle_reco.domain.ids import CategoryId, UserId
from angle_reco.domain.millionths import SCORE_TOLERANCE
from angle_reco.domain.runs import Fence
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.ports.stores import InterestStore, StoredInterests, StoreTotals, Written
from angle_reco.testing.contracts.samples import (
    DAY,
    ELSEWHERE,
    HOUR,
    NOW,
    TICK,
    EveryIdKind,
    Sample,
)


class InterestStoreContract(EveryIdKind):
    """The promises of `InterestStore`; a subclass overrides the fixture *store*."""

    @pytest.fixture
    def store(self, sample: Sample) -> InterestStore:
        """Return the port under test, empty, with ids of `sample.ids`."""
        pytest.fail("override this fixture")

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

    def test_a_complete_run_removes_all_other_users(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample, user=user) for user in range(4)])
        write(
            store,
            sample,
            [interest(sample, user=2), interest(sample, user=2, category=1)],
        )

        gone = store.retain(
            sample.user_column([sample.users[1], sample.users[3], sample.unknown_user]),
            started_at=NOW + DAY,
        )

        assert gone == 3
        assert [store.of(user) is None for user in sample.users[:4]] == [True, False, True, False]

    def test_a_complete_run_covers_the_remaining_rows(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample)])

        gone = store.retain(sample.user_column(sample.users), started_at=NOW + DAY + TICK)

        kept = store.of(sample.users[0])
        assert gone == 0
        assert kept is not None
        assert (kept.computed_at, kept.covered_at) == (NOW, NOW + DAY + TICK)
        assert store.totals().covered_at == NOW + DAY + TICK

    def test_a_complete_run_without_users_removes_everything(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample, user=user) for user in range(4)])

        assert store.retain(sample.user_column([]), started_at=NOW) == 4
        assert store.totals() == StoreTotals(
            owners=0, rows=0, oldest_at=None, newest_at=None, covered_at=NOW
        )

    def test_a_complete_run_may_keep_all_rows(self, store: InterestStore, sample: Sample) -> None:
        write(store, sample, [interest(sample, user=user) for user in range(3)])

        assert store.retain(None, started_at=NOW + DAY) == 0
        totals = store.totals()
        assert (totals.owners, totals.covered_at) == (3, NOW + DAY)

    def test_a_complete_run_leaves_a_watermark_for_the_next(
        self, store: InterestStore, sample: Sample
    ) -> None:
        none, texts = store.watermark(), list[str | None]()
        for at, text in [(NOW, "é'\n" * 9), (NOW, "two"), (NOW + DAY, ""), (NOW + DAY, "four")]:
            store.retain(None, started_at=at, watermark=text)
            texts.append(store.watermark())

        assert none is None
        assert texts == ["é'\n" * 9, "two", "", "four"]

    def test_a_watermark_can_be_removed(self, store: InterestStore, sample: Sample) -> None:
        newer, older = (Fence(job="refresh", number=number) for number in (2, 1))
        store.forget_watermark()
        before = store.watermark()
        store.retain(None, started_at=NOW, watermark="one", fence=newer)

        with pytest.raises(FencedOffError):
            store.forget_watermark(fence=older)
        kept = store.watermark()
        store.forget_watermark(fence=newer)

        assert (before, kept, store.watermark()) == (None, "one", "")

    def test_an_edit_removes_the_watermark(self, store: InterestStore, sample: Sample) -> None:
        write(store, sample, [interest(sample)])
        store.retain(None, started_at=NOW, watermark="one")
        store.edit(sample.users[0], lambda kept: edited(None) if kept is None else kept)
        same = store.watermark()
        store.edit(sample.users[0], edited)

        assert (same, store.watermark()) == ("one", "")

    def test_users_with_an_interest_in_some_categories(
        self, store: InterestStore, sample: Sample
    ) -> None:
        pairs = [(0, 0), (0, 1), (1, 1), (2, 2), (3, 0)]
        write(store, sample, [interest(sample, user=one, category=of) for one, of in pairs])

        def found(*places: int) -> list[object]:
            wanted = [sample.categories[place] for place in places]
            return sorted(
                store.users_in(IdColumn.of(sample.ids.category, wanted)),
                key=lambda one: sample.users.index(UserId(one)),
            )

        assert found(0, 1) == [sample.users[place] for place in (0, 1, 3)]
        assert found(2) == [sample.users[2]]
        assert found(3) == found() == []

    def test_rows_written_after_a_complete_run_are_covered_by_it(
        self, store: InterestStore, sample: Sample
    ) -> None:
        store.retain(sample.user_column([]), started_at=NOW)
        write(store, sample, [interest(sample)], at=NOW + DAY)

        kept = store.of(sample.users[0])
        assert kept is not None
        assert (kept.computed_at, kept.covered_at) == (NOW + DAY, NOW)

    def test_totals_count_rows_and_give_their_ages(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample, user=0, category=0)], at=NOW - DAY)
        write(
            store,
            sample,
            [interest(sample, user=1, category=0), interest(sample, user=1, category=1)],
            at=NOW + TICK,
        )

        assert store.totals() == StoreTotals(
            owners=2, rows=3, oldest_at=NOW - DAY, newest_at=NOW + TICK, covered_at=None
        )

    def test_the_newest_run_of_a_job_may_write_repeatedly(
        self, store: InterestStore, sample: Sample
    ) -> None:
        numbers = [0, 0, 1, 7, 7, 2**63 - 1]

        for score, number in enumerate(numbers):
            fence = Fence(job="refresh", number=number)
            written = write(store, sample, [interest(sample, score=score * 1_000)], fence=fence)
            gone = store.retain(
                sample.user_column(sample.users), started_at=NOW + TICK * score, fence=fence
            )

            assert (written, gone) == (Written(1, 0), 0)
        assert store.totals().covered_at == NOW + TICK * 5

    def test_an_older_run_is_refused_and_changes_nothing(
        self, store: InterestStore, sample: Sample
    ) -> None:
        newer, older = (Fence(job="refresh", number=number) for number in (8, 7))
        write(store, sample, [interest(sample)], fence=newer)
        store.retain(sample.user_column(sample.users), started_at=NOW, fence=newer)
        before = store.of(sample.users[0]), store.totals()

        with pytest.raises(FencedOffError, match="newer run of refresh"):
            write(store, sample, [interest(sample, score=7)], at=NOW + HOUR, fence=older)
        with pytest.raises(FencedOffError, match="newer run of refresh"):
            write(store, sample, [], users=[], at=NOW + HOUR, fence=older)
        with pytest.raises(FencedOffError, match="newer run of refresh"):
            store.retain(sample.user_column([]), started_at=NOW + HOUR, fence=older)

        assert (store.of(sample.users[0]), store.totals()) == before

    def test_a_run_that_changed_nothing_still_fences_older_runs(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [], users=[], fence=Fence(job="refresh", number=2))

        with pytest.raises(FencedOffError):
            write(store, sample, [interest(sample)], fence=Fence(job="refresh", number=1))
        store.retain(sample.user_column([]), started_at=NOW, fence=Fence(job="refresh", number=4))
        with pytest.raises(FencedOffError):
            write(store, sample, [interest(sample)], fence=Fence(job="refresh", number=3))

        assert store.totals().rows == 0

    def test_other_jobs_and_writers_without_a_fence_are_not_fenced(
        self, store: InterestStore, sample: Sample
    ) -> None:
        fences = [
            Fence(job="refresh", number=9),
            Fence(job="Refresh", number=1),
            Fence(job="refresh ", number=1),
            Fence(job="", number=0),
            None,
            Fence(job="refresh", number=9),
        ]

        written = [
            write(store, sample, [interest(sample, score=score * 1_000)], fence=fence)
            for score, fence in enumerate(fences)
        ]

        assert written == [Written(1, 0)] * len(fences)

    def test_an_override_is_read_with_its_mark(self, store: InterestStore, sample: Sample) -> None:
        computed, other = interest(sample, category=0), interest(sample, user=1)
        write(store, sample, [computed, other])
        override = UserInterest(
            user_id=sample.users[0],
            category_id=sample.categories[1],
            score=999_999,
            strength=0,
            interaction_count=2**63 - 1,
            last_interaction_at=NOW - TICK,
            by_hand=True,
        )

        store.edit(sample.users[0], lambda kept: edited(kept, override, computed))

        kept, others = (store.of(user) for user in sample.users[:2])
        assert kept is not None
        assert kept.interests == (override, computed)
        assert (kept.recipe, kept.computed_at, kept.removed) == ("", NOW, ())
        assert others is not None
        assert others.interests == (other,)

    def test_manual_removals_are_stored(self, store: InterestStore, sample: Sample) -> None:
        interests = [interest(sample, category=place) for place in range(3)]
        write(store, sample, interests)
        gone = tuple(one.category_id for one in interests[1:])

        store.edit(sample.users[0], lambda kept: edited(kept, interests[0], removed=gone))
        some = store.of(sample.users[0])
        store.edit(sample.users[0], lambda kept: edited(kept, removed=sample.categories[:3]))
        none = store.of(sample.users[0])

        assert some is not None
        assert (some.interests, some.removed) == ((interests[0],), gone)
        assert none is not None
        assert (none.interests, none.removed) == ((), tuple(sample.categories[:3]))
        assert none.computed_at == NOW

    def test_an_edit_to_nothing_removes_the_user(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample)])

        store.edit(sample.users[0], edited)

        assert store.of(sample.users[0]) is None
        assert store.totals().rows == 0

    def test_an_edit_without_stored_interests_gets_none(
        self, store: InterestStore, sample: Sample
    ) -> None:
        seen: list[StoredInterests | None] = []
        written = StoredInterests(
            interests=(attrs.evolve(interest(sample), by_hand=True),),
            recipe="ours",
            computed_at=NOW - DAY,
        )

        def change(kept: StoredInterests | None) -> StoredInterests:
            seen.append(kept)
            return written

        store.edit(sample.users[0], change)

        assert seen == [None]
        assert store.of(sample.users[0]) == written

    def test_an_edit_gets_all_stored_interests(self, store: InterestStore, sample: Sample) -> None:
        write(store, sample, [interest(sample, category=place) for place in range(3)])
        store.retain(sample.user_column(sample.users), started_at=NOW + HOUR)
        store.edit(
            sample.users[0],
            lambda kept: edited(kept, *_of(kept)[:2], removed=sample.categories[2:3]),
        )
        seen: list[StoredInterests | None] = []

        def look(kept: StoredInterests | None) -> StoredInterests:
            seen.append(kept)
            assert kept is not None
            return kept

        store.edit(sample.users[0], look)

        assert seen == [store.of(sample.users[0])]
        assert seen[0] is not None
        assert (seen[0].covered_at, seen[0].removed) == (NOW + HOUR, tuple(sample.categories[2:3]))

    def test_an_edit_that_returns_its_argument_changes_nothing(
        self, store: InterestStore, sample: Sample
    ) -> None:
        one = interest(sample)
        write(store, sample, [one])
        before = store.of(sample.users[0]), store.totals()

        def leave(kept: StoredInterests | None) -> StoredInterests:
            assert kept is not None
            return kept

        store.edit(sample.users[0], leave)

        assert (store.of(sample.users[0]), store.totals()) == before
        assert write(store, sample, [one]) == Written(0, 1)

    def test_an_edit_that_raises_changes_nothing(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample)])
        before = store.of(sample.users[0]), store.totals()

        def fail(kept: StoredInterests | None) -> StoredInterests:
            raise LookupError("not this one")

        for user in (sample.users[0], sample.unknown_user):
            with pytest.raises(LookupError, match="not this one"):
                store.edit(user, fail)

        assert (store.of(sample.users[0]), store.totals()) == before
        assert store.of(sample.unknown_user) is None
        # The failed edit released its lock.
        store.edit(sample.users[0], lambda kept: edited(kept, interest(sample, score=7)))
        assert [one.score for one in _of(store.of(sample.users[0]))] == [7]

    def test_the_next_write_replaces_an_override_even_by_an_equal_row(
        self, store: InterestStore, sample: Sample
    ) -> None:
        computed = [interest(sample, category=place, score=900 - place) for place in range(3)]
        write(store, sample, computed)
        override = attrs.evolve(computed[1], by_hand=True)
        store.edit(sample.users[0], lambda kept: edited(kept, computed[0], override, computed[2]))

        written = [write(store, sample, computed, at=NOW + HOUR) for _ in range(2)]

        kept = store.of(sample.users[0])
        assert written == [Written(1, 2), Written(0, 3)]
        assert kept is not None
        assert list(kept.interests) == computed
        assert kept.computed_at == NOW + HOUR

    @pytest.mark.parametrize("is_computed", [True, False])
    def test_the_next_write_replaces_manual_removals(
        self, store: InterestStore, sample: Sample, is_computed: bool
    ) -> None:
        stays, gone = interest(sample, category=0), interest(sample, category=1, score=0)
        removed = attrs.evolve(gone, strength=0, interaction_count=0)
        write(store, sample, [stays, removed])
        store.edit(sample.users[0], lambda kept: edited(kept, stays, removed=[removed.category_id]))
        computed = [stays, removed] if is_computed else [stays]

        written = [write(store, sample, computed, at=NOW + HOUR) for _ in range(2)]

        kept = store.of(sample.users[0])
        assert written == [Written(1, 1), Written(0, len(computed))]
        assert kept is not None
        assert (list(kept.interests), kept.removed) == (computed, ())

    def test_concurrent_edits_of_one_user_are_all_stored(
        self, store: InterestStore, sample: Sample
    ) -> None:
        threads, each = 4, 3

        def work(place: int) -> None:
            for category in range(place * each, (place + 1) * each):
                one = attrs.evolve(interest(sample, category=category), by_hand=True)
                store.edit(sample.users[0], lambda kept, one=one: edited(kept, *_of(kept), one))  # type: ignore[misc]  # a default binds it

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))

        assert {one.category_id for one in _of(store.of(sample.users[0]))} == set(
            sample.categories[: threads * each]
        )


def edited(
    kept: StoredInterests | None, *interests: UserInterest, removed: Sequence[CategoryId] = ()
) -> StoredInterests:
    """Return *kept* with exactly these interests and *removed* categories."""
    kept = kept or StoredInterests(interests=(), recipe="", computed_at=NOW)
    return attrs.evolve(kept, interests=interests, removed=tuple(removed))


def _of(kept: StoredInterests | None) -> tuple[UserInterest, ...]:
    return () if kept is None else kept.interests


def interest(
    sample: Sample,
    *,
    user: int = 0,
    category: int = 0,
    score: int = 500_000,
    count: int = 1,
    last_at: datetime = NOW,
) -> UserInterest:
    """Return an interest; *user* and *category* are places in the sample."""
    return UserInterest(
        user_id=sample.users[user],
        category_id=sample.categories[category],
        score=score,
        strength=3_000_000,
        interaction_count=count,
        last_interaction_at=last_at,
    )


def write(
    store: InterestStore,
    sample: Sample,
    interests: Sequence[UserInterest],
    *,
    users: Sequence[UserId] | None = None,
    at: datetime = NOW,
    fence: Fence | None = None,
) -> Written:
    """Write interests as all those of *users*, by default of the users that they name."""
    if users is None:
        users = list(dict.fromkeys(one.user_id for one in interests))
    return store.write(
        sample.interests(interests), users=sample.user_column(users), computed_at=at, fence=fence
    )
