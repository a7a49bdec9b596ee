"""The contract suite of `RunLedger`: open and last runs."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import attrs
import pytest

from angle_reco.domain.errors import FencedOffError
from angle_reco.domain.runs import ClaimStatus, Run, RunKey, RunState
from angle_reco.ports.ledger import MOST_OPEN, RunLedger
from angle_reco.testing.contracts.ledger_base import (
    JOB,
    LEASE,
    MINUTE,
    SECOND,
    SLOT,
    EmptyLedger,
    TimedLedger,
    claimed,
    manual_request,
    over,
    request,
    run_request,
    runs_in,
    write,
)
from angle_reco.testing.contracts.samples import DAY, HOUR, NOW, TICK


class LedgerReadingContract(EmptyLedger):
    """Which runs are open, which was the last, and which are pruned."""

    def test_open_returns_unfinished_runs_and_recent_scheduled_runs(
        self, timed: TimedLedger
    ) -> None:
        ledger, item = timed.ledger, RunKey.of(JOB, {"item_id": 7})
        other = RunKey("other")
        old = over(ledger, run_request(slot=NOW - DAY - TICK))
        recent = over(ledger, run_request(slot=NOW - DAY))
        over(ledger, run_request(key=item, slot=NOW - HOUR))
        over(ledger, run_request(key=other, slot=NOW - HOUR))
        over(ledger, manual_request())
        over(ledger, attrs.evolve(request(slot=NOW - MINUTE), claims_now=True))
        ancient = claimed(ledger, slot=NOW - 99 * DAY)
        waiting = ledger.claim(request(key=item), holder="ann", lease=LEASE).run
        failed = claimed(ledger, key=other, slot=NOW - 50 * DAY)
        ledger.finish(failed, error="E", retry_after=DAY)

        known = ledger.open([JOB], back=DAY)

        assert known.now == NOW
        assert [(run.key, run.slot) for run in known.runs] == [
            (ancient.key, ancient.slot),
            (failed.key, failed.slot),
            (recent.key, recent.slot),
            (waiting.key, waiting.slot),
        ]
        assert known.runs[0] == ancient
        timed.advance(TICK)
        assert recent.slot not in {run.slot for run in ledger.open([JOB], back=DAY).runs}
        slots = {run.slot for run in ledger.open([JOB, "other"], back=DAY + 2 * TICK).runs}
        assert {old.slot, recent.slot, NOW - HOUR} <= slots

    def test_open_runs_are_ordered_by_slot_then_by_key(self, ledger: RunLedger) -> None:
        keys = [RunKey("a"), RunKey("a", "[1]"), RunKey("a", "[2]"), RunKey("b")]
        wanted = [(key, SLOT + place * TICK) for place in range(3) for key in keys]
        for key, slot in reversed(wanted):
            run = claimed(ledger, key=key, slot=slot)
            ledger.finish(run, error="E", retry_after=DAY)

        assert [(run.key, run.slot) for run in ledger.open([], back=DAY).runs] == wanted

    def test_beyond_the_limit_open_prefers_runs_without_arguments_and_due_first(
        self, ledger: RunLedger
    ) -> None:
        def left(key: RunKey, due_at: datetime) -> Run:
            return ledger.claim(request(key=key, slot=due_at), holder="ann", lease=LEASE).run

        def left_later(place: int) -> Run:
            return left(RunKey.of(JOB, {"item_id": place}), NOW + (MOST_OPEN - place) * MINUTE)

        with ThreadPoolExecutor(2) as threads:
            later = list(threads.map(left_later, range(MOST_OPEN)))
        plain = [left(RunKey(job), NOW + 9 * DAY) for job in ("other", JOB)]

        known = ledger.open([JOB], back=DAY)

        assert list(known.runs) == [*reversed(later[2:]), *plain]

    def test_an_empty_ledger_returns_the_time_and_no_runs(self, ledger: RunLedger) -> None:
        known = ledger.open([JOB], back=DAY)

        assert (known.now, list(known.runs)) == (NOW, [])
        assert ledger.last_of_each([JOB]) == {}
        assert ledger.last_of_each([]) == {}
        assert ledger.prune(retention=DAY) == 0

    def test_the_last_run_of_a_job_is_the_one_that_started_last(self, timed: TimedLedger) -> None:
        ledger = timed.ledger
        over(ledger, run_request(slot=SLOT + DAY))
        timed.advance(SECOND)
        over(ledger, run_request(key=RunKey("other")))
        last = over(ledger, run_request(slot=SLOT))
        ledger.claim(request(), holder="ann", lease=LEASE)
        timed.advance(SECOND)
        over(ledger, run_request(key=RunKey.of(JOB, {"item_id": 7})))
        over(ledger, run_request(key=RunKey("unasked")))

        found = ledger.last_of_each([JOB, "other", "never"])

        assert found[JOB].slot == last.slot
        assert found[JOB].state is RunState.SUCCEEDED
        assert {job: run.key.job for job, run in found.items()} == {JOB: JOB, "other": "other"}
        assert all(not run.key.arguments for run in found.values())

    def test_a_waiting_run_is_not_the_last_run_before_it_starts(self, ledger: RunLedger) -> None:
        last = over(ledger, run_request(slot=NOW - DAY))
        for key in (RunKey(JOB), RunKey("waits")):
            ledger.claim(request(key=key, slot=NOW + HOUR), holder="ann", lease=LEASE)

        found = ledger.last_of_each([JOB, "waits"])

        assert {job: run.slot for job, run in found.items()} == {JOB: last.slot}

    def test_of_runs_that_started_together_the_last_has_the_latest_slot(
        self, ledger: RunLedger
    ) -> None:
        for slot in (SLOT, SLOT + HOUR, SLOT - HOUR):
            over(ledger, run_request(slot=slot))

        assert ledger.last_of_each([JOB])[JOB].slot == SLOT + HOUR

    def test_a_held_or_failed_run_can_be_the_last_run(self, timed: TimedLedger) -> None:
        over(timed.ledger, run_request())
        timed.advance(SECOND)
        held = claimed(timed.ledger, slot=SLOT + HOUR)
        assert timed.ledger.last_of_each([JOB]) == {JOB: held}

        timed.ledger.finish(held, error="E", retry_after=DAY)

        assert timed.ledger.last_of_each([JOB])[JOB].error == "E"

    def test_runs_that_ended_before_the_retention_are_pruned(self, timed: TimedLedger) -> None:
        ledger = timed.ledger
        for place, key in enumerate([RunKey(JOB), RunKey("other"), RunKey.of(JOB, {"a": 1})]):
            over(ledger, run_request(key=key, slot=SLOT + place * HOUR))
        discarded = claimed(ledger, slot=SLOT + DAY)
        ledger.finish(discarded, error="E")
        timed.advance(DAY)
        early = ledger.prune(retention=DAY)
        late = over(ledger, run_request(slot=SLOT - HOUR))
        timed.advance(TICK)

        assert (early, ledger.prune(retention=DAY)) == (0, 4)

        assert ledger.last_of_each([JOB, "other"]).keys() == {JOB}
        assert (
            ledger.claim(run_request(slot=late.slot), holder="x", lease=LEASE).status
            is ClaimStatus.DONE
        )
        assert ledger.prune(retention=DAY) == 0

    def test_held_and_recently_ended_runs_are_not_pruned_however_early_due(
        self, timed: TimedLedger
    ) -> None:
        ledger = timed.ledger
        held = ledger.claim(run_request(key=RunKey("held")), holder="ann", lease=9 * DAY).run
        late = claimed(ledger)
        timed.advance(3 * DAY)
        ledger.finish(late)
        timed.advance(DAY)

        assert ledger.prune(retention=DAY) == 0

        assert runs_in(ledger) == [held]
        assert ledger.last_of_each([JOB]).keys() == {JOB}

    def test_abandoned_runs_are_pruned_after_the_retention(self, timed: TimedLedger) -> None:
        ledger = timed.ledger
        ledger.claim(request(key=RunKey("waits")), holder="ann", lease=LEASE)
        claimed(ledger, key=RunKey("held"))
        ledger.finish(claimed(ledger), error="E", retry_after=MINUTE)
        before = runs_in(ledger)
        timed.advance(DAY)

        assert ledger.prune(retention=DAY) == 0
        assert len(before) == 3
        assert runs_in(ledger) == before
        timed.advance(HOUR)
        assert ledger.prune(retention=DAY) == 3
        assert runs_in(ledger) == []

    def test_numbers_still_grow_after_all_runs_are_pruned(self, timed: TimedLedger) -> None:
        earlier = over(timed.ledger, run_request())
        timed.advance(SECOND)
        assert timed.ledger.prune(retention=TICK) == 1

        later = claimed(timed.ledger)

        assert later.attempt == 1
        assert later.number > earlier.number
        with pytest.raises(FencedOffError):
            write(timed.store, earlier)
