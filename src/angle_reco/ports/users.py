"""The host's users, and when they signed in."""

from datetime import datetime
from typing import Protocol

from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import UserId
from angle_reco.domain.users import SignIns


class UserQueries(Protocol):
    """Who the users are and which of them are around.

    With *until* the answer is as of that moment, itself included: a user who was created
    later does not exist yet. Where only a later sign-in is known, the newest bid or watch
    until then stands for it.

    Raises:
        StorageUnavailableError: (every method) The store did not answer.
    """

    def active_since(self, moment: datetime, *, until: datetime | None = None) -> IdColumn:
        """Return the users who signed in after *moment*, in the order of their ids.

        Strictly after; and of those who never signed in, the ones created after it.
        """
        ...

    def record_sign_in(
        self, user_id: UserId, at: datetime, *, connection: object | None = None
    ) -> bool:
        """Count a sign-in, in one atomic step; False when there is no such user.

        In the transaction of a host's *connection*, if that is given and the store has such.

        The moment of the last one never goes back, the count always goes up. Those of an
        erased user (`Erasure`) are not counted either.
        """
        ...

    def sign_ins(self, user_id: UserId, *, until: datetime | None = None) -> SignIns | None:
        """Return when a user last signed in and how often in all, None for an unknown user."""
        ...

    def total(self, *, until: datetime | None = None) -> int:
        """Return how many users there are."""
        ...
