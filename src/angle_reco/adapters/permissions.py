"""Permissions as a callable of the host, or none at all."""

from collections.abc import Callable

import attrs

from angle_reco.domain import UserId


@attrs.frozen
class CallablePermissions:
    """`Permissions` that asks the host's own function `(user_id, name) -> bool`."""

    ask: Callable[[UserId, str], bool]

    def holds(self, user_id: UserId, name: str) -> bool:
        return self.ask(user_id, name) is True


class NoPermissions:
    """`Permissions` that nobody holds."""

    def holds(self, user_id: UserId, name: str) -> bool:
        return False
