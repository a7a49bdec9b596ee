"""The question that comes before every query: may this actor do this?"""

import attrs

from angle_reco.domain import AccessDeniedError, Action, Actor, UserId, is_allowed
from angle_reco.ports import Permissions


@attrs.frozen(kw_only=True)
class Access:
    """The policy with the host's permissions behind it."""

    permissions: Permissions

    def require(self, actor: Actor, action: Action, *, owner: UserId | None = None) -> None:
        """Make sure that *actor* may do *action* to what belongs to *owner*.

        Raises:
            AccessDeniedError: They may not; the text is the same whoever the owner is.
        """
        if not is_allowed(actor, action, owner=owner, is_permitted=self.permissions.holds):
            raise AccessDeniedError(action.value)
