"""When there is something newer to read than what is in memory: whoever made it."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import attrs

from angle_reco.application.jobs.batch_jobs import OF_ONE_ITEM
from angle_reco.application.serving.list_reader import key_of
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.errors import StorageError
from angle_reco.domain.ids import IdKinds, ItemId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.runs import RunKey, RunState
from angle_reco.ports.cache import Cache
from angle_reco.ports.changes import Changes
from angle_reco.ports.ledger import RunLedger

_log = logging.getLogger(__name__)

FORGETTING = "forget_cached"
"""In the ledger, that everything in the memory of all processes is to be dropped."""

MADE_BY: Mapping[ListKind, str] = {
    ListKind.POPULAR: "generate_popular_items",
    ListKind.PERSONAL: "generate_recommendations",
    ListKind.SIMILAR: OF_ONE_ITEM,
}
"""The job that makes all lists of a kind."""


@attrs.define(kw_only=True)
class FinishedRuns:
    """Marks what is in memory once a run has made new lists, here or in another process.

    The others are told, and look into the ledger, which knows: whoever is not told finds it
    there later. Without a *cache* there is nothing to mark.
    """

    ledger: RunLedger
    changes: Changes
    cache: Cache | None
    ids: IdKinds
    _seen: dict[str, tuple[datetime, int] | None] | None = attrs.field(default=None, init=False)

    def look(self) -> None:
        """Ask the ledger which runs have ended since; one statement."""
        if self.cache is None:
            return
        last = self.ledger.last_of_each([*MADE_BY.values(), FORGETTING])
        ended = {
            job: (run.slot, run.number)
            for job, run in last.items()
            if run.state is RunState.SUCCEEDED
        }
        # Without a lock, which a fork could leave locked: that two look at once does no harm.
        before, self._seen = self._seen, {**(self._seen or {}), **ended}
        if before is None:
            # What is in memory was read only just now.
            return
        for kind, job in MADE_BY.items():
            if job in ended and ended[job] != before.get(job):
                self.cache.mark(kind.value)
        forgotten = ended.get(FORGETTING)
        if forgotten is not None and forgotten != before.get(FORGETTING):
            gone = self.cache.forget_all()
            _log.info("memory cleared: entries=%d bytes=%d", gone.entries, gone.bytes)

    def done(self, key: RunKey) -> None:
        """Take note that a run has succeeded in this process, and tell the others."""
        if key.arguments:
            # Of one item, which the others were told of, or as of the past.
            item_id = key.values.get("item_id")
            if item_id is not None:
                self.forget_similar([ItemId(self.ids.item.parse(str(item_id), "item id"))])
            return
        knew_nothing = self._seen is None
        try:
            self.look()
        except StorageError:
            knew_nothing = True
        for kind, job in MADE_BY.items():
            if job == key.job and knew_nothing and self.cache is not None:
                self.cache.mark(kind.value)
        self._tell(Change(kind=ChangeKind.RUN, job=key.job))

    def rewritten(self, item_id: ItemId, entered: Sequence[ItemId]) -> None:
        """Take note that an item's list was made out of turn, and whose it *entered*.

        Its own is read here by whoever had it made: behind an answer that shows the old one.
        """
        self.forget_similar(entered)
        change = Change(kind=ChangeKind.RUN, job=OF_ONE_ITEM, item_ids=(item_id, *entered))
        self._tell(change)

    def forget_similar(self, item_ids: Iterable[ItemId]) -> None:
        """Have the similar items of these be read anew."""
        for item_id in item_ids:
            if self.cache is not None:
                self.cache.forget(key_of(ListKind.SIMILAR, item_id))

    def _tell(self, change: Change) -> None:
        try:
            self.changes.publish([change])
        except StorageError as error:
            _log.warning("run not told of: job=%s error=%s", change.job, type(error).__name__)
