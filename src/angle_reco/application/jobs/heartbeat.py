"""Renewing the lease of a claimed run while it executes."""

import logging
from threading import Event, Thread
from time import monotonic
from typing import Self

import attrs

from angle_reco.domain.errors import StorageError, StorageLockedError
from angle_reco.domain.runs import Run, RunRules
from angle_reco.ports.deadlines import deadline
from angle_reco.ports.ledger import RunLedger

_log = logging.getLogger(__name__)

_SECONDS_AFTER_A_FAILURE = 1.0


@attrs.define
class Heartbeat:
    """Renews the lease of a run, in a thread, until the block ends.

    *lost* is set when a later run has taken over (*is_taken_over*), and when the ledger has
    not answered for a whole lease: then a later run may have. Time in which another
    transaction locks the ledger does not count: no process can claim a run either.
    """

    ledger: RunLedger
    run: Run
    rules: RunRules
    lost: Event
    is_taken_over: bool = attrs.field(default=False, init=False)
    _is_over: Event = attrs.field(factory=Event, init=False)
    _thread: Thread | None = attrs.field(default=None, init=False)

    def __enter__(self) -> Self:
        # A daemon thread: the interpreter does not wait for the next beat before it exits.
        self._thread = Thread(target=self._beat, name="angle-reco-heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # The thread is not joined: the ledger refuses a late beat, because the run has ended.
        self._is_over.set()

    def _beat(self) -> None:
        lease, beat = self.rules.lease.total_seconds(), self.rules.beat.total_seconds()
        ends_at = monotonic() + lease
        pause = beat
        while not self._is_over.wait(pause):
            asked_at = monotonic()
            try:
                # A beat that takes longer fails; the next one follows.
                with deadline(beat):
                    is_mine = self.ledger.beat(self.run, lease=self.rules.lease)
            except StorageLockedError:
                _log.info("heartbeat waits for a writer: job=%s", self.run.key.job)
                ends_at += monotonic() - asked_at
                pause, is_mine = min(beat, _SECONDS_AFTER_A_FAILURE), True
            except StorageError as error:
                _log.warning(
                    "heartbeat failed: job=%s error=%s", self.run.key.job, type(error).__name__
                )
                is_mine = monotonic() < ends_at
                pause = min(beat, _SECONDS_AFTER_A_FAILURE)
            else:
                ends_at, pause = asked_at + lease, beat
                self.is_taken_over = not is_mine
            if not is_mine:
                if not self._is_over.is_set():
                    _log.warning("run lost while it ran: job=%s", self.run.key.job)
                    self.lost.set()
                return
