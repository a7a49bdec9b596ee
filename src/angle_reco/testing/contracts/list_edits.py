"""The contract suite of `ListStore`: overrides."""

from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest

from angle_reco.domain.lists import ListKind
from angle_reco.domain.stored_list import StoredList
from angle_reco.ports.stores import ListStore, Written
from angle_reco.testing.contracts.list_store_base import EmptyListStore, edited, line, override_line
from angle_reco.testing.contracts.samples import HOUR, NOW, RECIPE, Sample


class ListEditsContract(EmptyListStore):
    """What an edit stores, and what replaces it."""

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
