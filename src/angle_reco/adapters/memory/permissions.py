"""Permissions in memory."""

import attrs

from angle_reco.adapters.memory.marketplace import MemoryMarketplace
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import UserId


@attrs.frozen
class MemoryPermissions:
    """`Permissions` that a `MemoryMarketplace` grants."""

    market: MemoryMarketplace

    def holds(self, user_id: UserId, name: str) -> bool:
        try:
            user_id = self.market.ids.user_id(user_id)
        except InvalidValueError:
            # Python considers 1.0 and True equal to 1.
            return False
        with self.market.lock:
            return (user_id, name) in self.market.granted
