"""Permissions by `user.has_perm`."""

import attrs
from django.contrib.auth import get_user_model

from angle_reco.django.market import MappedMarket
from angle_reco.domain.ids import UserId


@attrs.frozen
class DjangoPermissions:
    """`Permissions` of Django's users, asked in the caller's thread, on its connection."""

    market: MappedMarket

    def holds(self, user_id: UserId, name: str) -> bool:
        """Return what `user.has_perm("angle_reco.…")` says; an unknown user holds nothing."""
        user = self.market.user(get_user_model(), user_id)
        return user is not None and user.has_perm(f"angle_reco.{name}") is True
