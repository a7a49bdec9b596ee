"""The contract suite of `ListStore`."""

from typing import Any

import attrs
import pytest

from angle_reco.domain.lists import ListKind
from angle_reco.domain.millionths import SCORE_TOLERANCE
from angle_reco.domain.stored_list import Recipe, StoredLine
from angle_reco.domain.suggestions import Reason, Source
from angle_reco.ports.stores import ListStore, StoreTotals, Written
from angle_reco.testing.contracts.list_edits import ListEditsContract
from angle_reco.testing.contracts.list_runs import ListRunsContract
from angle_reco.testing.contracts.list_store_base import line
from angle_reco.testing.contracts.samples import DAY, HOUR, NOW, RECIPE, TICK, Sample


class ListStoreContract(ListRunsContract, ListEditsContract):
    """The promises of `ListStore`; a subclass overrides the fixture *store*."""

    def test_a_store_is_empty_before_the_first_write(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)

        assert dict(store.read(kind, owners)) == {}
        assert list(store.older_than(kind, NOW + DAY)) == []
        assert store.totals(kind) == StoreTotals(
            owners=0, rows=0, oldest_at=None, newest_at=None, covered_at=None
        )

    def test_a_written_list_can_be_read(
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

    def test_lists_of_all_owners_are_distinguished(
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

    def test_only_owners_with_a_list_are_returned(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)
        several = {owner: [line(sample)] for owner in owners[:3]}
        store.write(kind, sample.lists(kind, several))

        found = store.read(kind, [owners[4], owners[2], owners[0], owners[2]])

        assert found.keys() == {owners[0], owners[2]}
        assert dict(store.read(kind, [])) == {}

    def test_an_empty_list_is_stored(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner, other = sample.owners(kind)[:2]
        empty: dict[object, list[StoredLine]] = {owner: [], other: [line(sample)]}

        written = [store.write(kind, sample.lists(kind, empty)) for _ in range(2)]

        found = store.read(kind, [owner, other])
        assert written == [Written(2, 0), Written(0, 2)]
        assert found[owner].lines == ()
        assert found[owner].computed_at == NOW
        assert found[owner].is_complete
        assert (store.totals(kind).owners, store.totals(kind).rows) == (2, 1)

    def test_a_list_that_became_empty_is_stored_as_empty(
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

    def test_kinds_are_separate(self, store: ListStore, sample: Sample) -> None:
        for score, kind in enumerate(ListKind):
            several = {owner: [line(sample, score=score)] for owner in sample.owners(kind)}
            store.write(kind, sample.lists(kind, several))

        store.retain(ListKind.PERSONAL, sample.owner_column(ListKind.PERSONAL, []), started_at=NOW)

        assert [store.totals(kind).owners for kind in ListKind] == [
            len(sample.owners(kind)) if kind is not ListKind.PERSONAL else 0 for kind in ListKind
        ]
        assert [store.totals(kind).covered_at for kind in ListKind] == [None, NOW, None]
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
        ("change", "is_change"),
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
        is_change: bool,
    ) -> None:
        owner = sample.owners(kind)[0]
        old = [line(sample, item=1, score=900_000), line(sample, item=0, score=500_000)]
        new = [old[0], attrs.evolve(old[1], **change)]
        store.write(kind, sample.lists(kind, {owner: old}))

        written = store.write(kind, sample.lists(kind, {owner: new}, at=NOW + HOUR))

        kept = store.read(kind, [owner])[owner]
        assert written == Written(changed=is_change, unchanged=not is_change)
        assert list(kept.lines) == (new if is_change else old)
        assert kept.computed_at == (NOW + HOUR if is_change else NOW)

    def test_equal_lists_and_changed_parts_alone_are_no_change(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)
        lines = [line(sample, item=item, score=500_000 - item) for item in range(5)]
        others = [attrs.evolve(one, parts=(0, one.score)) for one in lines]
        store.write(kind, sample.lists(kind, dict.fromkeys(owners, lines)))

        written = [
            store.write(kind, sample.lists(kind, dict.fromkeys(owners, version), at=NOW + HOUR))
            for version in (lines, others, lines)
        ]

        assert written == [Written(0, len(owners))] * 3
        assert all(
            (list(kept.lines), kept.computed_at) == (lines, NOW)
            for kept in store.read(kind, owners).values()
        )

    def test_of_several_lists_of_one_owner_the_last_counts(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        first, second, third = sample.owners(kind)[:3]
        several = [
            (second, [line(sample, item=0)]),
            (first, [line(sample, item=1), line(sample, item=2)]),
            (second, []),
            (third, [line(sample, item=3)]),
            (second, [line(sample, item=4), line(sample, item=0)]),
            (first, [line(sample, item=5)]),
        ]

        written = [store.write(kind, sample.lists(kind, several)) for _ in range(2)]

        assert written == [Written(3, 0), Written(0, 3)]
        assert {
            owner: list(kept.lines)
            for owner, kept in store.read(kind, [first, second, third]).items()
        } == dict(several)

    def test_other_items_another_order_or_another_length_is_a_change(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[0]
        first, second, third = (line(sample, item=item) for item in range(3))
        versions = [[first, second], [second, first], [second], [second, third], [], [first]]

        for version in versions:
            written = store.write(kind, sample.lists(kind, {owner: version}))

            assert written == Written(1, 0)
            assert list(store.read(kind, [owner])[owner].lines) == version

    def test_small_changes_add_up_to_a_write(
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
    def test_a_list_with_another_recipe_is_written(
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

    def test_a_list_computed_later_than_the_write_is_rewritten(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[0]
        several = {owner: [line(sample)]}
        store.write(kind, sample.lists(kind, several, at=NOW + TICK))

        written = [store.write(kind, sample.lists(kind, several, at=NOW)) for _ in range(2)]

        assert written == [Written(1, 0), Written(0, 1)]
        assert store.read(kind, [owner])[owner].computed_at == NOW

    def test_many_lists_can_be_written_at_once(self, store: ListStore, sample: Sample) -> None:
        owners: list[object] = [f"category {place}" for place in range(1_203)]
        several = {owner: [line(sample, score=place)] for place, owner in enumerate(owners)}
        kind = ListKind.POPULAR

        written = [store.write(kind, sample.lists(kind, several)) for _ in range(2)]

        assert written == [Written(len(owners), 0), Written(0, len(owners))]
        assert {
            owner: list(kept.lines) for owner, kept in store.read(kind, owners).items()
        } == several
