"""The host's users and their sign-ins."""

from datetime import datetime
from typing import Protocol

from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import UserId
from angle_reco.domain.users import SignIns


class UserQueries(Protocol):
    """The users, and which of them are active.

    With *until* the result is as of that moment, inclusive: a user created later does not
    exist yet. Where only a later sign-in is known, the newest bid or watch up to then
    stands for it.

    Raises:
        StorageUnavailableError: (every method) The store did not answer.
    """

    def active_since(
        self,
        moment: datetime,
        *,
        until: datetime | None = None,
        not_since: datetime | None = None,
    ) -> IdColumn:
        """Return the users who signed in after *moment*, in the order of their ids.

        Strictly after. Of the users who never signed in, those created after it. With
        *not_since*, without those who signed in, or were created, after that.
        """
        ...

    def record_sign_in(
        self, user_id: UserId, at: datetime, *, connection: object | None = None
    ) -> bool:
        """Count a sign-in, in one atomic step; False when there is no such user.

        With a host's *connection* it is part of that transaction, if the store has such.

        The moment of the last sign-in never decreases, the count always increases. The
        sign-ins of an erased user (`Erasure`) are not counted.
        """
        ...

    def sign_ins(self, user_id: UserId, *, until: datetime | None = None) -> SignIns | None:
        """Return when a user last signed in and how often in all, None for an unknown user."""
        ...

    def total(self, *, until: datetime | None = None) -> int:
        """Return how many users there are."""
        ...
