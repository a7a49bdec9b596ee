"""What every `RunLedger` promises."""

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
    """A ledger, a way to move its clock, which stands at NOW, and a store beside it.

    Its clock is also moved back, as when one that was ahead is corrected.
    """

    ledger: RunLedger
    advance: Callable[[timedelta], None]
    store: InterestStore


class RunLedgerContract:
    """The promises of `RunLedger`; a subclass brings an empty one that is *timed*."""

    @pytest.fixture
    def timed(self) -> TimedLedger:
        """Return the port under test, empty, with its clock; the ids of the store are texts."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def ledger(self, timed: TimedLedger) -> RunLedger:
        """Return the port under test."""
        return timed.ledger

    def test_its_clock_is_the_one_it_is_given(self, timed: TimedLedger) -> None:
        before = timed.ledger.now(), timed.ledger.open([], back=DAY).now
        timed.advance(HOUR + TICK)

        assert before == (NOW, NOW)
        assert timed.ledger.now() == NOW + HOUR + TICK
        assert timed.ledger.open([], back=DAY).now == NOW + HOUR + TICK

    def test_who_asks_first_has_the_run(self, ledger: RunLedger) -> None:
        claim = ledger.claim(run_request(), holder="ann", lease=LEASE)

        assert claim.answer is ClaimStatus.CLAIMED
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

    def test_who_asks_next_is_told_who_has_it(self, ledger: RunLedger) -> None:
        held = claimed(ledger)

        same_slot = ledger.claim(run_request(), holder="bob", lease=LEASE)
        next_slot = ledger.claim(run_request(slot=SLOT + HOUR), holder="bob", lease=LEASE)
        by_hand = ledger.claim(wish_by_hand(), holder="bob", lease=LEASE)

        busy = Claim(answer=ClaimStatus.BUSY, run=held)
        assert [same_slot, next_slot, by_hand] == [busy] * 3
        assert runs_in(ledger) == [held]

    @pytest.mark.parametrize("is_by_hand", [False, True])
    def test_the_same_holder_is_told_the_same_again(
        self, timed: TimedLedger, is_by_hand: bool
    ) -> None:
        wanted = wish_by_hand() if is_by_hand else run_request()
        first = timed.ledger.claim(wanted, holder="ann", lease=LEASE)
        timed.advance(SECOND)

        assert timed.ledger.claim(wanted, holder="ann", lease=LEASE) == first
        assert runs_in(timed.ledger) == [first.run]

    def test_a_run_that_is_over_is_not_begun_again(self, timed: TimedLedger) -> None:
        run = claimed(timed.ledger)
        timed.advance(SECOND)
        assert timed.ledger.finish(run, outcome="{}") is True

        again = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)

        assert again.answer is ClaimStatus.DONE
        assert again.run == attrs.evolve(
            run,
            state=RunState.SUCCEEDED,
            lease_until=None,
            finished_at=NOW + SECOND,
            outcome="{}",
        )

    def test_the_next_slot_can_be_begun_then(self, timed: TimedLedger) -> None:
        first = claimed(timed.ledger)
        timed.ledger.finish(first)

        second = claimed(timed.ledger, slot=SLOT + HOUR)

        assert second.attempt == 1
        assert second.number > first.number

    def test_a_failed_attempt_is_due_again_after_a_while(self, timed: TimedLedger) -> None:
        first = claimed(timed.ledger)
        timed.advance(SECOND)
        assert timed.ledger.finish(first, error="odd: 'ü'", retry_after=MINUTE) is True

        timed.advance(MINUTE - TICK)
        early = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)
        timed.advance(TICK)
        again = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)

        assert early.answer is ClaimStatus.LATER
        assert early.run == attrs.evolve(
            first,
            state=RunState.DUE,
            due_at=NOW + SECOND + MINUTE,
            lease_until=None,
            finished_at=NOW + SECOND,
            error="odd: 'ü'",
        )
        assert (again.answer, again.run.slot, again.run.attempt) == (ClaimStatus.CLAIMED, SLOT, 2)
        assert again.run.number > first.number
        assert again.run.started_at == NOW + SECOND + MINUTE
        assert again.run.finished_at is None
        assert runs_in(timed.ledger) == [again.run]

    def test_a_failed_attempt_can_be_the_last(self, timed: TimedLedger) -> None:
        run = claimed(timed.ledger)
        assert timed.ledger.finish(run, error="E") is True

        again = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)

        assert again.answer is ClaimStatus.DONE
        assert (again.run.state, again.run.error) == (RunState.DISCARDED, "E")
        assert (again.run.finished_at, again.run.outcome) == (NOW, None)

    @pytest.mark.parametrize("failures", [0, 2])
    def test_an_attempt_that_is_given_back_can_be_made_again(
        self, timed: TimedLedger, failures: int
    ) -> None:
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

    def test_what_was_taken_over_gives_no_attempt_back(self, timed: TimedLedger) -> None:
        lost = claimed(timed.ledger)
        timed.advance(LEASE + TICK)
        rescue = claimed(timed.ledger)

        kept = timed.ledger.finish(lost, error="S", retry_after=timedelta(0), gives_back=True)

        assert kept is False
        assert runs_in(timed.ledger) == [rescue]

    def test_a_run_is_taken_over_once_its_lease_is_over(self, timed: TimedLedger) -> None:
        gone = claimed(timed.ledger)

        timed.advance(LEASE)
        still = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)
        timed.advance(TICK)
        rescue = timed.ledger.claim(run_request(), holder="bob", lease=2 * LEASE)

        assert still.answer is ClaimStatus.BUSY
        assert rescue.answer is ClaimStatus.CLAIMED
        assert rescue.run == attrs.evolve(
            gone,
            attempt=2,
            number=rescue.run.number,
            holder="bob",
            started_at=NOW + LEASE + TICK,
            lease_until=NOW + 3 * LEASE + TICK,
        )
        assert rescue.run.number > gone.number

    def test_a_run_that_lost_its_holder_at_the_last_attempt_is_given_up(
        self, timed: TimedLedger
    ) -> None:
        for _ in range(3):
            claimed(timed.ledger)
            timed.advance(LEASE + TICK)

        last = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)

        assert last.answer is ClaimStatus.DISCARDED
        assert (last.run.state, last.run.attempt) == (RunState.DISCARDED, 3)
        assert last.run.error
        assert last.run.finished_at == timed.ledger.now()
        after = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)
        assert after == Claim(answer=ClaimStatus.DONE, run=last.run)
        assert runs_in(timed.ledger) == []

    def test_a_lease_that_a_clock_ahead_has_set_is_cut(self, timed: TimedLedger) -> None:
        held = timed.ledger.claim(run_request(), holder="ann", lease=DAY).run

        busy = timed.ledger.claim(wish_by_hand(), holder="bob", lease=LEASE)

        cut = attrs.evolve(held, lease_until=NOW + LEASE)
        assert busy == Claim(answer=ClaimStatus.BUSY, run=cut, is_lease_cut=True)
        assert runs_in(timed.ledger) == [cut]
        again = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)
        assert again == Claim(answer=ClaimStatus.BUSY, run=cut)
        timed.advance(LEASE)
        assert (
            timed.ledger.claim(run_request(), holder="bob", lease=LEASE).answer is ClaimStatus.BUSY
        )
        timed.advance(TICK)
        assert (
            timed.ledger.claim(run_request(), holder="bob", lease=LEASE).answer
            is ClaimStatus.CLAIMED
        )

    def test_a_holder_that_is_alive_when_the_clock_goes_back_keeps_its_run(
        self, timed: TimedLedger
    ) -> None:
        timed.advance(HOUR)
        held = claimed(timed.ledger)
        timed.advance(-HOUR)

        busy = timed.ledger.claim(run_request(), holder="bob", lease=LEASE)
        timed.advance(LEASE)
        assert timed.ledger.beat(held, lease=LEASE) is True
        timed.advance(LEASE)

        assert busy.is_lease_cut
        assert (
            timed.ledger.claim(run_request(), holder="bob", lease=LEASE).answer is ClaimStatus.BUSY
        )
        write(timed.store, held)
        assert timed.ledger.finish(held) is True

    def test_what_waits_by_a_clock_that_was_ahead_can_begin_once_it_goes_back(
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
        begins = attrs.evolve(request(key=item, slot=waiting.slot), begins=True)
        begun = ledger.claim(begins, holder="bob", lease=LEASE)

        assert (again.answer, again.run.attempt) == (ClaimStatus.CLAIMED, 2)
        assert again.run.number > failed.number
        assert (begun.answer, begun.run.slot) == (ClaimStatus.CLAIMED, waiting.slot)

    def test_what_ended_by_a_clock_that_was_ahead_is_forgotten(self, timed: TimedLedger) -> None:
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

    def test_a_request_leaves_one_run_that_waits(self, timed: TimedLedger) -> None:
        ledger, begin = timed.ledger, MINUTE - timedelta(seconds=15, microseconds=123_456)

        first = ledger.claim(request(), holder="ann", lease=LEASE)
        again = ledger.claim(request(), holder="bob", lease=LEASE)
        timed.advance(begin)
        later = ledger.claim(request(slot=NOW + begin), holder="eve", lease=LEASE)

        assert first.answer is ClaimStatus.WAITING
        assert (first.run.state, first.run.attempt) == (RunState.DUE, 0)
        assert (first.run.trigger, first.run.due_at) == (Trigger.REQUEST, NOW)
        assert again == later == first
        assert runs_in(ledger) == [first.run]

    def test_a_run_that_waits_begins_when_no_other_of_its_key_is_held(
        self, timed: TimedLedger
    ) -> None:
        ledger = timed.ledger
        held = claimed(ledger)
        waiting = ledger.claim(request(), holder="ann", lease=LEASE).run
        begins = attrs.evolve(request(slot=waiting.slot), begins=True)

        busy = ledger.claim(begins, holder="eve", lease=LEASE)
        ledger.finish(held)
        begun = ledger.claim(begins, holder="eve", lease=LEASE)
        trailing = ledger.claim(request(), holder="eve", lease=LEASE).run

        assert busy == Claim(answer=ClaimStatus.BUSY, run=held)
        assert (begun.answer, begun.run.slot) == (ClaimStatus.CLAIMED, waiting.slot)
        assert trailing.slot == waiting.slot + MINUTE
        assert trailing.due_at == NOW.replace(minute=31, second=0, microsecond=0)
        assert runs_in(ledger) == sorted([held_by(ledger, begun.run), trailing], key=by_slot)

    def test_a_request_after_one_that_is_over_waits_for_the_next_window(
        self, timed: TimedLedger
    ) -> None:
        ledger = timed.ledger
        first = ledger.claim(request(), holder="ann", lease=LEASE).run
        begins = attrs.evolve(request(slot=first.slot), begins=True)
        ledger.finish(ledger.claim(begins, holder="ann", lease=LEASE).run)

        second = ledger.claim(request(), holder="ann", lease=LEASE)

        assert second.answer is ClaimStatus.WAITING
        assert second.run.slot == first.slot + MINUTE
        assert second.run.due_at == NOW.replace(minute=31, second=0, microsecond=0)

    def test_by_hand_each_run_has_a_slot_of_its_own(self, timed: TimedLedger) -> None:
        runs = []
        for _ in range(5):
            claim = timed.ledger.claim(wish_by_hand(), holder="ann", lease=LEASE)
            assert claim.answer is ClaimStatus.CLAIMED
            assert timed.ledger.finish(claim.run)
            runs.append(claim.run)

        assert len({run.slot for run in runs}) == 5
        assert all(run.trigger is Trigger.MANUAL for run in runs)
        numbers = [run.number for run in runs]
        assert numbers == sorted(set(numbers))

    def test_runs_of_other_keys_go_on_beside_it(self, ledger: RunLedger) -> None:
        keys = [RunKey(job) for job in (JOB, *ODD_TEXTS)]
        keys += [RunKey.of(JOB, {"item_id": text}) for text in ODD_TEXTS]
        keys += [RunKey.of(JOB, {"item_id": 7, "as_of": text}) for text in ODD_TEXTS]

        claims = [ledger.claim(run_request(key=key), holder="ann", lease=LEASE) for key in keys]

        assert [claim.answer for claim in claims] == [ClaimStatus.CLAIMED] * len(keys)
        assert [claim.run.key for claim in claims] == keys
        assert sorted(runs_in(ledger), key=by_slot) == sorted(
            (claim.run for claim in claims), key=by_slot
        )
        assert all(ledger.beat(claim.run, lease=LEASE) for claim in claims)
        assert all(ledger.finish(claim.run) for claim in claims)

    def test_odd_texts_are_kept_as_they_are(self, timed: TimedLedger) -> None:
        ledger = timed.ledger
        for place, text in enumerate(ODD_TEXTS):
            run = ledger.claim(run_request(slot=SLOT + place * HOUR), holder=text, lease=LEASE).run
            assert run.holder == text
            assert ledger.finish(run, error=text, retry_after=DAY)

        assert [(run.holder, run.error) for run in runs_in(ledger)] == [
            (text, text) for text in ODD_TEXTS
        ]
        timed.advance(SECOND)
        run = ledger.claim(wish_by_hand(), holder="ann", lease=LEASE).run
        assert ledger.finish(run, outcome="".join(ODD_TEXTS))
        assert ledger.last_of_each([JOB])[JOB].outcome == "".join(ODD_TEXTS)

    def test_a_beat_prolongs_a_run_from_now_on(self, timed: TimedLedger) -> None:
        run = claimed(timed.ledger)
        timed.advance(LEASE - TICK)

        assert timed.ledger.beat(run, lease=LEASE) is True

        assert held_by(timed.ledger, run).lease_until == NOW + 2 * LEASE - TICK
        timed.advance(LEASE)
        assert (
            timed.ledger.claim(run_request(), holder="bob", lease=LEASE).answer is ClaimStatus.BUSY
        )
        timed.advance(TICK)
        assert (
            timed.ledger.claim(run_request(), holder="bob", lease=LEASE).answer
            is ClaimStatus.CLAIMED
        )

    def test_a_beat_that_comes_late_keeps_what_nobody_took(self, timed: TimedLedger) -> None:
        run = claimed(timed.ledger)
        timed.advance(10 * LEASE)

        assert timed.ledger.beat(run, lease=LEASE) is True
        assert (
            timed.ledger.claim(run_request(), holder="bob", lease=LEASE).answer is ClaimStatus.BUSY
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

    @pytest.mark.parametrize("is_by_hand", [False, True])
    def test_a_run_is_lost_once_a_later_one_of_its_key_began(
        self, timed: TimedLedger, is_by_hand: bool
    ) -> None:
        lost = claimed(timed.ledger)
        timed.advance(LEASE + TICK)
        later = wish_by_hand() if is_by_hand else run_request(slot=SLOT + HOUR)
        held = timed.ledger.claim(later, holder="bob", lease=LEASE).run

        assert timed.ledger.beat(lost, lease=DAY) is False

        now = timed.ledger.now()
        assert [run for run in runs_in(timed.ledger) if run.is_held(now)] == [held]
        assert timed.ledger.beat(held, lease=LEASE) is True

    @pytest.mark.parametrize(
        "how", [{}, {"error": "E"}, {"error": "E", "retry_after": timedelta(0)}]
    )
    def test_what_is_over_is_neither_prolonged_nor_ended_again(
        self, timed: TimedLedger, how: dict[str, Any]
    ) -> None:
        run = claimed(timed.ledger)
        assert timed.ledger.finish(run, **how) is True
        before = timed.ledger.last_of_each([JOB])
        timed.advance(SECOND)

        assert timed.ledger.beat(run, lease=LEASE) is False
        assert timed.ledger.finish(run, outcome="other", error="other") is False
        assert timed.ledger.last_of_each([JOB]) == before

    def test_a_run_nobody_claimed_is_nobodys(self, timed: TimedLedger) -> None:
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

    def test_whoever_held_an_earlier_run_can_write_no_more(self, timed: TimedLedger) -> None:
        earlier = claimed(timed.ledger)
        write(timed.store, earlier)
        timed.advance(LEASE + TICK)
        later = timed.ledger.claim(wish_by_hand(), holder="bob", lease=LEASE).run

        with pytest.raises(FencedOffError, match=JOB) as caught:
            write(timed.store, earlier)
        assert caught.value.number == later.number
        write(timed.store, later)
        timed.ledger.finish(later)
        with pytest.raises(FencedOffError, match=JOB):
            write(timed.store, earlier)

    def test_runs_that_lost_name_the_later_one_of_their_own_key(self, timed: TimedLedger) -> None:
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

    def test_a_run_of_another_key_does_not_keep_it_from_writing(self, timed: TimedLedger) -> None:
        first = claimed(timed.ledger)
        other = timed.ledger.claim(
            run_request(key=RunKey.of(JOB, {"item_id": "vase"})), holder="bob", lease=LEASE
        ).run

        for run in (first, other, first):
            write(timed.store, run)

    def test_what_came_to_nothing_keeps_nobody_from_writing(self, timed: TimedLedger) -> None:
        run = claimed(timed.ledger)
        timed.ledger.claim(run_request(), holder="bob", lease=LEASE)
        timed.ledger.claim(wish_by_hand(), holder="bob", lease=LEASE)
        timed.ledger.claim(request(), holder="bob", lease=LEASE)

        write(timed.store, run)

    @pytest.mark.parametrize("is_by_hand", [False, True])
    def test_of_sixteen_who_ask_at_once_one_has_it(
        self, timed: TimedLedger, is_by_hand: bool
    ) -> None:
        keys = [RunKey.of(JOB, {"item_id": place}) for place in range(20)]
        wanted = [wish_by_hand(key=key) if is_by_hand else run_request(key=key) for key in keys]

        def ask(place: int) -> list[Claim]:
            holder = f"h{place}"
            return [timed.ledger.claim(one, holder=holder, lease=LEASE) for one in wanted]

        for claims in zip(*at_once(16, ask), strict=True):
            [mine] = [claim for claim in claims if claim.answer is ClaimStatus.CLAIMED]
            others = [claim for claim in claims if claim.answer is not ClaimStatus.CLAIMED]
            assert others == [Claim(answer=ClaimStatus.BUSY, run=mine.run)] * 15
            assert mine.run in runs_in(timed.ledger)
        assert len(runs_in(timed.ledger)) == 20

    def test_of_sixteen_requests_at_once_one_run_comes(self, timed: TimedLedger) -> None:
        claims = at_once(
            16, lambda place: timed.ledger.claim(request(), holder=f"h{place}", lease=LEASE)
        )

        assert {claim.answer for claim in claims} == {ClaimStatus.WAITING}
        assert len({claim.run.slot for claim in claims}) == 1
        assert runs_in(timed.ledger) == [claims[0].run]

    def test_open_runs_are_those_that_are_not_over_and_the_last_of_the_schedule(
        self, timed: TimedLedger
    ) -> None:
        ledger, item = timed.ledger, RunKey.of(JOB, {"item_id": 7})
        other = RunKey("other")
        old = over(ledger, run_request(slot=NOW - DAY - TICK))
        recent = over(ledger, run_request(slot=NOW - DAY))
        over(ledger, run_request(key=item, slot=NOW - HOUR))
        over(ledger, run_request(key=other, slot=NOW - HOUR))
        over(ledger, wish_by_hand())
        over(ledger, attrs.evolve(request(slot=NOW - MINUTE), begins=True))
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

    def test_open_runs_come_by_slot_and_then_by_key(self, ledger: RunLedger) -> None:
        keys = [RunKey("a"), RunKey("a", "[1]"), RunKey("a", "[2]"), RunKey("b")]
        wanted = [(key, SLOT + place * TICK) for place in range(3) for key in keys]
        for key, slot in reversed(wanted):
            run = claimed(ledger, key=key, slot=slot)
            ledger.finish(run, error="E", retry_after=DAY)

        assert [(run.key, run.slot) for run in ledger.open([], back=DAY).runs] == wanted

    def test_of_very_many_open_runs_come_those_without_arguments_and_those_due_first(
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

    def test_of_an_empty_ledger_it_is_known_what_time_it_is(self, ledger: RunLedger) -> None:
        known = ledger.open([JOB], back=DAY)

        assert (known.now, list(known.runs)) == (NOW, [])
        assert ledger.last_of_each([JOB]) == {}
        assert ledger.last_of_each([]) == {}
        assert ledger.prune(retention=DAY) == 0

    def test_the_last_of_a_job_is_the_one_that_began_last(self, timed: TimedLedger) -> None:
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

    def test_a_run_that_waits_is_not_the_last_before_it_starts(self, ledger: RunLedger) -> None:
        last = over(ledger, run_request(slot=NOW - DAY))
        for key in (RunKey(JOB), RunKey("waits")):
            ledger.claim(request(key=key, slot=NOW + HOUR), holder="ann", lease=LEASE)

        found = ledger.last_of_each([JOB, "waits"])

        assert {job: run.slot for job, run in found.items()} == {JOB: last.slot}

    def test_of_those_that_began_together_the_last_is_the_later_slot(
        self, ledger: RunLedger
    ) -> None:
        for slot in (SLOT, SLOT + HOUR, SLOT - HOUR):
            over(ledger, run_request(slot=slot))

        assert ledger.last_of_each([JOB])[JOB].slot == SLOT + HOUR

    def test_a_run_that_is_held_or_failed_can_be_the_last(self, timed: TimedLedger) -> None:
        over(timed.ledger, run_request())
        timed.advance(SECOND)
        held = claimed(timed.ledger, slot=SLOT + HOUR)
        assert timed.ledger.last_of_each([JOB]) == {JOB: held}

        timed.ledger.finish(held, error="E", retry_after=DAY)

        assert timed.ledger.last_of_each([JOB])[JOB].error == "E"

    def test_what_was_over_so_long_ago_is_forgotten(self, timed: TimedLedger) -> None:
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
            ledger.claim(run_request(slot=late.slot), holder="x", lease=LEASE).answer
            is ClaimStatus.DONE
        )
        assert ledger.prune(retention=DAY) == 0

    def test_what_is_held_or_ended_lately_is_kept_however_early_it_was_due(
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

    def test_what_nobody_came_for_is_kept_as_long(self, timed: TimedLedger) -> None:
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

    def test_numbers_grow_also_when_all_is_forgotten(self, timed: TimedLedger) -> None:
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
    """Return a wish for the run of a slot."""
    return RunRequest(
        key=key or RunKey(JOB),
        trigger=Trigger.SCHEDULE,
        window=HOUR,
        attempts=attempts,
        slot=slot,
    )


def wish_by_hand(*, key: RunKey | None = None) -> RunRequest:
    """Return a wish for a run with a slot of its own."""
    return RunRequest(key=key or RunKey(JOB), trigger=Trigger.MANUAL, window=HOUR, attempts=1)


def request(*, key: RunKey | None = None, slot: datetime | None = None) -> RunRequest:
    """Return a wish for a run by whoever works, in the minute it is."""
    return RunRequest(
        key=key or RunKey(JOB),
        trigger=Trigger.REQUEST,
        window=MINUTE,
        attempts=3,
        slot=slot or NOW.replace(second=0, microsecond=0),
        begins=False,
    )


def claimed(ledger: RunLedger, *, key: RunKey | None = None, slot: datetime = SLOT) -> Run:
    """Return a run that somebody has now."""
    claim = ledger.claim(run_request(key=key, slot=slot), holder="ann", lease=LEASE)
    assert claim.answer is ClaimStatus.CLAIMED
    return claim.run


def over(ledger: RunLedger, wanted: RunRequest) -> Run:
    """Return a run that somebody had, and that is over by now."""
    claim = ledger.claim(wanted, holder="ann", lease=LEASE)
    assert claim.answer is ClaimStatus.CLAIMED
    assert ledger.finish(claim.run)
    return claim.run


def runs_in(ledger: RunLedger) -> list[Run]:
    """Return the runs that are not over."""
    return list(ledger.open([], back=DAY).runs)


def held_by(ledger: RunLedger, run: Run) -> Run:
    """Return a run as it is kept."""
    [kept] = [one for one in runs_in(ledger) if (one.key, one.slot) == (run.key, run.slot)]
    return kept


def by_slot(run: Run) -> tuple[datetime, str, str]:
    """Return the place of a run among others."""
    return run.slot, run.key.job, run.key.arguments


def write(store: InterestStore, run: Run) -> None:
    """Write as a run does; what it writes does not matter."""
    nobody = Sample(KINDS[0]).user_column([])
    store.retain(nobody, started_at=NOW, fence=run.fence)


def at_once(count: int, ask: Callable[[int], _T]) -> list[_T]:
    """Return what so many threads are told, who ask at the same moment."""
    barrier = Barrier(count)

    def wait_and_ask(place: int) -> _T:
        barrier.wait(timeout=30)
        return ask(place)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # They come in each other's way as much as they can.
    try:
        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(wait_and_ask, range(count)))
    finally:
        sys.setswitchinterval(usual)
