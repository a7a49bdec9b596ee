"""A run in batches: much is read at once, and results of fewer owners are written at once.

Where the stores allow it, the next batch is read and the last results are written while results
are computed. What fails there is repeated step by step, which finds the owner that fails.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from typing import Generic, TypeVar

import attrs

from angle_reco.application.jobs.beside import started
from angle_reco.application.jobs.run_context import OF_THE_RUN, RunContext

_T = TypeVar("_T")
_Read = TypeVar("_Read")
_Made = TypeVar("_Made")


@attrs.frozen(kw_only=True)
class Batches(Generic[_Read, _Made]):
    """Computes and writes the results of *count* owners.

    *read* returns what is needed for the owners in [first, last), at most *read_at_once* of them.
    *compute* returns the results of those at [first, last) of a batch, at most
    *written_at_once*, and *write* stores them. *name* names an owner in the log. With *overlaps*
    a batch is read, and one part of the results is written, while another is computed.
    """

    what: str
    count: int
    read: Callable[[int, int], _Read]
    compute: Callable[[_Read, int, int], _Made]
    write: Callable[[_Made], None]
    name: Callable[[int], str]
    read_at_once: int
    written_at_once: int
    overlaps: bool

    def __call__(self, work: RunContext) -> None:
        """Compute and write all results, except of owners that fail.

        Raises:
            StorageError: The database failed.
            FencedOffError: A later run has taken over.
            RunStoppedError: The run has to stop.
            Exception: Too many owners have failed.
        """
        if self.overlaps:
            self._side_by_side(work)
        else:
            for first, last in spans(0, self.count, self.read_at_once):
                self._batch(work, first, last)
        work.reached(self.what, self.count, self.count)

    def _batch(self, work: RunContext, first: int, last: int) -> None:
        """Do one batch step by step."""

        def act(first: int, last: int) -> None:
            read = self.read(first, last)
            for one, end in spans(first, last, self.written_at_once):
                work.reached(self.what, one, self.count)
                self._part(work, read, first, one, end)

        work.bisecting_failures(first, last, act, self.name)

    def _part(self, work: RunContext, read: _Read, start: int, first: int, last: int) -> None:
        """Do a part of the batch that begins at *start*, step by step."""

        def act(first: int, last: int) -> None:
            self.write(self.compute(read, first - start, last - start))

        work.bisecting_failures(first, last, act, self.name)

    def _side_by_side(self, work: RunContext) -> None:
        batches, writing = list(spans(0, self.count, self.read_at_once)), _Writing()

        def read(first: int, last: int) -> _Read:
            # It may have waited for the threads, and takes long: a run that stops waits for it.
            work.check_stop()
            return self.read(first, last)

        reading = [started(partial(read, *batch)) for batch in batches[:1]]
        try:
            for place, (first, last) in enumerate(batches):
                [of_batch] = reading
                is_read = _has_succeeded(of_batch)
                reading = [
                    started(partial(read, *batch)) for batch in batches[place + 1 : place + 2]
                ]
                if not is_read:
                    writing.end()
                    self._batch(work, first, last)
                    continue
                for one, end in spans(first, last, self.written_at_once):
                    work.reached(self.what, one, self.count)
                    self._part_beside(work, writing, of_batch.result(), first, one, end)
            writing.end()
        finally:
            # Nothing reads or writes for this run after its end.
            wait(reading)
            wait(writing.under_way)

    def _part_beside(
        self, work: RunContext, writing: "_Writing", read: _Read, start: int, first: int, last: int
    ) -> None:
        """Compute a part of a batch, and leave it to another thread to write it."""
        whole, made = (first, last), list[_Made]()

        def act(first: int, last: int) -> None:
            computed = self.compute(read, first - start, last - start)
            if (first, last) == whole:
                made.append(computed)
            else:
                writing.end()
                self.write(computed)

        work.bisecting_failures(first, last, act, self.name)
        for one in made:
            again = partial(self._part, work, read, start, first, last)
            writing.begin(partial(self.write, one), again)


@attrs.define
class _Writing:
    """The part of the results that is being written, and what repeats it step by step."""

    under_way: list[Future[None]] = attrs.field(factory=list)
    _again: Callable[[], None] = attrs.field(default=lambda: None)

    def begin(self, write: Callable[[], None], again: Callable[[], None]) -> None:
        """Write a part on another thread, after the last one."""
        self.end()
        self.under_way, self._again = [started(write)], again

    def end(self) -> None:
        """Wait until the part is written; repeat it if that failed."""
        # An interruption while this waits leaves the part under way, for the run's end to wait for.
        is_written = all(map(_has_succeeded, self.under_way))
        self.under_way = []
        if not is_written:
            self._again()


def _has_succeeded(future: Future[_T]) -> bool:
    """Wait for work; return False if it failed for some owners, which a repetition finds."""
    error = future.exception()
    if error is None or (isinstance(error, Exception) and not isinstance(error, OF_THE_RUN)):
        return error is None
    raise error


def spans(first: int, last: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield [first, last) in ranges of *width* at most.

    >>> list(spans(0, 5, 2))
    [(0, 2), (2, 4), (4, 5)]
    """
    for start in range(first, last, width):
        yield start, min(start + width, last)
