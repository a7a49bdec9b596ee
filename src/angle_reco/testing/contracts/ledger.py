"""The contract suite of `RunLedger`."""

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any, TypeVar

import attrs
import pytest

from angle_reco.domain.errors import FencedOffError
from angle_reco.domain.runs import Claim, ClaimStatus, Run, RunKey, RunRequest, RunState, Trigger
from angle_reco.ports.ledger import AHEAD, MOST_OPEN, RunLedger
from angle_reco.ports.stores import InterestStore
from angle_reco.testing.contracts.samples import DAY, HOUR, KINDS, NOW, TICK, Sample

_T = TypeVar("_T")

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
LEASE = timedelta(seconds=30)
SLOT = NOW - 5 * MINUTE - TICK
JOB = "tidy_up"

ODD_TEXTS = (
    "Tidy_up",
    "tidy_up ",
    "tidy up",
    'tidy_up {"item_id": 1}',
    "aufräumen",
    "片付け 🧹",
    'it\'s; DROP TABLE "runs" --',
    "%s %(job)s :job ? {}",
    "line\nbreak\ttab\\",
    "",
)


@attrs.frozen(kw_only=True)
class TimedLedger:
    """The ledger under test, with its clock and a store.

    *advance* moves the clock, which starts at NOW; tests also move it back, as when a
    clock that was ahead is corrected. *store* is an interest store that checks the fences
    of the ledger's runs.
    """

    ledger: RunLedger
    advance: Callable[[timedelta], None]
    store: InterestStore


