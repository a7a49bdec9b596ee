"""Storing the recomputed list of one owner, outside of a complete run."""

import attrs

from angle_reco.domain.lists import ListKind, Lists, StoredList
from angle_reco.domain.runs import Fence
from angle_reco.ports.stores import ListStore, Written


def store_one(
    store: ListStore, kind: ListKind, lists: Lists, *, fence: Fence | None = None
) -> Written:
    """Store the list of one owner; if the content is unchanged, renew its timestamp.

    A complete run covers the lists that it leaves unchanged. No run covers a single list, which
    would stay stale however often it was recomputed.

    Raises:
        FencedOffError: A newer run of the job has written; this call wrote nothing.
        StorageError: The list could not be stored.
        UserErasedError: The owner of a personal list was erased.
    """

    def renewed(stored: StoredList | None) -> StoredList:
        made = lists.stored(0)
        if stored is None:
            return made
        if stored.computed_at >= made.computed_at:
            return stored
        return attrs.evolve(stored, computed_at=made.computed_at)

    written = store.write(kind, lists, fence=fence)
    if written.unchanged:
        [owner] = lists.owners
        store.edit(kind, owner, renewed)
    return written
