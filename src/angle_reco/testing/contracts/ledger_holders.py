"""The contract suite of `RunLedger`: those who hold runs."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from angle_reco.domain.errors import FencedOffError
from angle_reco.domain.runs import ClaimStatus, RunKey
from angle_reco.testing.contracts.ledger_base import (
    JOB,
    LEASE,
    MINUTE,
    SECOND,
    SLOT,
    EmptyLedger,
    TimedLedger,
    claimed,
    held_by,
    manual_request,
    request,
    run_request,
    runs_in,
    write,
)
from angle_reco.testing.contracts.samples import DAY, HOUR, NOW, TICK


class HoldersContract(EmptyLedger):
    """How a holder keeps its run, loses it, and is fenced off."""

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
