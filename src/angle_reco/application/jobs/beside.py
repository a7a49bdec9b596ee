"""Reads and writes of a run on other threads, beside what the run does itself."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import copy_context
from functools import cache
from types import TracebackType
from typing import Any, Self, TypeVar

import attrs

from angle_reco.ports.threads import BackgroundPool

_T = TypeVar("_T")

_THREADS = BackgroundPool("jobs", most=2)
"""All runs of a process share these threads, so they take two connections for it at most."""


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
    """Call *work* on a thread that all runs of the process share."""
    future, context = Future[_T](), copy_context()

    def act() -> None:
        try:
            future.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 — raised where the result is used
            future.set_exception(error)

    _THREADS.submit(act)
    return future
