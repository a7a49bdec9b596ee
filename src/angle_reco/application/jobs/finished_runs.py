"""Invalidates cached lists once a run has ended, in this process or another."""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime

import attrs

from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.errors import StorageError
from angle_reco.domain.ids import IdKinds, ItemId
from angle_reco.domain.job_names import CLEAR_MEMORY, JOB_OF, OF_ONE_ITEM
from angle_reco.domain.lists import ListKind
from angle_reco.domain.runs import RunKey, RunState
from angle_reco.ports.cache import Cache, key_of
from angle_reco.ports.changes import Changes
from angle_reco.ports.ledger import RunLedger

_log = logging.getLogger(__name__)


@attrs.define(kw_only=True)
class FinishedRuns:
    """Marks cached lists as stale once a run has computed new ones, in any process.

    A process that finishes a run notifies the others, which then look into the ledger. The
    ledger is authoritative: a process that misses the notice finds the run there later.
    Without a *cache* there is nothing to mark.
    """

    ledger: RunLedger
    changes: Changes
    cache: Cache | None
    ids: IdKinds
    _seen: dict[str, tuple[datetime, int] | None] | None = attrs.field(default=None, init=False)

    def check_ledger(self) -> None:
        """Mark the lists of the runs that have succeeded since the last call; one statement."""
        if self.cache is None:
            return
        last = self.ledger.last_of_each([*JOB_OF.values(), CLEAR_MEMORY])
        ended = {
            job: (run.slot, run.number)
            for job, run in last.items()
            if run.state is RunState.SUCCEEDED
        }
        # No lock, which a fork could leave locked: two concurrent calls do no harm.
        before, self._seen = self._seen, {**(self._seen or {}), **ended}
        if before is None:
            # On the first call, the lists in memory were read only just now.
            return
        for kind, job in JOB_OF.items():
            if job in ended and ended[job] != before.get(job):
                self.cache.mark(kind.value)
        forgotten = ended.get(CLEAR_MEMORY)
        if forgotten is not None and forgotten != before.get(CLEAR_MEMORY):
            gone = self.cache.forget_all()
            _log.info("cache cleared: entries=%d bytes=%d", gone.entries, gone.bytes)

    def note_success(self, key: RunKey, *, has_computed: bool = True) -> None:
        """Note that a run has succeeded in this process, and notify the others.

        If it has computed nothing, cached lists are what they were.
        """
        if not has_computed:
            return
        if key.arguments:
            # A run for one item, which `item_recomputed` has published, or one as of a past moment.
            item_id = key.values.get("item_id")
            if item_id is not None:
                self.forget_similar([ItemId(self.ids.item.parse(str(item_id), "item id"))])
            return
        is_first = self._seen is None
        try:
            self.check_ledger()
        except StorageError:
            is_first = True
        for kind, job in JOB_OF.items():
            if job == key.job and is_first and self.cache is not None:
                self.cache.mark(kind.value)
        self._publish(Change(kind=ChangeKind.RUN, job=key.job))

    def item_recomputed(self, item_id: ItemId, entered: Sequence[ItemId]) -> None:
        """Note that an item's list was recomputed out of turn, and notify the others.

        *entered* are the items whose lists the item entered. In this process the item's own
        list stays cached and is shown until the caller of the run has read the new one in the
        background.
        """
        self.forget_similar(entered)
        change = Change(kind=ChangeKind.RUN, job=OF_ONE_ITEM, item_ids=(item_id, *entered))
        self._publish(change)

    def forget_similar(self, item_ids: Iterable[ItemId]) -> None:
        """Drop the cached similar items of these items, so that they are read again."""
        for item_id in item_ids:
            if self.cache is not None:
                self.cache.forget(key_of(ListKind.SIMILAR, item_id))

    def _publish(self, change: Change) -> None:
        try:
            self.changes.publish([change])
        except StorageError as error:
            _log.warning("run not published: job=%s error=%s", change.job, type(error).__name__)
