"""Keeping a claimed run one's own while it lasts."""

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
    """Prolongs the lease of a run, in a thread, until the block ends.

    *lost* is set when a later run has taken over (*is_taken_over*), and when the ledger has
    not answered for as long as the lease lasts: then one may have. A ledger that is locked
    by another transaction is no such case: no process can claim a run either.
    """

    ledger: RunLedger
    run: Run
    rules: RunRules
    lost: Event
    is_taken_over: bool = attrs.field(default=False, init=False)
    _is_over: Event = attrs.field(factory=Event, init=False)
    _thread: Thread | None = attrs.field(default=None, init=False)

    def __enter__(self) -> Self:
        # A daemon: the interpreter does not wait at its exit for the next beat.
        self._thread = Thread(target=self._beat, name="angle-reco-heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Without waiting for the thread: a beat that comes late finds the run over.
        self._is_over.set()

    def _beat(self) -> None:
        lease, beat = self.rules.lease.total_seconds(), self.rules.beat.total_seconds()
        ends_at = monotonic() + lease
        pause = beat
        while not self._is_over.wait(pause):
            asked_at = monotonic()
            try:
                # One that takes longer is followed by the next.
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
