"""Removing a user from all that is kept."""

from datetime import datetime
from typing import Protocol

from angle_reco.domain.erasure import Erased
from angle_reco.domain.ids import UserId


class Erasure(Protocol):
    """Takes users out of every store, for good.

    Raises:
        StorageUnavailableError: The store did not answer; nothing was removed.
    """

    def erase(self, user_id: UserId, *, at: datetime) -> Erased:
        """Remove all that is kept about a user, in one transaction, and say what it was.

        A keyed hash of the id stays, and with it nothing personal is written for that id
        again: no interest, no list, no sign-in, whoever had begun to. Erasing again, or
        somebody unknown, removes nothing, and keeps the hash all the same.
        """
        ...
