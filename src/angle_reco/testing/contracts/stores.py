"""What every `InterestStore` and `ListStore` promises."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import attrs
import pytest

from angle_reco.domain import (
    SCORE_TOLERANCE,
    ListKind,
    Reason,
    Recipe,
    Source,
    StoredLine,
    UserId,
    UserInterest,
)
from angle_reco.ports import InterestStore, ListStore, StoreTotals, Written
from angle_reco.testing.contracts.samples import (
    DAY,
    ELSEWHERE,
    HOUR,
    NOW,
    RECIPE,
    TICK,
    EveryIdKind,
    Sample,
)


class InterestStoreContract(EveryIdKind):
    """The promises of `InterestStore`; a subclass brings an empty *store*."""

    @pytest.fixture
    def store(self, sample: Sample) -> InterestStore:
        """Return the port under test, empty, with ids of `sample.ids`."""
        raise NotImplementedError

    def test_nothing_is_kept_before_the_first_write(
        self, store: InterestStore, sample: Sample
    ) -> None:
        assert store.of(sample.users[0]) is None
        assert store.totals() == StoreTotals(
            owners=0, rows=0, oldest_at=None, newest_at=None, covered_at=None
        )

    def test_what_is_written_is_read_again(self, store: InterestStore, sample: Sample) -> None:
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

    def test_a_limit_keeps_the_strongest(self, store: InterestStore, sample: Sample) -> None:
        interests = [interest(sample, category=place, score=900 - place) for place in range(4)]
        write(store, sample, interests)

        found = [store.of(sample.users[0], limit=limit) for limit in (1, 3, 4, 1_000)]

        assert [one and list(one.interests) for one in found] == [
            interests[:1],
            interests[:3],
            interests,
            interests,
        ]

    def test_the_interests_of_each_user_are_their_own(
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
        ("change", "is_news"),
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
        is_news: bool,
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
        assert written == Written(changed=is_news, unchanged=not is_news)
        assert kept is not None
        assert kept.interests == (new if is_news else old,)
        assert kept.computed_at == (NOW + HOUR if is_news else NOW)

    def test_small_steps_do_not_add_up_unseen(self, store: InterestStore, sample: Sample) -> None:
        scores = [500_000, 500_060, 500_120]

        changed = [
            write(store, sample, [interest(sample, score=score)]).changed for score in scores
        ]

        assert changed == [1, 0, 1]

    def test_a_row_from_later_than_the_run_is_rewritten(
        self, store: InterestStore, sample: Sample
    ) -> None:
        one = interest(sample)
        write(store, sample, [one], at=NOW + DAY)

        written = [write(store, sample, [one], at=at) for at in (NOW, NOW)]

        kept = store.of(sample.users[0])
        assert written == [Written(1, 0), Written(0, 1)]
        assert kept is not None
        assert kept.computed_at == NOW

    def test_what_is_no_longer_there_goes_and_counts_as_a_change(
        self, store: InterestStore, sample: Sample
    ) -> None:
        interests = [interest(sample, category=place) for place in range(4)]
        write(store, sample, interests)

        written = write(store, sample, interests[:1])

        kept = store.of(sample.users[0])
        assert written == Written(changed=3, unchanged=1)
        assert kept is not None
        assert list(kept.interests) == interests[:1]

    def test_a_user_without_interests_keeps_none(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample, user=user) for user in range(3)])

        written = write(store, sample, [], users=sample.users[:2])

        assert written == Written(changed=2, unchanged=0)
        assert [store.of(user) is None for user in sample.users[:3]] == [True, True, False]

    def test_users_that_were_not_named_keep_theirs(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample, user=user) for user in range(2)])

        write(store, sample, [interest(sample, user=1, score=7)], at=NOW + HOUR)

        kept = [store.of(user) for user in sample.users[:2]]
        assert [one and one.interests[0].score for one in kept] == [500_000, 7]
        assert [one and one.computed_at for one in kept] == [NOW, NOW + HOUR]

    def test_interests_are_as_old_as_the_newest_row(
        self, store: InterestStore, sample: Sample
    ) -> None:
        old, other = interest(sample, category=0, score=9), interest(sample, category=1, score=10)
        write(store, sample, [old, other], at=NOW)

        write(store, sample, [attrs.evolve(old, interaction_count=99), other], at=NOW + HOUR)

        kept, strongest = store.of(sample.users[0]), store.of(sample.users[0], limit=1)
        assert kept is not None
        assert strongest is not None
        assert (kept.computed_at, strongest.computed_at) == (NOW + HOUR, NOW + HOUR)

    def test_writing_of_nobody_changes_nothing(self, store: InterestStore, sample: Sample) -> None:
        write(store, sample, [interest(sample)])

        assert write(store, sample, [], users=[]) == Written(0, 0)
        assert store.totals().rows == 1

    def test_many_users_are_written_at_once(self, store: InterestStore, sample: Sample) -> None:
        interests = [
            interest(sample, user=user, category=category)
            for user in range(len(sample.users))
            for category in range(len(sample.categories))
        ]

        assert write(store, sample, interests) == Written(len(interests), 0)
        assert write(store, sample, interests) == Written(0, len(interests))
        assert store.totals().rows == len(interests)

    def test_a_complete_run_forgets_all_others(self, store: InterestStore, sample: Sample) -> None:
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

    def test_a_complete_run_covers_what_it_left(self, store: InterestStore, sample: Sample) -> None:
        write(store, sample, [interest(sample)])

        gone = store.retain(sample.user_column(sample.users), started_at=NOW + DAY + TICK)

        kept = store.of(sample.users[0])
        assert gone == 0
        assert kept is not None
        assert (kept.computed_at, kept.covered_at) == (NOW, NOW + DAY + TICK)
        assert store.totals().covered_at == NOW + DAY + TICK

    def test_a_complete_run_of_nobody_forgets_everything(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample, user=user) for user in range(4)])

        assert store.retain(sample.user_column([]), started_at=NOW) == 4
        assert store.totals() == StoreTotals(
            owners=0, rows=0, oldest_at=None, newest_at=None, covered_at=NOW
        )

    def test_what_is_written_after_a_run_is_covered_by_it_too(
        self, store: InterestStore, sample: Sample
    ) -> None:
        store.retain(sample.user_column([]), started_at=NOW)
        write(store, sample, [interest(sample)], at=NOW + DAY)

        kept = store.of(sample.users[0])
        assert kept is not None
        assert (kept.computed_at, kept.covered_at) == (NOW + DAY, NOW)

    def test_totals_say_how_much_there_is_and_how_old(
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


class ListStoreContract(EveryIdKind):
    """The promises of `ListStore`; a subclass brings an empty *store*."""

    @pytest.fixture
    def store(self, sample: Sample) -> ListStore:
        """Return the port under test, empty, with ids of `sample.ids`."""
        raise NotImplementedError

    @pytest.fixture(params=list(ListKind))
    def kind(self, request: pytest.FixtureRequest) -> ListKind:
        """Return the kind of lists that a promise is tried with."""
        return ListKind(request.param)

    def test_nothing_is_kept_before_the_first_write(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)

        assert dict(store.read(kind, owners)) == {}
        assert store.coverage(kind) is None
        assert list(store.older_than(kind, NOW + DAY)) == []
        assert store.totals(kind) == StoreTotals(
            owners=0, rows=0, oldest_at=None, newest_at=None, covered_at=None
        )

    def test_what_is_written_is_read_again(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[3]
        lines = [
            StoredLine(
                item_id=item_id,
                score=place + 2,
                parts=(2, place),
                reason=list(Reason)[place % len(Reason)],
                source=list(Source)[place % len(Source)],
            )
            for place, item_id in enumerate(reversed(sample.items))
        ]

        written = store.write(kind, sample.lists(kind, {owner: lines}, at=NOW + TICK))

        assert written == Written(changed=1, unchanged=0)
        [kept] = store.read(kind, [owner]).values()
        assert list(kept.lines) == lines
        assert kept.recipe == RECIPE
        assert (kept.computed_at, kept.covered_at) == (NOW + TICK, None)

    def test_lists_of_every_owner_are_told_apart(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)
        several = {owner: [line(sample, score=place)] for place, owner in enumerate(owners)}

        written = store.write(kind, sample.lists(kind, several))

        assert written == Written(changed=len(owners), unchanged=0)
        assert {
            owner: list(kept.lines) for owner, kept in store.read(kind, owners).items()
        } == several
        for owner in owners:
            assert [list(kept.lines) for kept in store.read(kind, [owner]).values()] == [
                several[owner]
            ]

    def test_only_owners_that_have_a_list_are_answered(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)
        several = {owner: [line(sample)] for owner in owners[:3]}
        store.write(kind, sample.lists(kind, several))

        found = store.read(kind, [owners[4], owners[2], owners[0], owners[2]])

        assert found.keys() == {owners[0], owners[2]}
        assert dict(store.read(kind, [])) == {}

    def test_an_empty_list_is_one(self, store: ListStore, sample: Sample, kind: ListKind) -> None:
        owner, other = sample.owners(kind)[:2]
        empty: dict[object, list[StoredLine]] = {owner: [], other: [line(sample)]}

        written = [store.write(kind, sample.lists(kind, empty)) for _ in range(2)]

        found = store.read(kind, [owner, other])
        assert written == [Written(2, 0), Written(0, 2)]
        assert found[owner].lines == ()
        assert found[owner].computed_at == NOW
        assert found[owner].is_complete
        assert (store.totals(kind).owners, store.totals(kind).rows) == (2, 1)

    def test_a_list_that_became_empty_is_kept_empty(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[0]
        store.write(kind, sample.lists(kind, {owner: [line(sample)]}))

        written = store.write(kind, sample.lists(kind, {owner: []}))

        assert written == Written(1, 0)
        assert store.read(kind, [owner])[owner].lines == ()

    def test_writing_no_lists_changes_nothing(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        store.write(kind, sample.lists(kind, {sample.owners(kind)[0]: [line(sample)]}))

        assert store.write(kind, sample.lists(kind, {})) == Written(0, 0)
        assert store.totals(kind).owners == 1

    def test_kinds_are_kept_apart(self, store: ListStore, sample: Sample) -> None:
        for score, kind in enumerate(ListKind):
            several = {owner: [line(sample, score=score)] for owner in sample.owners(kind)}
            store.write(kind, sample.lists(kind, several))

        store.retain(ListKind.PERSONAL, sample.owner_column(ListKind.PERSONAL, []), started_at=NOW)

        assert [store.totals(kind).owners for kind in ListKind] == [
            len(sample.owners(kind)) if kind is not ListKind.PERSONAL else 0 for kind in ListKind
        ]
        assert [store.coverage(kind) for kind in ListKind] == [None, NOW, None]
        for score, kind in enumerate(ListKind):
            found = store.read(kind, sample.owners(kind)).values()
            assert all(kept.lines[0].score == score for kept in found)

    def test_only_what_changed_is_written(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)
        several = {owner: [line(sample)] for owner in owners[:4]}
        store.write(kind, sample.lists(kind, several))
        several[owners[1]] = [line(sample, item=1)]
        several[owners[4]] = [line(sample)]

        written = store.write(kind, sample.lists(kind, several, at=NOW + HOUR))

        found = store.read(kind, owners)
        assert written == Written(changed=2, unchanged=3)
        assert [found[owner].computed_at for owner in owners[:5]] == [
            NOW,
            NOW + HOUR,
            NOW,
            NOW,
            NOW + HOUR,
        ]
        assert list(found[owners[1]].lines) == several[owners[1]]

    @pytest.mark.parametrize(
        ("change", "is_news"),
        [
            ({"score": 500_000 + SCORE_TOLERANCE, "parts": (500_000, SCORE_TOLERANCE)}, False),
            ({"score": 500_000 - SCORE_TOLERANCE, "parts": (499_900, 0)}, False),
            ({"score": 500_001 + SCORE_TOLERANCE, "parts": (500_001, SCORE_TOLERANCE)}, True),
            ({"score": 499_999 - SCORE_TOLERANCE, "parts": (499_899, 0)}, True),
            ({"reason": Reason.TRENDING}, True),
            ({"source": Source.POPULAR}, True),
        ],
    )
    def test_a_list_is_written_when_it_differs_by_more_than_the_tolerance(
        self,
        store: ListStore,
        sample: Sample,
        kind: ListKind,
        change: dict[str, Any],  # fields of any type
        is_news: bool,
    ) -> None:
        owner = sample.owners(kind)[0]
        old = [line(sample, item=1, score=900_000), line(sample, item=0, score=500_000)]
        new = [old[0], attrs.evolve(old[1], **change)]
        store.write(kind, sample.lists(kind, {owner: old}))

        written = store.write(kind, sample.lists(kind, {owner: new}, at=NOW + HOUR))

        kept = store.read(kind, [owner])[owner]
        assert written == Written(changed=is_news, unchanged=not is_news)
        assert list(kept.lines) == (new if is_news else old)
        assert kept.computed_at == (NOW + HOUR if is_news else NOW)

    def test_other_items_another_order_or_length_is_a_change(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[0]
        first, second, third = (line(sample, item=item) for item in range(3))
        versions = [[first, second], [second, first], [second], [second, third], [], [first]]

        for version in versions:
            written = store.write(kind, sample.lists(kind, {owner: version}))

            assert written == Written(1, 0)
            assert list(store.read(kind, [owner])[owner].lines) == version

    def test_small_steps_do_not_add_up_unseen(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[0]

        changed = [
            store.write(kind, sample.lists(kind, {owner: [line(sample, score=score)]})).changed
            for score in (500_000, 500_060, 500_120)
        ]

        assert changed == [1, 0, 1]

    @pytest.mark.parametrize(
        "recipe",
        [
            attrs.evolve(RECIPE, name="blended"),
            attrs.evolve(RECIPE, kept=61),
            attrs.evolve(RECIPE, weights=(("interest", 600_000), ("popularity", 399_999))),
            attrs.evolve(RECIPE, weights=(("popularity", 600_000), ("interest", 400_000))),
        ],
        ids=["name", "kept", "weight", "order"],
    )
    def test_a_list_by_another_recipe_is_written(
        self, store: ListStore, sample: Sample, kind: ListKind, recipe: Recipe
    ) -> None:
        owner = sample.owners(kind)[0]
        several = {owner: [line(sample)]}
        store.write(kind, sample.lists(kind, several))

        written = [store.write(kind, sample.lists(kind, several, recipe=recipe)) for _ in range(2)]

        assert written == [Written(1, 0), Written(0, 1)]
        assert store.read(kind, [owner])[owner].recipe == recipe

    def test_a_recipe_may_have_any_name_and_other_components(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[0]
        recipe = Recipe(name='ours: "été" \'n % 😀', weights=(("été", 1),), kept=1)
        lines = [attrs.evolve(line(sample, score=9), parts=(9,))]

        store.write(kind, sample.lists(kind, {owner: lines}, recipe=recipe))

        kept = store.read(kind, [owner])[owner]
        assert (kept.recipe, list(kept.lines)) == (recipe, lines)
        assert not kept.is_complete

    def test_a_list_from_later_than_the_run_is_rewritten(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[0]
        several = {owner: [line(sample)]}
        store.write(kind, sample.lists(kind, several, at=NOW + TICK))

        written = [store.write(kind, sample.lists(kind, several, at=NOW)) for _ in range(2)]

        assert written == [Written(1, 0), Written(0, 1)]
        assert store.read(kind, [owner])[owner].computed_at == NOW

    def test_many_lists_are_written_at_once(self, store: ListStore, sample: Sample) -> None:
        owners: list[object] = [f"category {place}" for place in range(1_203)]
        several = {owner: [line(sample, score=place)] for place, owner in enumerate(owners)}
        kind = ListKind.POPULAR

        written = [store.write(kind, sample.lists(kind, several)) for _ in range(2)]

        assert written == [Written(len(owners), 0), Written(0, len(owners))]
        assert {
            owner: list(kept.lines) for owner, kept in store.read(kind, owners).items()
        } == several

    def test_a_complete_run_forgets_all_others(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)
        store.write(kind, sample.lists(kind, {owner: [line(sample)] for owner in owners}))
        stay = [owners[1], owners[-1]]

        gone = store.retain(kind, sample.owner_column(kind, stay), started_at=NOW + DAY)

        assert gone == len(owners) - 2
        assert store.read(kind, owners).keys() == set(stay)

    def test_a_complete_run_covers_what_it_left(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner, other = sample.owners(kind)[:2]
        store.write(kind, sample.lists(kind, {owner: [line(sample)]}))

        gone = store.retain(
            kind, sample.owner_column(kind, [owner, other]), started_at=NOW + DAY + TICK
        )

        kept = store.read(kind, [owner])[owner]
        assert gone == 0
        assert (kept.computed_at, kept.covered_at) == (NOW, NOW + DAY + TICK)
        assert store.coverage(kind) == NOW + DAY + TICK
        assert store.totals(kind).covered_at == NOW + DAY + TICK

    def test_a_complete_run_over_nothing_forgets_everything(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)
        store.write(kind, sample.lists(kind, {owner: [line(sample)] for owner in owners}))

        gone = store.retain(kind, sample.owner_column(kind, []), started_at=NOW)

        assert gone == len(owners)
        assert store.totals(kind) == StoreTotals(
            owners=0, rows=0, oldest_at=None, newest_at=None, covered_at=NOW
        )

    def test_a_later_run_covers_anew(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        for at in (NOW, NOW + DAY):
            store.retain(kind, sample.owner_column(kind, []), started_at=at)

        assert store.coverage(kind) == NOW + DAY

    def test_lists_older_than_a_moment_come_in_the_order_of_their_owners(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)
        for owner in owners[1::2] + owners[::2]:
            store.write(kind, sample.lists(kind, {owner: [line(sample)]}, at=NOW - TICK))
        for owner, at in [(owners[1], NOW), (owners[2], NOW + TICK)]:
            store.write(kind, sample.lists(kind, {owner: [line(sample, item=1)]}, at=at))

        assert list(store.older_than(kind, NOW)) == [owners[0], *owners[3:]]
        assert list(store.older_than(kind, NOW - TICK)) == []
        assert list(store.older_than(kind, NOW + TICK)) == [*owners[:2], *owners[3:]]
        assert list(store.older_than(kind, NOW + DAY)) == owners

    def test_a_covered_list_is_as_young_as_the_run(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)[:2]
        store.write(kind, sample.lists(kind, {owner: [] for owner in owners}, at=NOW - DAY))
        store.retain(kind, sample.owner_column(kind, owners), started_at=NOW)

        assert list(store.older_than(kind, NOW - TICK)) == []
        assert list(store.older_than(kind, NOW)) == []
        assert list(store.older_than(kind, NOW + TICK)) == owners

    def test_totals_say_how_much_there_is_and_how_old(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)
        several = {owners[0]: [line(sample, item=0), line(sample, item=1)]}
        store.write(kind, sample.lists(kind, several, at=NOW - DAY))
        store.write(kind, sample.lists(kind, {owners[1]: [line(sample)]}, at=NOW + TICK))
        store.write(kind, sample.lists(kind, {owners[2]: []}, at=NOW))

        assert store.totals(kind) == StoreTotals(
            owners=3, rows=3, oldest_at=NOW - DAY, newest_at=NOW + TICK, covered_at=None
        )


def interest(
    sample: Sample,
    *,
    user: int = 0,
    category: int = 0,
    score: int = 500_000,
    count: int = 1,
    last_at: datetime = NOW,
) -> UserInterest:
    """Return an interest of one of the users in one of the categories."""
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
) -> Written:
    """Write interests, by default as all of the users that they are of."""
    if users is None:
        users = list(dict.fromkeys(one.user_id for one in interests))
    return store.write(sample.interests(interests), users=sample.user_column(users), computed_at=at)


def line(sample: Sample, *, item: int = 0, score: int = 500_000) -> StoredLine:
    """Return a line with one of the items."""
    return StoredLine(
        item_id=sample.items[item],
        score=score,
        parts=(score, 0),
        reason=Reason.FAVOURITE_CATEGORY,
        source=Source.PERSONAL,
    )
