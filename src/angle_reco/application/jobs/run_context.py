"""The context of a run: its progress, its pace, its failures, and when it stops."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from threading import Event, Lock
from time import monotonic
from typing import NamedTuple, TypeAlias

import attrs

from angle_reco.domain.errors import ComponentError, FencedOffError, StorageError
from angle_reco.domain.ids import ItemId
from angle_reco.domain.runs import Fence
from angle_reco.ports.stores import Written

_log = logging.getLogger(__name__)

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the current step of a run, how much of it is done, and how much there is in all."""

MOST_FAILURES = 1_000
"""How many users or items of a run may fail; more are the sign of a defect, not of odd data."""

_ERRORS_KEPT = 5
_LONGEST_PAUSE = 5.0


class Done(NamedTuple):
    """What a job did: for how many owners, and how much it wrote and removed.

    *left* is how many of the owners it did not compute, because nothing had changed of what their
    results depend on. *entered* are the items whose lists a job for one item has changed, too.
    """

    scope: int
    written: Written
    removed: int
    entered: tuple[ItemId, ...] = ()
    left: int = 0


class RunStoppedError(Exception):
    """The run has to stop: its process ends, or the run is lost."""


OF_THE_RUN = (StorageError, FencedOffError, RunStoppedError)
"""Errors that no single user or item causes."""


def no_progress(what: str, done: int, total: int) -> None:
    """Ignore the progress."""


@attrs.define(kw_only=True)
class RunContext:
    """The context that a run hands to its job.

    *pace* is the share of time in which the job may keep the database busy, 1 being all of it.
    With *is_full* it computes everything, whatever has changed. *stop* is set when the process
    ends, *lost* when another run has, or may have, taken over.
    """

    fence: Fence | None = None
    progress: Progress = no_progress
    pace: float = 1.0
    is_full: bool = False
    stop: Event = attrs.field(factory=Event)
    lost: Event = attrs.field(factory=Event)
    failed: int = 0
    errors: list[str] = attrs.field(factory=list)
    component_failed: bool = False
    _turn: Lock = attrs.field(factory=Lock, init=False, repr=False)

    def reached(self, what: str, done: int, total: int) -> None:
        """Report the progress of the run.

        Raises:
            RunStoppedError: The run has to stop.
        """
        self.check_stop()
        self.progress(what, done, total)

    def check_stop(self) -> None:
        """Do nothing, on any thread of the run, unless it has to stop.

        Raises:
            RunStoppedError: The run has to stop.
        """
        if self.stop.is_set() or self.lost.is_set():
            raise RunStoppedError

    @contextmanager
    def paced(self) -> Iterator[None]:
        """Pause after the block for as long as the pace requires, but at most five seconds.

        Unless the pace is 1, no other thread of the run enters such a block until then.
        """
        with nullcontext() if self.pace == 1 else self._turn:
            started = monotonic()
            yield
            pause = (monotonic() - started) * (1 / self.pace - 1)
            if pause > 0:
                self.stop.wait(min(pause, _LONGEST_PAUSE))

    def bisecting_failures(
        self, first: int, last: int, act: Callable[[int, int], None], name: Callable[[int], str]
    ) -> None:
        """Call *act* on [first, last); if it fails, on halves, down to single users or items.

        A single one that fails is counted, and logged by its *name*; the others continue.

        Raises:
            StorageError: The database failed, which no single user or item causes.
            FencedOffError: A later run has taken over.
            RunStoppedError: The run has to stop.
            Exception: More than `MOST_FAILURES` have failed; this is the error of the last.
        """
        try:
            act(first, last)
        except OF_THE_RUN:
            raise
        except Exception as error:  # the rules may raise anything for one odd user or item
            if self.failed > MOST_FAILURES:
                # An act that looks for failures itself has given up: this range did not fail.
                raise
            if isinstance(error, ComponentError) and not self.component_failed:
                self.component_failed = True
                _log.error(
                    "component failed: component=%s problem=%s", error.component, error.problem
                )
            if last - first > 1:
                middle = (first + last) // 2
                self.bisecting_failures(first, middle, act, name)
                self.bisecting_failures(middle, last, act, name)
                return
            self.failed += 1
            line = f"{name(first)} error={type(error).__name__}"
            if len(self.errors) < _ERRORS_KEPT:
                self.errors.append(line)
            kind, _, who = name(first).partition(":")
            if kind == "user":
                _log.warning("left out of a run: user=%s error=%s", who, type(error).__name__)
            else:
                _log.warning("left out of a run: item=%s error=%s", who, type(error).__name__)
            if self.failed > MOST_FAILURES:
                raise


Job: TypeAlias = Callable[[RunContext], Done]
"""The work of a job, for a run that holds the claim."""

ItemJob: TypeAlias = Callable[[ItemId, RunContext], Done]
"""The work of a job for one item."""
