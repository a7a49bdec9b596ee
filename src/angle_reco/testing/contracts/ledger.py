"""The contract suite of `RunLedger`."""

from datetime import timedelta

import attrs
import pytest

from angle_reco.domain.runs import Claim, ClaimStatus, Run, RunKey, RunState, Trigger
from angle_reco.ports.ledger import RunLedger
from angle_reco.testing.contracts.ledger_base import (
    JOB,
    LEASE,
    MINUTE,
    ODD_TEXTS,
    SECOND,
    SLOT,
    TimedLedger,
    at_once,
    by_slot,
    claimed,
    held_by,
    manual_request,
    request,
    run_request,
    runs_in,
)
from angle_reco.testing.contracts.ledger_clocks import ClocksContract
from angle_reco.testing.contracts.ledger_holders import HoldersContract
from angle_reco.testing.contracts.ledger_reading import LedgerReadingContract
from angle_reco.testing.contracts.samples import DAY, HOUR, NOW, TICK


class RunLedgerContract(HoldersContract, ClocksContract, LedgerReadingContract):
    """The promises of `RunLedger`; a subclass overrides the fixture *timed*."""

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
