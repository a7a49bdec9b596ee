"""Batches of a run: read ahead and written behind, with the same outcome as step by step."""

from collections.abc import Callable
from threading import Event, Lock
from time import sleep

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.application.jobs import batches as batches_of_runs
from angle_reco.application.jobs import run_context
from angle_reco.application.jobs.batches import Batches
from angle_reco.application.jobs.run_context import RunContext, RunStoppedError
from angle_reco.domain.errors import FencedOffError, StorageUnavailableError

DEFECT = ValueError("odd")
SECONDS = 10.0


@attrs.define
class Steps:
    """The steps of a run for numbers, which fail for some of them, and what they wrote."""

    bad: dict[str, set[int]] = attrs.field(factory=dict)
    error: Exception = DEFECT
    written: list[int] = attrs.field(factory=list)
    writing: int = 0
    most_writing: int = 0
    under_way: int = 0
    _lock: Lock = attrs.field(factory=Lock)

    def read(self, first: int, last: int) -> list[int]:
        return self._checked("read", list(range(first, last)))

    def compute(self, read: list[int], first: int, last: int) -> list[int]:
        return self._checked("compute", read[first:last])

    def write(self, made: list[int]) -> None:
        with self._lock:
            self.writing += 1
            self.most_writing = max(self.most_writing, self.writing)
        try:
            self.written += self._checked("write", made)
        finally:
            with self._lock:
                self.writing -= 1

    def _checked(self, step: str, some: list[int]) -> list[int]:
        if not self.bad.get(step, set()).isdisjoint(some):
            raise self.error
        return some

    def run(self, count: int, *, overlaps: bool, work: RunContext | None = None) -> RunContext:
        """Run the steps for so many numbers; return the context of the run."""
        work = RunContext() if work is None else work
        batches(self, count, overlaps=overlaps)(work)
        return work


def batches(
    steps: Steps,
    count: int,
    *,
    overlaps: bool = True,
    read: Callable[[int, int], list[int]] | None = None,
    write: Callable[[list[int]], None] | None = None,
) -> Batches[list[int], list[int]]:
    """Return batches of ten numbers, of which four are written at once."""
    return Batches(
        what="numbers",
        count=count,
        read=read or steps.read,
        compute=steps.compute,
        write=write or steps.write,
        name=lambda place: f"item:{place}",
        read_at_once=10,
        written_at_once=4,
        overlaps=overlaps,
    )


odd = st.sets(st.integers(0, 40), max_size=4)


@given(count=st.integers(0, 41), read=odd, compute=odd, write=odd)
def test_side_by_side_is_as_step_by_step(
    count: int, read: set[int], compute: set[int], write: set[int]
) -> None:
    bad = {"read": read, "compute": compute, "write": write}
    one, other = Steps(bad), Steps(bad)

    plain, beside = one.run(count, overlaps=False), other.run(count, overlaps=True)

    good = set(range(count)) - read - compute - write
    assert sorted(one.written) == sorted(other.written) == sorted(good)
    assert plain.failed == beside.failed == count - len(good)
    assert sorted(plain.errors) == sorted(beside.errors) or plain.failed > 5
    assert other.most_writing <= 1


def test_results_are_written_in_their_order() -> None:
    steps = Steps()

    steps.run(41, overlaps=True)

    assert steps.written == list(range(41))


@pytest.mark.parametrize("step", ["read", "compute"])
def test_a_part_under_way_is_written_before_another_is_repeated(step: str) -> None:
    """Results of 15 fail, while those of the part before are written."""
    steps, before = Steps({step: {15}}), {"read": 8, "compute": 10}[step]

    def write(made: list[int]) -> None:
        if made[0] == before:
            sleep(0.2)
        steps.write(made)

    batches(steps, 20, write=write)(RunContext())

    assert steps.written == [one for one in range(20) if one != 15]


