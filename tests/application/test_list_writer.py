"""A list that is computed out of turn: unchanged, it is as fresh as its computation."""

from datetime import datetime

from angle_reco.adapters.memory.erasure import MemoryErasures
from angle_reco.adapters.memory.stores import MemoryFences, MemoryListStore
from angle_reco.application.jobs.single_lists import store_one
from angle_reco.domain.lists import ListKind, Lists
from angle_reco.domain.stored_list import StoredList
from angle_reco.ports.stores import Written
from angle_reco.testing.contracts.list_store_base import line
from angle_reco.testing.contracts.samples import HOUR, KINDS, NOW, Sample
from tests.application.workers import Calling

KIND = ListKind.SIMILAR
SAMPLE = Sample(KINDS[0])
OWNER = SAMPLE.items[3]
UNCHANGED = Written(changed=0, unchanged=1)


def new_store() -> MemoryListStore:
    return MemoryListStore(MemoryFences(), MemoryErasures())


def made(score: int, at: datetime = NOW) -> Lists:
    return SAMPLE.lists(KIND, {OWNER: [line(SAMPLE, score=score)]}, at=at)


def stored(store: MemoryListStore) -> StoredList:
    return store.read(KIND, [OWNER])[OWNER]


def test_one_that_is_new_or_changed_is_stored_as_it_was_computed() -> None:
    store = new_store()

    written = [store_one(store, KIND, made(score)) for score in (500_000, 700_000)]

    assert written == [Written(changed=1, unchanged=0)] * 2
    assert stored(store) == made(700_000).stored(0)


def test_of_one_that_is_unchanged_only_the_moment_is_renewed() -> None:
    store = new_store()
    store_one(store, KIND, made(500_000))

    # A score that moved by so little is no change.
    written = store_one(store, KIND, made(500_050, NOW + HOUR))

    assert written == UNCHANGED
    assert stored(store) == made(500_000, NOW + HOUR).stored(0)


def test_one_that_another_process_computed_later_is_not_made_older() -> None:
    store = new_store()
    store_one(store, KIND, made(500_000))
    raced = Calling(store, "edit", lambda: store.write(KIND, made(700_000, NOW + 2 * HOUR)))

    assert store_one(raced, KIND, made(500_000, NOW + HOUR)) == UNCHANGED

    assert stored(store) == made(700_000, NOW + 2 * HOUR).stored(0)


def test_one_that_was_removed_at_that_moment_is_stored_again() -> None:
    store = new_store()
    store_one(store, KIND, made(500_000))

    def remove() -> None:
        nothing = SAMPLE.owner_column(KIND, [])
        assert store.retain(KIND, nothing, started_at=NOW) == 1

    raced = Calling(store, "edit", remove)
    store_one(raced, KIND, made(500_000, NOW + HOUR))

    assert stored(store).lines == made(500_000).stored(0).lines
