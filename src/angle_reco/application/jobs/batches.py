"""A run in batches: much is read at once, and results of fewer owners are written at once.

Where the stores allow it, the next batch is read and the last results are written while results
are computed. What fails there is repeated step by step, which finds the owner that fails.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextvars import copy_context
from functools import cache, partial
from threading import Semaphore
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import attrs
import numpy as np

from angle_reco.application.jobs.run_context import OF_THE_RUN, RunContext
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import IdKinds
from angle_reco.domain.scoring.interest import ItemCategories
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.forks import reset_in_child
from angle_reco.ports.threads import BackgroundPool

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


_MOST_THREADS = 2
"""How many threads all runs of a process share, so they take two connections for it at most."""

_THREADS = BackgroundPool("jobs", most=_MOST_THREADS)


class _Free:
    """How many of the threads are free."""

    def __init__(self) -> None:
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Have all threads free: a child has none of those that the parent uses."""
        self.threads = Semaphore(_MOST_THREADS)


_FREE = _Free()


@attrs.define
class Beside:
    """Work beside that of the block, which is done before the block ends.

    Unless it *overlaps*, it is done when its result is asked for.
    """

    overlaps: bool
    _under_way: list[Future[Any]] = attrs.field(factory=list, init=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Nothing reads or writes for this run after its end.
        wait(self._under_way)

    def __call__(self, work: Callable[[], _T]) -> Callable[[], _T]:
        """Start *work*; return the function that waits for its result."""
        if not self.overlaps:
            return cache(work)
        future = started(work)
        self._under_way.append(future)
        return future.result


def started(work: Callable[[], _T]) -> Future[_T]:
    """Call *work* on a thread that all runs of the process share, or now if none is free.

    It never waits for other runs, which may be of a database that takes long.
    """
    future, context, free = Future[_T](), copy_context(), _FREE.threads

    def act(*, frees: bool) -> None:
        try:
            result = context.run(work)
        except BaseException as error:  # noqa: BLE001 — raised where the result is used
            settle = partial(future.set_exception, error)
        else:
            settle = partial(future.set_result, result)
        if frees:
            # Before the result is there: the run that waits for it needs a thread next.
            free.release()
        settle()

    if free.acquire(blocking=False):
        try:
            _THREADS.submit(partial(act, frees=True))
        except RuntimeError:  # No thread can be started any more.
            act(frees=True)
    else:
        act(frees=False)
    return future


@attrs.frozen
class _Known:
    """Items, and the category of each."""

    items: IdIndex
    of_items: ItemCategories

    def and_of(self, ids: IdKinds, items: IdIndex, of_items: ItemCategories) -> "_Known":
        """Return them with the categories of more items."""
        both = (self.items, self.of_items), (items, of_items)
        index = IdIndex.of(ids.item, self.items.ids, items.ids)
        categories = IdIndex.of(ids.category, *(one.categories.ids for _, one in both))
        codes = np.full(len(index), NONE, np.int32)
        for some, of_some in both:
            # The last element is for no category.
            code_of = np.append(categories.codes(of_some.categories.ids), np.int32(NONE))
            codes[index.codes(some.ids)] = code_of[of_some.codes]
        return _Known(index, ItemCategories(categories=categories, codes=codes))


@attrs.define
class KnownCategories:
    """Returns the categories of items, and keeps them: users of one batch act on those of another.

    Threads may ask at the same time; an item may then be read twice.
    """

    ids: IdKinds
    catalog: CatalogQueries
    _known: _Known = attrs.field(init=False, repr=False)

    @_known.default
    def _nothing(self) -> _Known:
        return _Known(IdIndex.of(self.ids.item), ItemCategories.of(self.ids, []))

    def __call__(self, items: IdColumn) -> ItemCategories:
        """Return the category of each of *items*, in order; NONE for an unknown item."""
        known = self._known
        codes = known.items.codes(items)
        missing = codes == NONE
        if missing.any():
            more = IdIndex.of(items.kind, items.take(missing))
            known = known.and_of(self.ids, more, self.catalog.categories(more.ids))
            self._known, codes = known, known.items.codes(items)
        return ItemCategories(
            categories=known.of_items.categories, codes=known.of_items.codes[codes]
        )