class RunLedgerContract:
    """The promises of `RunLedger`; a subclass overrides the fixture *timed*."""

    @pytest.fixture
    def timed(self) -> TimedLedger:
        """Return an empty ledger with its clock, and a store with text ids."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def ledger(self, timed: TimedLedger) -> RunLedger:
        """Return the port under test."""
        return timed.ledger

    def test_the_ledger_uses_the_given_clock(self, timed: TimedLedger) -> None:
        before = timed.ledger.now(), timed.ledger.open([], back=DAY).now
        timed.advance(HOUR + TICK)

        assert before == (NOW, NOW)
        assert timed.ledger.now() == NOW + HOUR + TICK
        assert timed.ledger.open([], back=DAY).now == NOW + HOUR + TICK

    def test_the_first_request_claims_the_run(self, ledger: RunLedger) -> None:
        claim = ledger.claim(run_request(), holder="ann", lease=LEASE)

        assert claim.status is ClaimStatus.CLAIMED
        assert claim.run == Run(
            key=RunKey(JOB),
            slot=SLOT,
            trigger=Trigger.SCHEDULE,
            state=RunState.RUNNING,
            attempt=1,
            due_at=NOW,
            number=claim.run.number,
            holder="ann",
            lease_until=NOW + LEASE,
            started_at=NOW,
        )
        assert claim.run.number > 0
        assert runs_in(ledger) == [claim.run]

    def test_later_requests_get_the_run_that_is_held(self, ledger: RunLedger) -> None:
        held = claimed(ledger)

        same_slot = ledger.claim(run_request(), holder="bob", lease=LEASE)
        next_slot = ledger.claim(run_request(slot=SLOT + HOUR), holder="bob", lease=LEASE)
        manual = ledger.claim(manual_request(), holder="bob", lease=LEASE)

        busy = Claim(status=ClaimStatus.BUSY, run=held)
        assert [same_slot, next_slot, manual] == [busy] * 3
        assert runs_in(ledger) == [held]

    @pytest.mark.parametrize("is_manual", [False, True])
    def test_the_same_holder_gets_the_same_claim_again(
        self, timed: TimedLedger, is_manual: bool
    ) -> None:
        wanted = manual_request() if is_manual else run_request()
        first = timed.ledger.claim(wanted, holder="ann", lease=LEASE)
        timed.advance(SECOND)

        assert timed.ledger.claim(wanted, holder="ann", lease=LEASE) == first
        assert runs_in(timed.ledger) == [first.run]

    def test_a_finished_run_is_not_claimed_again(self, timed: TimedLedger) -> None:
        run = claimed(timed.ledger)
        timed.advance(SECOND)
        assert timed.ledger.finish(run, outcome="{}") is True

        again = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)

        assert again.status is ClaimStatus.DONE
        assert again.run == attrs.evolve(
            run,
            state=RunState.SUCCEEDED,
            lease_until=None,
            finished_at=NOW + SECOND,
            outcome="{}",
        )

    def test_the_next_slot_can_be_claimed_after_a_run(self, timed: TimedLedger) -> None:
        first = claimed(timed.ledger)
        timed.ledger.finish(first)

        second = claimed(timed.ledger, slot=SLOT + HOUR)

        assert second.attempt == 1
        assert second.number > first.number

    def test_a_failed_attempt_is_due_again_after_its_delay(self, timed: TimedLedger) -> None:
        first = claimed(timed.ledger)
        timed.advance(SECOND)
        assert timed.ledger.finish(first, error="odd: 'ü'", retry_after=MINUTE) is True

        timed.advance(MINUTE - TICK)
        early = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)
        timed.advance(TICK)
        again = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)

        assert early.status is ClaimStatus.LATER
        assert early.run == attrs.evolve(
            first,
            state=RunState.DUE,
            due_at=NOW + SECOND + MINUTE,
            lease_until=None,
            finished_at=NOW + SECOND,
            error="odd: 'ü'",
        )
        assert (again.status, again.run.slot, again.run.attempt) == (ClaimStatus.CLAIMED, SLOT, 2)
        assert again.run.number > first.number
        assert again.run.started_at == NOW + SECOND + MINUTE
        assert again.run.finished_at is None
        assert runs_in(timed.ledger) == [again.run]

    def test_a_failed_attempt_can_be_the_last(self, timed: TimedLedger) -> None:
        run = claimed(timed.ledger)
        assert timed.ledger.finish(run, error="E") is True

        again = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)

        assert again.status is ClaimStatus.DONE
        assert (again.run.state, again.run.error) == (RunState.DISCARDED, "E")
        assert (again.run.finished_at, again.run.outcome) == (NOW, None)

    @pytest.mark.parametrize("failures", [0, 2])
    def test_a_returned_attempt_is_not_used_up(self, timed: TimedLedger, failures: int) -> None:
        for _ in range(failures):
            timed.ledger.finish(claimed(timed.ledger), error="E", retry_after=timedelta(0))
        run = claimed(timed.ledger)
        timed.advance(SECOND)

        assert timed.ledger.finish(run, error="S", retry_after=timedelta(0), gives_back=True)

        assert runs_in(timed.ledger) == [
            attrs.evolve(
                run,
                state=RunState.DUE,
                attempt=failures,
                due_at=NOW + SECOND,
                lease_until=None,
                finished_at=NOW + SECOND,
                error="S",
            )
        ]
        again = claimed(timed.ledger)
        assert again.attempt == run.attempt == failures + 1
        assert again.number > run.number

    def test_a_run_that_was_taken_over_returns_no_attempt(self, timed: TimedLedger) -> None:
        lost = claimed(timed.ledger)
        timed.advance(LEASE + TICK)
        rescue = claimed(timed.ledger)

        kept = timed.ledger.finish(lost, error="S", retry_after=timedelta(0), gives_back=True)

        assert kept is False
        assert runs_in(timed.ledger) == [rescue]

    def test_a_run_is_taken_over_once_its_lease_has_expired(self, timed: TimedLedger) -> None:
        gone = claimed(timed.ledger)

        timed.advance(LEASE)
        still = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)
        timed.advance(TICK)
        rescue = timed.ledger.claim(run_request(), holder="bob", lease=2 * LEASE)

        assert still.status is ClaimStatus.BUSY
        assert rescue.status is ClaimStatus.CLAIMED
        assert rescue.run == attrs.evolve(
            gone,
            attempt=2,
            number=rescue.run.number,
            holder="bob",
            started_at=NOW + LEASE + TICK,
            lease_until=NOW + 3 * LEASE + TICK,
        )
        assert rescue.run.number > gone.number

    def test_a_run_whose_last_attempt_expired_is_discarded(self, timed: TimedLedger) -> None:
        for _ in range(3):
            claimed(timed.ledger)
            timed.advance(LEASE + TICK)

        last = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)

        assert last.status is ClaimStatus.DISCARDED
        assert (last.run.state, last.run.attempt) == (RunState.DISCARDED, 3)
        assert last.run.error
        assert last.run.finished_at == timed.ledger.now()
        after = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)
        assert after == Claim(status=ClaimStatus.DONE, run=last.run)
        assert runs_in(timed.ledger) == []

    def test_a_lease_set_by_a_clock_that_was_ahead_is_cut(self, timed: TimedLedger) -> None:
        held = timed.ledger.claim(run_request(), holder="ann", lease=DAY).run

        busy = timed.ledger.claim(manual_request(), holder="bob", lease=LEASE)

        cut = attrs.evolve(held, lease_until=NOW + LEASE)
        assert busy == Claim(status=ClaimStatus.BUSY, run=cut, is_lease_cut=True)
        assert runs_in(timed.ledger) == [cut]
        again = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)
        assert again == Claim(status=ClaimStatus.BUSY, run=cut)
        timed.advance(LEASE)
        assert (
            timed.ledger.claim(run_request(), holder="bob", lease=LEASE).status is ClaimStatus.BUSY
        )
        timed.advance(TICK)
        assert (
            timed.ledger.claim(run_request(), holder="bob", lease=LEASE).status
            is ClaimStatus.CLAIMED
        )

    def test_a_live_holder_keeps_its_run_when_the_clock_goes_back(self, timed: TimedLedger) -> None:
        timed.advance(HOUR)
        held = claimed(timed.ledger)
        timed.advance(-HOUR)

        busy = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)
        timed.advance(LEASE)
        assert timed.ledger.beat(held, lease=LEASE) is True
        timed.advance(LEASE)

        assert busy.is_lease_cut
        assert (
            timed.ledger.claim(run_request(), holder="bob", lease=LEASE).status is ClaimStatus.BUSY
        )
        write(timed.store, held)
        assert timed.ledger.finish(held) is True

    def test_runs_due_by_a_clock_that_was_ahead_can_start_once_it_goes_back(
        self, timed: TimedLedger
    ) -> None:
        ledger, item = timed.ledger, RunKey.of(JOB, {"item_id": 7})
        timed.advance(DAY)
        failed = claimed(ledger)
        ledger.finish(failed, error="E", retry_after=MINUTE)
        begins_at = (NOW + DAY).replace(second=0, microsecond=0)
        waiting = ledger.claim(request(key=item, slot=begins_at), holder="ann", lease=LEASE).run
        timed.advance(-DAY)

        again = ledger.claim(run_request(), holder="bob", lease=LEASE)
        claiming = attrs.evolve(request(key=item, slot=waiting.slot), claims_now=True)
        claim = ledger.claim(claiming, holder="bob", lease=LEASE)

        assert (again.status, again.run.attempt) == (ClaimStatus.CLAIMED, 2)
        assert again.run.number > failed.number
        assert (claim.status, claim.run.slot) == (ClaimStatus.CLAIMED, waiting.slot)

    def test_runs_that_ended_by_a_clock_that_was_ahead_are_pruned(self, timed: TimedLedger) -> None:
        ledger = timed.ledger
        timed.advance(HOUR)
        ahead = over(ledger, run_request(slot=SLOT + HOUR))
        waiting = ledger.claim(request(), holder="ann", lease=LEASE).run
        timed.advance(AHEAD - HOUR)
        over(ledger, run_request())
        timed.advance(-AHEAD)

        assert ledger.prune(retention=DAY) == 1

        assert ledger.prune(retention=DAY) == 0
        assert runs_in(ledger) == [waiting]
        again = claimed(ledger, slot=SLOT + HOUR)
        assert (again.attempt, again.number > ahead.number) == (1, True)

    def test_repeated_requests_leave_one_waiting_run(self, timed: TimedLedger) -> None:
        ledger, begin = timed.ledger, MINUTE - timedelta(seconds=15, microseconds=123_456)

        first = ledger.claim(request(), holder="ann", lease=LEASE)
        again = ledger.claim(request(), holder="bob", lease=LEASE)
        timed.advance(begin)
        later = ledger.claim(request(slot=NOW + begin), holder="eve", lease=LEASE)

        assert first.status is ClaimStatus.WAITING
        assert (first.run.state, first.run.attempt) == (RunState.DUE, 0)
        assert (first.run.trigger, first.run.due_at) == (Trigger.REQUEST, NOW)
        assert again == later == first
        assert runs_in(ledger) == [first.run]

    def test_a_waiting_run_is_claimed_when_no_other_of_its_key_is_held(
        self, timed: TimedLedger
    ) -> None:
        ledger = timed.ledger
        held = claimed(ledger)
        waiting = ledger.claim(request(), holder="ann", lease=LEASE).run
        claiming = attrs.evolve(request(slot=waiting.slot), claims_now=True)

        busy = ledger.claim(claiming, holder="eve", lease=LEASE)
        ledger.finish(held)
        claim = ledger.claim(claiming, holder="eve", lease=LEASE)
        trailing = ledger.claim(request(), holder="eve", lease=LEASE).run

        assert busy == Claim(status=ClaimStatus.BUSY, run=held)
        assert (claim.status, claim.run.slot) == (ClaimStatus.CLAIMED, waiting.slot)
        assert trailing.slot == waiting.slot + MINUTE
        assert trailing.due_at == NOW.replace(minute=31, second=0, microsecond=0)
        assert runs_in(ledger) == sorted([held_by(ledger, claim.run), trailing], key=by_slot)

    def test_a_request_after_a_finished_run_waits_for_the_next_window(
        self, timed: TimedLedger
    ) -> None:
        ledger = timed.ledger
        first = ledger.claim(request(), holder="ann", lease=LEASE).run
        claiming = attrs.evolve(request(slot=first.slot), claims_now=True)
        ledger.finish(ledger.claim(claiming, holder="ann", lease=LEASE).run)

        second = ledger.claim(request(), holder="ann", lease=LEASE)

        assert second.status is ClaimStatus.WAITING
        assert second.run.slot == first.slot + MINUTE
        assert second.run.due_at == NOW.replace(minute=31, second=0, microsecond=0)

    def test_each_manual_run_has_a_different_slot(self, timed: TimedLedger) -> None:
        runs = []
        for _ in range(5):
            claim = timed.ledger.claim(manual_request(), holder="ann", lease=LEASE)
            assert claim.status is ClaimStatus.CLAIMED
            assert timed.ledger.finish(claim.run)
            runs.append(claim.run)

        assert len({run.slot for run in runs}) == 5
        assert all(run.trigger is Trigger.MANUAL for run in runs)
        numbers = [run.number for run in runs]
        assert numbers == sorted(set(numbers))

    def test_runs_of_different_keys_are_held_at_the_same_time(self, ledger: RunLedger) -> None:
        keys = [RunKey(job) for job in (JOB, *ODD_TEXTS)]
        keys += [RunKey.of(JOB, {"item_id": text}) for text in ODD_TEXTS]
        keys += [RunKey.of(JOB, {"item_id": 7, "as_of": text}) for text in ODD_TEXTS]

        claims = [ledger.claim(run_request(key=key), holder="ann", lease=LEASE) for key in keys]

        assert [claim.status for claim in claims] == [ClaimStatus.CLAIMED] * len(keys)
        assert [claim.run.key for claim in claims] == keys
        assert sorted(runs_in(ledger), key=by_slot) == sorted(
            (claim.run for claim in claims), key=by_slot
        )
        assert all(ledger.beat(claim.run, lease=LEASE) for claim in claims)
        assert all(ledger.finish(claim.run) for claim in claims)

    def test_odd_texts_are_stored_unchanged(self, timed: TimedLedger) -> None:
        ledger = timed.ledger
        for place, text in enumerate(ODD_TEXTS):
            run = ledger.claim(run_request(slot=SLOT + place * HOUR), holder=text, lease=LEASE).run
            assert run.holder == text
            assert ledger.finish(run, error=text, retry_after=DAY)

        assert [(run.holder, run.error) for run in runs_in(ledger)] == [
            (text, text) for text in ODD_TEXTS
        ]
        timed.advance(SECOND)
        run = ledger.claim(manual_request(), holder="ann", lease=LEASE).run
        assert ledger.finish(run, outcome="".join(ODD_TEXTS))
        assert ledger.last_of_each([JOB])[JOB].outcome == "".join(ODD_TEXTS)

    def test_a_beat_extends_the_lease_from_now(self, timed: TimedLedger) -> None:
        run = claimed(timed.ledger)
        timed.advance(LEASE - TICK)

        assert timed.ledger.beat(run, lease=LEASE) is True

        assert held_by(timed.ledger, run).lease_until == NOW + 2 * LEASE - TICK
        timed.advance(LEASE)
        assert (
            timed.ledger.claim(run_request(), holder="bob", lease=LEASE).status is ClaimStatus.BUSY
        )
        timed.advance(TICK)
        assert (
            timed.ledger.claim(run_request(), holder="bob", lease=LEASE).status
            is ClaimStatus.CLAIMED
        )

    def test_a_late_beat_keeps_a_run_that_was_not_taken_over(self, timed: TimedLedger) -> None:
        run = claimed(timed.ledger)
        timed.advance(10 * LEASE)

        assert timed.ledger.beat(run, lease=LEASE) is True
        assert (
            timed.ledger.claim(run_request(), holder="bob", lease=LEASE).status is ClaimStatus.BUSY
        )
        assert timed.ledger.finish(run) is True

    def test_a_run_that_was_taken_over_is_lost(self, timed: TimedLedger) -> None:
        lost = claimed(timed.ledger)
        timed.advance(LEASE + TICK)
        rescue = claimed(timed.ledger)

        assert timed.ledger.beat(lost, lease=DAY) is False
        assert timed.ledger.finish(lost, outcome="{}") is False
        assert timed.ledger.finish(lost, error="E", retry_after=MINUTE) is False

        assert runs_in(timed.ledger) == [rescue]
        assert timed.ledger.beat(rescue, lease=LEASE) is True

    @pytest.mark.parametrize("is_manual", [False, True])
    def test_a_run_is_lost_once_a_later_one_of_its_key_is_claimed(
        self, timed: TimedLedger, is_manual: bool
    ) -> None:
        lost = claimed(timed.ledger)
        timed.advance(LEASE + TICK)
        later = manual_request() if is_manual else run_request(slot=SLOT + HOUR)
        held = timed.ledger.claim(later, holder="bob", lease=LEASE).run

        assert timed.ledger.beat(lost, lease=DAY) is False

        now = timed.ledger.now()
        assert [run for run in runs_in(timed.ledger) if run.is_held(now)] == [held]
        assert timed.ledger.beat(held, lease=LEASE) is True

    @pytest.mark.parametrize(
        "how", [{}, {"error": "E"}, {"error": "E", "retry_after": timedelta(0)}]
    )
    def test_a_finished_attempt_is_neither_extended_nor_finished_again(
        self, timed: TimedLedger, how: dict[str, Any]
    ) -> None:
        run = claimed(timed.ledger)
        assert timed.ledger.finish(run, **how) is True
        before = timed.ledger.last_of_each([JOB])
        timed.advance(SECOND)

        assert timed.ledger.beat(run, lease=LEASE) is False
        assert timed.ledger.finish(run, outcome="other", error="other") is False
        assert timed.ledger.last_of_each([JOB]) == before

    def test_a_run_that_was_not_claimed_cannot_be_extended_or_finished(
        self, timed: TimedLedger
    ) -> None:
        run = claimed(timed.ledger)
        others = [
            attrs.evolve(run, slot=SLOT + TICK),
            attrs.evolve(run, key=RunKey("other")),
            attrs.evolve(run, key=RunKey.of(JOB, {"item_id": 1})),
            attrs.evolve(run, number=run.number + 1),
        ]

        for other in others:
            assert timed.ledger.beat(other, lease=DAY) is False
            assert timed.ledger.finish(other) is False
        assert runs_in(timed.ledger) == [run]

    def test_the_holder_of_an_earlier_run_can_no_longer_write(self, timed: TimedLedger) -> None:
        earlier = claimed(timed.ledger)
        write(timed.store, earlier)
        timed.advance(LEASE + TICK)
        later = timed.ledger.claim(manual_request(), holder="bob", lease=LEASE).run

        with pytest.raises(FencedOffError, match=JOB) as caught:
            write(timed.store, earlier)
        assert caught.value.number == later.number
        write(timed.store, later)
        timed.ledger.finish(later)
        with pytest.raises(FencedOffError, match=JOB):
            write(timed.store, earlier)

    def test_a_fenced_run_gets_the_number_of_the_later_run_of_its_key(
        self, timed: TimedLedger
    ) -> None:
        keys = [RunKey(JOB), RunKey("other"), RunKey.of(JOB, {"item_id": 7})]
        earlier = [claimed(timed.ledger, key=key) for key in keys]
        timed.advance(LEASE + TICK)
        later = [claimed(timed.ledger, key=key) for key in keys]

        numbers = []
        for run in earlier:
            with pytest.raises(FencedOffError) as caught:
                write(timed.store, run)
            numbers.append(caught.value.number)

        assert numbers == [run.number for run in later]

    def test_a_run_of_another_key_does_not_fence_a_run(self, timed: TimedLedger) -> None:
        first = claimed(timed.ledger)
        other = timed.ledger.claim(
            run_request(key=RunKey.of(JOB, {"item_id": "vase"})), holder="bob", lease=LEASE
        ).run

        for run in (first, other, first):
            write(timed.store, run)

    def test_a_request_without_a_claim_does_not_fence_a_run(self, timed: TimedLedger) -> None:
        run = claimed(timed.ledger)
        timed.ledger.claim(run_request(), holder="bob", lease=LEASE)
        timed.ledger.claim(manual_request(), holder="bob", lease=LEASE)
        timed.ledger.claim(request(), holder="bob", lease=LEASE)

        write(timed.store, run)

    @pytest.mark.parametrize("is_manual", [False, True])
    def test_one_of_sixteen_concurrent_requests_claims_the_run(
        self, timed: TimedLedger, is_manual: bool
    ) -> None:
        keys = [RunKey.of(JOB, {"item_id": place}) for place in range(20)]
        wanted = [manual_request(key=key) if is_manual else run_request(key=key) for key in keys]

        def ask(place: int) -> list[Claim]:
            holder = f"h{place}"
            return [timed.ledger.claim(one, holder=holder, lease=LEASE) for one in wanted]

        for claims in zip(*at_once(16, ask), strict=True):
            [mine] = [claim for claim in claims if claim.status is ClaimStatus.CLAIMED]
            others = [claim for claim in claims if claim.status is not ClaimStatus.CLAIMED]
            assert others == [Claim(status=ClaimStatus.BUSY, run=mine.run)] * 15
            assert mine.run in runs_in(timed.ledger)
        assert len(runs_in(timed.ledger)) == 20

    def test_sixteen_concurrent_requests_leave_one_waiting_run(self, timed: TimedLedger) -> None:
        claims = at_once(
            16, lambda place: timed.ledger.claim(request(), holder=f"h{place}", lease=LEASE)
        )

        assert {claim.status for claim in claims} == {ClaimStatus.WAITING}
        assert len({claim.run.slot for claim in claims}) == 1
        assert runs_in(timed.ledger) == [claims[0].run]

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


def run_request(
    *, key: RunKey | None = None, slot: datetime = SLOT, attempts: int = 3
) -> RunRequest:
    """Return a scheduled request for the run of a slot."""
    return RunRequest(
        key=key or RunKey(JOB),
        trigger=Trigger.SCHEDULE,
        window=HOUR,
        attempts=attempts,
        slot=slot,
    )


def manual_request(*, key: RunKey | None = None) -> RunRequest:
    """Return a manual request for a run; the ledger gives it a new slot."""
    return RunRequest(key=key or RunKey(JOB), trigger=Trigger.MANUAL, window=HOUR, attempts=1)


def request(*, key: RunKey | None = None, slot: datetime | None = None) -> RunRequest:
    """Return a request that leaves a run to any worker, by default in the minute of NOW."""
    return RunRequest(
        key=key or RunKey(JOB),
        trigger=Trigger.REQUEST,
        window=MINUTE,
        attempts=3,
        slot=slot or NOW.replace(second=0, microsecond=0),
        claims_now=False,
    )


def claimed(ledger: RunLedger, *, key: RunKey | None = None, slot: datetime = SLOT) -> Run:
    """Claim the run of a slot as holder "ann", and return it."""
    claim = ledger.claim(run_request(key=key, slot=slot), holder="ann", lease=LEASE)
    assert claim.status is ClaimStatus.CLAIMED
    return claim.run


def over(ledger: RunLedger, wanted: RunRequest) -> Run:
    """Claim the requested run, finish it, and return it as claimed."""
    claim = ledger.claim(wanted, holder="ann", lease=LEASE)
    assert claim.status is ClaimStatus.CLAIMED
    assert ledger.finish(claim.run)
    return claim.run


def runs_in(ledger: RunLedger) -> list[Run]:
    """Return the open runs of the ledger."""
    return list(ledger.open([], back=DAY).runs)


def held_by(ledger: RunLedger, run: Run) -> Run:
    """Return the stored state of an open run."""
    [kept] = [one for one in runs_in(ledger) if (one.key, one.slot) == (run.key, run.slot)]
    return kept


def by_slot(run: Run) -> tuple[datetime, str, str]:
    """Return the sort key of runs: slot, job, arguments."""
    return run.slot, run.key.job, run.key.arguments


def write(store: InterestStore, run: Run) -> None:
    """Write to the store with the fence of *run*, without any data.

    Raises:
        FencedOffError: A later run of the key was claimed.
    """
    no_users = Sample(KINDS[0]).user_column([])
    store.retain(no_users, started_at=NOW, fence=run.fence)


def at_once(count: int, ask: Callable[[int], _T]) -> list[_T]:
    """Call *ask* in *count* threads at the same time; return their results in order."""
    barrier = Barrier(count)

    def wait_and_ask(place: int) -> _T:
        barrier.wait(timeout=30)
        return ask(place)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that the threads interleave as much as possible
    try:
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(wait_and_ask, range(count)))
    finally:
        sys.setswitchinterval(usual)
