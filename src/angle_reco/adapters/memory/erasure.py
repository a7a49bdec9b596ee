"""The erasure of users from the stores in memory."""

import secrets
from datetime import datetime
from threading import Lock
from typing import TYPE_CHECKING

import attrs

from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.erasure import Erased
from angle_reco.domain.errors import UserErasedError
from angle_reco.domain.fingerprints import digests_of_users
from angle_reco.domain.ids import UserId
from angle_reco.domain.lists import ListKind

if TYPE_CHECKING:
    from angle_reco.adapters.memory.changes import MemoryChanges
    from angle_reco.adapters.memory.models import MemoryModelStore
    from angle_reco.adapters.memory.stores import MemoryInterestStore, MemoryListStore


class MemoryErasures:
    """Keyed hashes of erased users; the adapters of one recommender share one instance.

    A writer holds the lock of its store while it checks and writes, and `MemoryErasure` adds
    a user before it acquires those locks. So nothing is written after an erasure.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._lock = Lock()
        self._digests: dict[object, datetime] = {}

    def add(self, user_id: UserId, at: datetime) -> None:
        """Record that a user was erased; a repetition does not change the moment."""
        with self._lock:
            self._digests.setdefault(self._digest(user_id), at)

    def has(self, user_id: object) -> bool:
        """Return whether a user was erased."""
        with self._lock:
            return bool(self._digests) and self._digest(user_id) in self._digests

    def refuse(self, user_id: object) -> None:
        """Check that a user was not erased.

        Raises:
            UserErasedError: The user was erased.
        """
        if self.has(user_id):
            raise UserErasedError

    def _digest(self, user_id: object) -> object:
        [digest] = digests_of_users(self._key, [UserId(user_id)])
        return digest


@attrs.frozen
class MemoryErasure:
    """`Erasure` from the stores in memory; users and their sign-ins belong to the marketplace."""

    erasures: MemoryErasures
    interests: "MemoryInterestStore"
    lists: "MemoryListStore"
    models: "MemoryModelStore"
    changes: "MemoryChanges"

    def erase(self, user_id: UserId, *, at: datetime) -> Erased:
        self.erasures.add(user_id, at)
        self.changes.forget_user(user_id)
        self.changes.publish([Change(kind=ChangeKind.ERASED, user_id=user_id)])
        self.models.forget(user_id)
        suggestions = self.lists.forget_personal(user_id)
        # Their digests cover the activity of the user.
        self.interests.forget_watermark()
        for kind in ListKind:
            self.lists.forget_watermark(kind)
        return Erased(
            sign_ins=0,
            interests=self.interests.forget(user_id),
            lists=0 if suggestions is None else 1,
            suggestions=suggestions or 0,
        )
