"""Compiles loops with numba, and runs them on threads."""

import logging
import os
import pickle
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from angle_reco.domain.arrays import frozen

_log = logging.getLogger(__name__)

_Loops = TypeVar("_Loops")
_Part = TypeVar("_Part")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def compiled(compile_loops: Callable[[bool], _Loops]) -> _Loops | None:
    """Return what *compile_loops* returns, None if the loops cannot be compiled.

    Its argument is whether numba shall store the compiled loops. It does so beside the module, or
    in the user's cache, if one of the two is writable.
    """
    try:
        from numba.core.errors import NumbaError
    except ImportError as error:
        _log.warning("loops not compiled: error=%s", type(error).__name__)
        return None
    # RuntimeError: there is no folder, or LLVM failed. EOFError, UnpicklingError: damaged files.
    failures = (NumbaError, RuntimeError, OSError, EOFError, pickle.UnpicklingError)
    try:
        return compile_loops(True)
    except failures as error:
        _log.warning("compiled loops not cached: error=%s", type(error).__name__)
    try:
        return compile_loops(False)
    except failures as error:
        _log.warning("loops not compiled: error=%s", type(error).__name__)
    return None


def column(values: npt.ArrayLike, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return a column of one type for numba: read-only, and together in memory."""
    return frozen(np.ascontiguousarray(values, dtype))


def on_threads(
    threads: int, name: str, parts: Iterable[_Part], start: Callable[[], Callable[[_Part], None]]
) -> None:
    """Do parts of a work on threads of this *name*, so many at most.

    *start* is called once on each thread, and returns what does a part there.
    """
    waiting = SimpleQueue[_Part]()
    for part in parts:
        waiting.put(part)

    def work() -> None:
        act = start()
        while True:
            try:
                part = waiting.get_nowait()
            except Empty:
                return
            act(part)

    threads = min(threads, waiting.qsize())
    if threads <= 1:
        work()
        return
    with ThreadPoolExecutor(threads, name) as pool:
        for done in [pool.submit(work) for _ in range(threads)]:
            done.result()
