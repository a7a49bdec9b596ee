"""The host's permissions."""

from typing import Protocol

from angle_reco.domain.ids import UserId


class Permissions(Protocol):
    """The host's permissions, queried only where the answer decides and never cached."""

    def holds(self, user_id: UserId, name: str) -> bool:
        """Return whether a user holds the permission *name*; an unknown user holds none."""
        ...
