"""Reads and writes of a run on other threads, beside what the run does itself."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import copy_context
from functools import cache, partial
from threading import Semaphore
from types import TracebackType
from typing import Any, Self, TypeVar

import attrs

from angle_reco.ports.forks import reset_in_child
from angle_reco.ports.threads import BackgroundPool

_T = TypeVar("_T")

_MOST = 2
"""How many threads all runs of a process share, so they take two connections for it at most."""

_THREADS = BackgroundPool("jobs", most=_MOST)


class _Free:
    """How many of the threads are free."""

    def __init__(self) -> None:
        self.reset_after_fork()
        reset_in_child(self)

    def reset_after_fork(self) -> None:
        """Have all threads free: a child has none of those that the parent uses."""
        self.threads = Semaphore(_MOST)


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