def test_a_part_is_written_and_a_batch_read_while_another_is_computed() -> None:
    steps, computes, has_read, has_written = Steps(), Event(), Event(), Event()

    def read(first: int, last: int) -> list[int]:
        if first == 10:
            assert computes.wait(SECONDS)
            has_read.set()
        return steps.read(first, last)

    def write(made: list[int]) -> None:
        if made[0] == 0:
            assert computes.wait(SECONDS)
            has_written.set()
        steps.write(made)

    def compute(some: list[int], first: int, last: int) -> list[int]:
        if some[first] == 4:
            computes.set()
            assert has_read.wait(SECONDS)
            assert has_written.wait(SECONDS)
        return steps.compute(some, first, last)

    attrs.evolve(batches(steps, 20, read=read, write=write), compute=compute)(RunContext())

    assert steps.written == list(range(20))


@pytest.mark.parametrize("overlaps", [False, True])
@pytest.mark.parametrize("step", ["read", "compute", "write"])
@pytest.mark.parametrize("error", [StorageUnavailableError("gone"), FencedOffError("job")])
def test_what_no_single_one_causes_ends_the_run(
    error: Exception, step: str, overlaps: bool
) -> None:
    steps = Steps({step: {25}}, error)

    with pytest.raises(type(error)):
        steps.run(41, overlaps=overlaps)

    assert steps.written == list(range(20 if step == "read" else 24))


@pytest.mark.parametrize("overlaps", [False, True])
def test_a_run_that_stops_leaves_nothing_under_way(overlaps: bool) -> None:
    steps, work, done = Steps(), RunContext(), list[int]()

    def write(made: list[int]) -> None:
        work.stop.set()
        sleep(0.05)
        done.append(made[0])

    with pytest.raises(RunStoppedError):
        batches(steps, 41, overlaps=overlaps, write=write)(work)

    written = list(done)
    sleep(0.1)
    assert done == written
    assert 1 <= len(done) <= 2


def test_a_run_that_fails_while_a_batch_is_read_leaves_nothing_under_way() -> None:
    steps, reads, done = Steps(), Event(), list[int]()

    def read(first: int, last: int) -> list[int]:
        if first == 10:
            reads.set()
            sleep(0.2)
        done.append(first)
        return steps.read(first, last)

    def compute(some: list[int], first: int, last: int) -> list[int]:
        assert reads.wait(SECONDS)
        raise FencedOffError("job")

    with pytest.raises(FencedOffError):
        attrs.evolve(batches(steps, 20, read=read), compute=compute)(RunContext())

    assert done == [0, 10]


def test_an_interruption_while_a_part_is_written_leaves_nothing_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Ctrl-C, which is raised where the run waits for the part."""
    steps, done = Steps(), list[int]()

    def interrupted(_: object) -> bool:
        raise KeyboardInterrupt

    def write(made: list[int]) -> None:
        sleep(0.2)
        done.append(made[0])

    def compute(read: list[int], first: int, last: int) -> list[int]:
        if first == 4:
            monkeypatch.setattr(batches_of_runs, "_has_succeeded", interrupted)
        return steps.compute(read, first, last)

    with pytest.raises(KeyboardInterrupt):
        attrs.evolve(batches(steps, 10, write=write), compute=compute)(RunContext())

    assert done == [0]


def test_a_run_that_stops_while_it_reads_begins_no_other_read() -> None:
    steps, work, begun = Steps(), RunContext(), list[int]()

    def read(first: int, last: int) -> list[int]:
        begun.append(first)
        work.stop.set()
        return steps.read(first, last)

    with pytest.raises(RunStoppedError):
        batches(steps, 41, read=read)(work)

    assert begun == [0]
    assert steps.written == []


@pytest.mark.parametrize("overlaps", [False, True])
@pytest.mark.parametrize("step", ["read", "compute", "write"])
def test_a_run_that_gives_up_counts_each_failure_once(
    step: str, overlaps: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_context, "MOST_FAILURES", 5)
    work = RunContext()

    with pytest.raises(ValueError, match="odd"):
        Steps({step: set(range(3, 30))}).run(40, overlaps=overlaps, work=work)

    assert work.failed == 6
    assert len(caplog.records) == 6
