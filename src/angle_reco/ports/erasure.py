"""Removing a user from all stores."""

from datetime import datetime
from typing import Protocol

from angle_reco.domain.erasure import Erased
from angle_reco.domain.ids import UserId


class Erasure(Protocol):
    """Removes users from every store, permanently.

    Raises:
        StorageUnavailableError: The store did not answer; nothing was removed.
    """

    def erase(self, user_id: UserId, *, at: datetime) -> Erased:
        """Remove all that is stored about a user, in one transaction; return how much it was.

        A keyed hash of the id remains. Because of it no interest, list or sign-in is written
        for that id again, not even by a writer that started before. Erasing a user again, or
        an unknown one, removes nothing and stores the hash all the same.
        """
        ...
