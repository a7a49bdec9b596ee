"""The contract suite of `ListStore`."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest

from angle_reco.domain.errors import FencedOffError
from angle_reco.domain.lists import ListKind
from angle_reco.domain.millionths import SCORE_TOLERANCE
from angle_reco.domain.runs import Fence
from angle_reco.domain.stored_list import Recipe, StoredLine, StoredList
from angle_reco.domain.suggestions import Reason, Source
from angle_reco.ports.stores import ListStore, StoreTotals, Written
from angle_reco.testing.contracts.samples import (
    DAY,
    HOUR,
    NOW,
    RECIPE,
    TICK,
    EveryIdKind,
    Sample,
)


class ListStoreContract(EveryIdKind):
    """The promises of `ListStore`; a subclass overrides the fixture *store*."""

    @pytest.fixture
    def store(self, sample: Sample) -> ListStore:
        """Return the port under test, empty, with ids of `sample.ids`."""
        pytest.fail("override this fixture")

    @pytest.fixture(params=list(ListKind))
    def kind(self, request: pytest.FixtureRequest) -> ListKind:
        """Return the kind of lists that a promise is tested with."""
        return ListKind(request.param)

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

    def test_a_complete_run_removes_all_other_lists(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)
        store.write(kind, sample.lists(kind, {owner: [line(sample)] for owner in owners}))
        stay = [owners[1], owners[-1]]

        gone = store.retain(kind, sample.owner_column(kind, stay), started_at=NOW + DAY)

        assert gone == len(owners) - 2
        assert store.read(kind, owners).keys() == set(stay)

    def test_a_complete_run_covers_the_remaining_lists(
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
        assert store.totals(kind).covered_at == NOW + DAY + TICK

    def test_a_complete_run_without_owners_removes_everything(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)
        store.write(kind, sample.lists(kind, {owner: [line(sample)] for owner in owners}))

        gone = store.retain(kind, sample.owner_column(kind, []), started_at=NOW)

        assert gone == len(owners)
        assert store.totals(kind) == StoreTotals(
            owners=0, rows=0, oldest_at=None, newest_at=None, covered_at=NOW
        )

    def test_a_complete_run_may_keep_all_lists(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)
        store.write(kind, sample.lists(kind, {owner: [line(sample)] for owner in owners}))

        gone = store.retain(kind, None, started_at=NOW + DAY)

        assert gone == 0
        assert {one.covered_at for one in store.read(kind, owners).values()} == {NOW + DAY}
        assert store.totals(kind).owners == len(owners)

    def test_a_complete_run_leaves_a_watermark_for_the_next(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        none, texts = store.watermark(kind), list[str | None]()
        for at, text in [(NOW, "é'\n" * 9), (NOW, "two"), (NOW + DAY, ""), (NOW + DAY, "four")]:
            store.retain(kind, None, started_at=at, watermark=text)
            texts.append(store.watermark(kind))

        assert none is None
        assert texts == ["é'\n" * 9, "two", "", "four"]
        others = [one for one in ListKind if one is not kind]
        assert [store.watermark(one) for one in others] == [None, None]

    def test_a_watermark_can_be_removed(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        newer, older = (Fence(job="compute", number=number) for number in (2, 1))
        store.forget_watermark(kind)
        before = store.watermark(kind)
        store.retain(kind, None, started_at=NOW, watermark="one", fence=newer)

        with pytest.raises(FencedOffError):
            store.forget_watermark(kind, fence=older)
        kept = store.watermark(kind)
        store.forget_watermark(kind, fence=newer)

        assert (before, kept, store.watermark(kind)) == (None, "one", "")

    def test_an_edit_removes_the_watermark_unless_it_renews_a_list(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner, other = sample.owners(kind)[:2]
        store.write(kind, sample.lists(kind, {owner: [line(sample)]}))
        store.retain(kind, None, started_at=NOW, watermark="one")
        texts = []

        def renewed(stored: StoredList | None) -> StoredList:
            assert stored is not None
            return attrs.evolve(stored, computed_at=NOW + HOUR)

        def shortened(stored: StoredList | None) -> StoredList:
            assert stored is not None
            return stored.with_lines([])

        for of, change in [(owner, renewed), (owner, shortened)]:
            store.edit(kind, of, change)
            texts.append(store.watermark(kind))
        store.retain(kind, None, started_at=NOW, watermark="two")
        made = store.read(kind, [owner])[owner]
        store.edit(kind, other, lambda _: made)

        assert [*texts, store.watermark(kind)] == ["one", "", ""]

    def test_lists_with_popular_items_or_few_are_filled_up(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)
        lists = {
            owner: [
                attrs.evolve(line(sample, item=place), source=source)
                for place, source in enumerate(sources)
            ]
            for owner, sources in zip(
                owners[:5],
                [
                    [Source.PERSONAL, Source.PERSONAL],
                    [Source.PERSONAL, Source.POPULAR],
                    [Source.POPULAR, Source.SIMILAR, Source.CATEGORY],
                    [Source.CATEGORY],
                    [],
                ],
                strict=True,
            )
        }
        store.write(kind, sample.lists(kind, lists))

        assert {*store.filled_up(kind, size=0)} == {*owners[1:3]}
        assert {*store.filled_up(kind, size=2)} == {*owners[1:5]}
        assert {*store.filled_up(kind, size=3)} == {*owners[:5]}

    def test_a_later_run_renews_the_coverage(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        for at in (NOW, NOW + DAY):
            store.retain(kind, sample.owner_column(kind, []), started_at=at)

        assert store.totals(kind).covered_at == NOW + DAY

    def test_lists_older_than_a_moment_are_ordered_by_owner(
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

    def test_the_age_of_a_covered_list_is_that_of_the_run(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners = sample.owners(kind)[:2]
        store.write(kind, sample.lists(kind, {owner: [] for owner in owners}, at=NOW - DAY))
        store.retain(kind, sample.owner_column(kind, owners), started_at=NOW)

        assert list(store.older_than(kind, NOW - TICK)) == []
        assert list(store.older_than(kind, NOW)) == []
        assert list(store.older_than(kind, NOW + TICK)) == owners

    def test_totals_count_lists_and_give_their_ages(
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

    def test_the_newest_run_of_a_job_may_write_repeatedly(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[0]
        numbers = [0, 0, 1, 7, 7, 2**63 - 1]

        for score, number in enumerate(numbers):
            fence = Fence(job="compute", number=number)
            lists = sample.lists(kind, {owner: [line(sample, score=score * 1_000)]})
            written = store.write(kind, lists, fence=fence)
            gone = store.retain(kind, lists.owners, started_at=NOW + TICK * score, fence=fence)

            assert (written, gone) == (Written(1, 0), 0)
        assert store.totals(kind).covered_at == NOW + TICK * 5

    def test_an_older_run_is_refused_and_changes_nothing(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        newer, older = (Fence(job="compute", number=number) for number in (8, 7))
        owners = sample.owners(kind)
        old, new = (
            sample.lists(kind, {one: [line(sample, item=count)] for one in owners[:count]}, at=at)
            for count, at in [(2, NOW), (3, NOW + HOUR)]
        )
        store.write(kind, old, fence=newer)
        store.retain(kind, old.owners, started_at=NOW, fence=newer)
        before = dict(store.read(kind, owners)), store.totals(kind)

        with pytest.raises(FencedOffError, match="newer run of compute"):
            store.write(kind, new, fence=older)
        with pytest.raises(FencedOffError, match="newer run of compute"):
            store.write(kind, sample.lists(kind, {}), fence=older)
        with pytest.raises(FencedOffError, match="newer run of compute"):
            store.retain(kind, sample.owner_column(kind, []), started_at=NOW + HOUR, fence=older)

        assert (dict(store.read(kind, owners)), store.totals(kind)) == before

    def test_a_run_that_changed_nothing_still_fences_older_runs(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        some = sample.lists(kind, {sample.owners(kind)[0]: []})
        store.write(kind, sample.lists(kind, {}), fence=Fence(job="compute", number=2))

        with pytest.raises(FencedOffError):
            store.write(kind, some, fence=Fence(job="compute", number=1))
        store.retain(kind, some.owners, started_at=NOW, fence=Fence(job="compute", number=4))
        with pytest.raises(FencedOffError):
            store.write(kind, some, fence=Fence(job="compute", number=3))

        assert store.totals(kind).owners == 0

    def test_a_fence_holds_for_lists_of_every_kind(self, store: ListStore, sample: Sample) -> None:
        nothing = {kind: sample.lists(kind, {}) for kind in ListKind}
        store.write(
            ListKind.SIMILAR, nothing[ListKind.SIMILAR], fence=Fence(job="compute", number=2)
        )

        for kind in ListKind:
            with pytest.raises(FencedOffError):
                store.write(kind, nothing[kind], fence=Fence(job="compute", number=1))

    def test_other_jobs_and_writers_without_a_fence_are_not_fenced(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[0]
        fences = [
            Fence(job="compute", number=9),
            Fence(job="Compute", number=1),
            Fence(job="compute ", number=1),
            Fence(job="", number=0),
            None,
            Fence(job="compute", number=9),
        ]

        written = [
            store.write(
                kind,
                sample.lists(kind, {owner: [line(sample, score=score * 1_000)]}),
                fence=fence,
            )
            for score, fence in enumerate(fences)
        ]

        assert written == [Written(1, 0)] * len(fences)

    def test_an_override_is_read_with_its_mark(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner, other = sample.owners(kind)[:2]
        computed = line(sample, item=1)
        override = override_line(sample, 0, score=1_000_000)
        store.write(kind, sample.lists(kind, {owner: [computed], other: [computed]}))

        store.edit(kind, owner, lambda kept: edited(kept, override, computed))

        found = store.read(kind, [owner, other])
        assert found[owner].lines == (override, computed)
        assert (found[owner].edited, found[owner].is_complete) == (True, True)
        assert (found[owner].recipe, found[owner].computed_at) == (RECIPE, NOW)
        assert (found[other].lines, found[other].edited) == ((computed,), False)
        assert (store.totals(kind).owners, store.totals(kind).rows) == (2, 3)

    def test_a_list_may_be_edited_to_be_shorter_or_empty(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[0]
        lines = [line(sample, item=place) for place in range(3)]
        store.write(kind, sample.lists(kind, {owner: lines}))

        for left in (lines[:1], []):
            store.edit(kind, owner, lambda kept, left=left: edited(kept, *left))  # type: ignore[misc]  # a default binds it

            kept = store.read(kind, [owner])[owner]
            assert (list(kept.lines), kept.edited) == (left, True)

    def test_an_edit_without_a_stored_list_gets_none(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner, other = sample.owners(kind)[:2]
        seen: list[StoredList | None] = []
        written = StoredList.of([line(sample)], recipe=RECIPE, computed_at=NOW, edited=True)
        computed = attrs.evolve(written, edited=False)

        def change(kept: StoredList | None) -> StoredList:
            seen.append(kept)
            return written

        store.edit(kind, owner, change)
        store.edit(kind, other, lambda _: computed)

        assert seen == [None]
        assert dict(store.read(kind, [owner, other])) == {owner: written, other: computed}

    def test_an_edit_gets_the_list_that_read_returns(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[0]
        store.write(kind, sample.lists(kind, {owner: [line(sample), line(sample, item=1)]}))
        store.retain(kind, sample.owner_column(kind, [owner]), started_at=NOW + HOUR)
        store.edit(
            kind, owner, lambda kept: edited(kept, override_line(sample, 2), line(sample, item=1))
        )
        seen: list[StoredList | None] = []

        def look(kept: StoredList | None) -> StoredList:
            seen.append(kept)
            assert kept is not None
            return kept

        store.edit(kind, owner, look)

        assert seen == [store.read(kind, [owner])[owner]]
        assert seen[0] is not None
        assert seen[0].covered_at == NOW + HOUR

    def test_an_edit_that_returns_its_argument_changes_nothing(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[0]
        several = sample.lists(kind, {owner: [line(sample)]})
        store.write(kind, several)
        before = dict(store.read(kind, [owner])), store.totals(kind)

        def leave(kept: StoredList | None) -> StoredList:
            assert kept is not None
            return kept

        store.edit(kind, owner, leave)

        assert (dict(store.read(kind, [owner])), store.totals(kind)) == before
        assert store.write(kind, several) == Written(0, 1)

    def test_an_edit_that_raises_changes_nothing(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner, missing = sample.owners(kind)[:2]
        store.write(kind, sample.lists(kind, {owner: [line(sample)]}))
        before = dict(store.read(kind, [owner, missing])), store.totals(kind)

        def fail(kept: StoredList | None) -> StoredList:
            raise LookupError("not this one")

        for one in (owner, missing):
            with pytest.raises(LookupError, match="not this one"):
                store.edit(kind, one, fail)

        assert (dict(store.read(kind, [owner, missing])), store.totals(kind)) == before
        # The failed edit released its lock.
        store.edit(kind, owner, lambda kept: edited(kept, line(sample, score=7)))
        assert [one.score for one in store.read(kind, [owner])[owner].lines] == [7]

    @pytest.mark.parametrize("is_override", [True, False], ids=["a line by hand", "one taken out"])
    def test_the_next_write_replaces_an_edited_list_even_by_an_equal_one(
        self, store: ListStore, sample: Sample, kind: ListKind, is_override: bool
    ) -> None:
        owner, other = sample.owners(kind)[:2]
        first, second = line(sample, score=9), line(sample, item=1, score=8)
        left = (attrs.evolve(first, parts=(0, 0), by_hand=True),) if is_override else (first,)
        before = [first] if is_override else [first, second]
        store.write(kind, sample.lists(kind, {owner: before, other: [first]}))
        store.edit(kind, owner, lambda kept: edited(kept, *left))
        # The computed lists have the same items and scores as the stored ones.
        computed = sample.lists(kind, {owner: [first], other: [first]}, at=NOW + HOUR)

        written = [store.write(kind, computed) for _ in range(2)]

        kept = store.read(kind, [owner])[owner]
        assert written == [Written(1, 1), Written(0, 2)]
        assert kept.lines == (first,)
        assert (kept.edited, kept.computed_at) == (False, NOW + HOUR)

    def test_a_write_of_the_list_from_before_the_edit_replaces_it(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner = sample.owners(kind)[0]
        computed = sample.lists(kind, {owner: [line(sample), line(sample, item=1)]})
        store.write(kind, computed)
        store.edit(kind, owner, lambda kept: edited(kept, override_line(sample, 2)))

        written = [store.write(kind, computed) for _ in range(2)]

        kept = store.read(kind, [owner])[owner]
        assert written == [Written(1, 0), Written(0, 1)]
        assert kept == StoredList.of(
            [line(sample), line(sample, item=1)], recipe=RECIPE, computed_at=NOW
        )

    def test_concurrent_edits_of_one_list_are_all_stored(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owner, threads, each = sample.owners(kind)[0], 4, 3

        def work(place: int) -> None:
            for item in range(place * each, (place + 1) * each):
                one = override_line(sample, item)
                store.edit(
                    kind,
                    owner,
                    lambda kept, one=one: edited(kept, *(kept.lines if kept else ()), one),  # type: ignore[misc]  # a default binds it
                )

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))

        kept = store.read(kind, [owner])[owner]
        assert {one.item_id for one in kept.lines} == set(sample.items[: threads * each])
        assert all(one.by_hand for one in kept.lines)


def edited(kept: StoredList | None, *lines: StoredLine) -> StoredList:
    """Return *kept*, or a new list, with exactly these lines and marked as edited."""
    kept = kept or StoredList.of([], recipe=RECIPE, computed_at=NOW)
    return kept.with_lines(lines, edited=True)


def override_line(sample: Sample, item: int, *, score: int = 500_000) -> StoredLine:
    """Return a manual line; *item* is a place in the sample."""
    return attrs.evolve(line(sample, item=item, score=score), parts=(0, 0), by_hand=True)


def line(sample: Sample, *, item: int = 0, score: int = 500_000) -> StoredLine:
    """Return a computed line; *item* is a place in the sample."""
    return StoredLine(
        item_id=sample.items[item],
        score=score,
        parts=(score, 0),
        reason=Reason.FAVOURITE_CATEGORY,
        source=Source.PERSONAL,
    )
