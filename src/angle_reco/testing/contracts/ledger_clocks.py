"""The contract suite of `RunLedger`: clocks that were ahead."""

import attrs

from angle_reco.domain.runs import Claim, ClaimStatus, RunKey
from angle_reco.ports.ledger import AHEAD
from angle_reco.testing.contracts.ledger_base import (
    JOB,
    LEASE,
    MINUTE,
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


class ClocksContract(EmptyLedger):
    """What a clock that was ahead wrote, once it goes back."""

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
