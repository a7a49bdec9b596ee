"""The contract suite of `InterestStore`: overrides."""

from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest

from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.ports.stores import InterestStore, StoredInterests, Written
from angle_reco.testing.contracts.interest_store_base import (
    EmptyInterestStore,
    edited,
    interest,
    interests_of,
    write,
)
from angle_reco.testing.contracts.samples import DAY, HOUR, NOW, TICK, Sample


class InterestEditsContract(EmptyInterestStore):
    """What an edit stores, and what replaces it."""

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
            lambda kept: edited(kept, *interests_of(kept)[:2], removed=sample.categories[2:3]),
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
        assert [one.score for one in interests_of(store.of(sample.users[0]))] == [7]

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

                def add(kept: StoredInterests | None, one: UserInterest = one) -> StoredInterests:
                    return edited(kept, *interests_of(kept), one)

                store.edit(sample.users[0], add)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))

        assert {one.category_id for one in interests_of(store.of(sample.users[0]))} == set(
            sample.categories[: threads * each]
        )
