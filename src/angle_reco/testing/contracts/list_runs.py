"""The contract suite of `ListStore`: runs of the jobs."""

import attrs
import pytest

from angle_reco.domain.errors import FencedOffError
from angle_reco.domain.lists import ListKind
from angle_reco.domain.runs import Fence
from angle_reco.domain.stored_list import StoredList
from angle_reco.domain.suggestions import Source
from angle_reco.ports.stores import ListStore, StoreTotals, Written
from angle_reco.testing.contracts.list_store_base import EmptyListStore, line
from angle_reco.testing.contracts.samples import DAY, HOUR, NOW, RECIPE, TICK, Sample


class ListRunsContract(EmptyListStore):
    """What complete runs remove, cover and leave, and which runs may write."""

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

    def test_lists_computed_since_a_moment_may_be_of_one_recipe(
        self, store: ListStore, sample: Sample, kind: ListKind
    ) -> None:
        owners, other = sample.owners(kind)[:4], attrs.evolve(RECIPE, rules="other")
        for owner, at, recipe in [
            (owners[0], NOW - TICK, RECIPE),
            (owners[1], NOW, RECIPE),
            (owners[2], NOW + TICK, other),
            (owners[3], NOW - DAY, other),
        ]:
            lists = sample.lists(kind, {owner: [line(sample)]}, at=at, recipe=recipe)
            store.write(kind, lists)

        assert {*store.computed_since(kind, NOW)} == {*owners[1:3]}
        assert {*store.computed_since(kind, NOW, recipe=RECIPE)} == {owners[1]}
        assert {*store.computed_since(kind, NOW - DAY, recipe=other)} == {*owners[2:4]}
        assert {*store.computed_since(kind, NOW + DAY)} == set()

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
