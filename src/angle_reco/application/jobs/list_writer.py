"""Storing the list of one owner, made anew out of turn."""

import attrs

from angle_reco.domain.lists import ListKind, Lists, StoredList
from angle_reco.domain.runs import Fence
from angle_reco.ports.stores import ListStore, Written


def store_one(
    store: ListStore, kind: ListKind, lists: Lists, *, fence: Fence | None = None
) -> Written:
    """Store the list of one owner; one that is as it was is from now on, too.

    A complete run covers what it leaves as it was. Nothing covers a single list, which would
    stay too old however often it was made anew.

    Raises:
        FencedOffError: A newer run of the job has written; nothing was.
        StorageError: It could not be stored.
        UserErasedError: The owner of a personal list was erased.
    """

    def renewed(kept: StoredList | None) -> StoredList:
        made = lists.stored(0)
        if kept is None:
            return made
        if kept.computed_at >= made.computed_at:
            return kept
        return attrs.evolve(kept, computed_at=made.computed_at)

    written = store.write(kind, lists, fence=fence)
    if written.unchanged:
        [owner] = lists.owners
        store.edit(kind, owner, renewed)
    return written
