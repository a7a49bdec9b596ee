"""What the ledger and the runs of this process say is newer than what is in memory."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import repeat
from typing import Any

import attrs
import pytest

from angle_reco.adapters.memory.changes import MemoryChanges
from angle_reco.adapters.memory.ledger import MemoryRunLedger
from angle_reco.application.jobs.finished_runs import FinishedRuns
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.domain.ids import IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.job_names import CLEAR_MEMORY, JOB_OF, OF_ONE_ITEM
from angle_reco.domain.lists import ListKind
from angle_reco.domain.runs import RunKey, RunRequest, Trigger
from angle_reco.domain.suggestions import Freshness
from angle_reco.ports.cache import Cache, CacheKey, key_of
from angle_reco.ports.changes import Changes
from angle_reco.ports.ledger import RunLedger
from angle_reco.testing import ManualClock
from angle_reco.testing.contracts.cache_base import put
from tests.application.shop import HOUR, NOW, TICK
from tests.application.workers import Failing
from tests.memory_cache import MemoryCache

ANN, VASE, LAMP, CUP = UserId("ann"), ItemId("vase"), ItemId("lamp"), ItemId("cup")
KEYS: Mapping[ListKind, CacheKey] = {
    ListKind.POPULAR: key_of(ListKind.POPULAR, None),
    ListKind.PERSONAL: key_of(ListKind.PERSONAL, ANN),
    ListKind.SIMILAR: key_of(ListKind.SIMILAR, VASE),
}
FRESH, STALE = Freshness.FRESH, Freshness.STALE


@attrs.define(kw_only=True)
class Process:
    """What is in the memory of a process, and the ledger and feed that others share."""

    clock: ManualClock = attrs.field(factory=lambda: ManualClock(NOW))
    ledger: RunLedger
    changes: Changes
    cache: Cache
    newer: FinishedRuns

    @classmethod
    def of(cls, **ports: Any) -> "Process":
        """Return one with a list of each kind in its memory."""
        clock = ManualClock(NOW)
        ledger, changes = MemoryRunLedger(clock), MemoryChanges(clock)
        cache = MemoryCache(clock, most_bytes=1_000_000)
        given: dict[str, Any] = {"ledger": ledger, "changes": changes, "cache": cache, **ports}
        newer = FinishedRuns(ids=IdKinds(item=IdKind.TEXT), **given)
        one = cls(clock=clock, ledger=ledger, changes=changes, cache=cache, newer=newer)
        for key in KEYS.values():
            one.keep(key)
        return one

    def keep(self, key: CacheKey) -> None:
        """Put a value that is new."""
        put(self.cache, key, "old", limits=FreshnessLimits())

    def marked(self) -> set[ListKind]:
        """Return the kinds of which what is in memory is stale."""
        found = {kind: self.cache.get(key) for kind, key in KEYS.items()}
        return {kind for kind, one in found.items() if one is not None and one.freshness is STALE}

    def kept(self) -> set[ListKind]:
        """Return the kinds of which something is in memory."""
        return {kind for kind, key in KEYS.items() if self.cache.get(key) is not None}

    def ends(self, job: str, slot: datetime = NOW, **how: Any) -> None:
        """Have a run of a job end elsewhere."""
        run_request = RunRequest(
            key=RunKey(job), trigger=Trigger.SCHEDULE, window=HOUR, attempts=3, slot=slot
        )
        claim = self.ledger.claim(run_request, holder="elsewhere", lease=HOUR)
        assert self.ledger.finish(claim.run, **how)


@pytest.mark.parametrize("kind", JOB_OF)
class TestARunOfAJob:
    def test_elsewhere_marks_its_lists_alone_and_once(self, kind: ListKind) -> None:
        one = Process.of()
        one.newer.check_ledger()
        one.ends(JOB_OF[kind])

        one.newer.check_ledger()
        first = one.marked()
        one.keep(KEYS[kind])
        one.newer.check_ledger()

        assert first == {kind}
        assert one.marked() == set()

    def test_before_the_first_look_is_nothing_new(self, kind: ListKind) -> None:
        one = Process.of()
        one.ends(JOB_OF[kind])

        one.newer.check_ledger()

        assert one.marked() == set()
        one.ends(JOB_OF[kind], NOW + HOUR)
        one.newer.check_ledger()
        assert one.marked() == {kind}

    def test_of_the_same_slot_again_is_new(self, kind: ListKind) -> None:
        one = Process.of()
        one.ends(JOB_OF[kind])
        one.newer.check_ledger()
        one.clock.advance(timedelta(days=99))
        assert one.ledger.prune(retention=HOUR) == 1
        for key in KEYS.values():
            one.keep(key)
        one.ends(JOB_OF[kind])

        one.newer.check_ledger()

        assert one.marked() == {kind}

    def test_that_failed_after_a_success_is_nothing_new(self, kind: ListKind) -> None:
        one = Process.of()
        one.ends(JOB_OF[kind])
        one.newer.check_ledger()
        one.clock.advance(TICK)
        one.ends(JOB_OF[kind], NOW + HOUR, error="E")

        for _ in range(2):
            one.newer.check_ledger()

        assert one.marked() == set()
        one.clock.advance(TICK)
        one.ends(JOB_OF[kind], NOW + 2 * HOUR)
        one.newer.check_ledger()
        assert one.marked() == {kind}

    @pytest.mark.parametrize("has_looked", [False, True])
    def test_here_marks_its_lists_alone(self, kind: ListKind, has_looked: bool) -> None:
        one = Process.of()
        if has_looked:
            one.newer.check_ledger()
        one.ends(JOB_OF[kind])

        one.newer.note_success(RunKey(JOB_OF[kind]))

        assert one.marked() == {kind}

    @pytest.mark.parametrize("has_looked", [False, True])
    def test_here_marks_its_lists_although_the_ledger_does_not_answer(
        self, kind: ListKind, has_looked: bool
    ) -> None:
        one = Process.of()
        if has_looked:
            one.newer.check_ledger()
        one.ends(JOB_OF[kind])
        one.newer.ledger = Failing(one.ledger, "last_of_each", repeat(StorageUnavailableError()))

        one.newer.note_success(RunKey(JOB_OF[kind]))

        assert one.marked() == {kind}

    def test_here_that_a_look_has_seen_leaves_what_was_read_since_fresh(
        self, kind: ListKind
    ) -> None:
        one = Process.of()
        one.newer.check_ledger()
        one.ends(JOB_OF[kind])
        one.newer.check_ledger()
        one.keep(KEYS[kind])

        one.newer.note_success(RunKey(JOB_OF[kind]))

        assert one.marked() == set()

    def test_here_is_published(self, kind: ListKind) -> None:
        one = Process.of()
        cursor = one.changes.now()

        one.newer.note_success(RunKey(JOB_OF[kind]))

        change = Change(kind=ChangeKind.RUN, job=JOB_OF[kind])
        assert list(one.changes.since(cursor).changes) == [change]

    def test_here_is_published_without_a_cache(self, kind: ListKind) -> None:
        one = Process.of(cache=None)
        cursor = one.changes.now()

        one.newer.note_success(RunKey(JOB_OF[kind]))

        assert len(one.changes.since(cursor).changes) == 1
        assert one.marked() == set()


def test_a_run_of_another_job_marks_nothing() -> None:
    one = Process.of()
    one.ends("refresh_user_interests")

    one.newer.note_success(RunKey("refresh_user_interests"))

    assert one.marked() == set()


def test_a_run_for_one_item_forgets_that_list_and_publishes_nothing() -> None:
    one = Process.of()
    cursor = one.changes.now()
    other = key_of(ListKind.SIMILAR, LAMP)
    one.keep(other)

    one.newer.note_success(RunKey.of(OF_ONE_ITEM, {"item_id": VASE}))

    assert one.kept() == {ListKind.POPULAR, ListKind.PERSONAL}
    assert one.cache.get(other) is not None
    assert list(one.changes.since(cursor).changes) == []


def test_a_run_as_of_the_past_is_nothing_new() -> None:
    one = Process.of()
    cursor = one.changes.now()

    one.newer.note_success(RunKey.of(JOB_OF[ListKind.POPULAR], {"as_of": NOW.isoformat()}))

    assert (one.marked(), one.kept()) == (set(), set(KEYS))
    assert list(one.changes.since(cursor).changes) == []


def test_a_list_made_out_of_turn_is_published_with_those_it_entered_which_are_forgotten() -> None:
    one = Process.of()
    cursor = one.changes.now()
    for item_id in (LAMP, CUP):
        one.keep(key_of(ListKind.SIMILAR, item_id))

    one.newer.item_recomputed(VASE, [LAMP, CUP])

    change = Change(kind=ChangeKind.RUN, job=OF_ONE_ITEM, item_ids=(VASE, LAMP, CUP))
    assert list(one.changes.since(cursor).changes) == [change]
    kept = [one.cache.get(key_of(ListKind.SIMILAR, item_id)) for item_id in (VASE, LAMP, CUP)]
    assert [cached is not None for cached in kept] == [True, False, False]


def test_without_a_cache_there_is_nothing_to_look_for() -> None:
    one = Process.of(cache=None, ledger=None)

    one.newer.check_ledger()
    one.newer.forget_similar([VASE])

    assert one.kept() == set(KEYS)


def test_a_feed_that_does_not_answer_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    failing = Failing(MemoryChanges(ManualClock(NOW)), "publish", [StorageUnavailableError()])
    one = Process.of(changes=failing)

    one.newer.item_recomputed(VASE, [])

    [line] = caplog.messages
    assert line == f"run not published: job={OF_ONE_ITEM} error=StorageUnavailableError"


def test_everything_is_forgotten_once_for_each_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "angle_reco")
    one = Process.of()
    one.ends(CLEAR_MEMORY)
    one.newer.check_ledger()
    before = one.kept()

    one.ends(CLEAR_MEMORY, NOW + HOUR)
    one.newer.check_ledger()
    after = one.kept()
    for key in KEYS.values():
        one.keep(key)
    one.newer.check_ledger()

    assert (before, after, one.kept()) == (set(KEYS), set(), set(KEYS))
    [line] = caplog.messages
    assert line.startswith("cache cleared: entries=3 bytes=")
