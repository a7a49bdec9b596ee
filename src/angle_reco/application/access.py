"""The question that comes before every query: may this actor do this?"""

import logging

import attrs

from angle_reco.domain import AccessDeniedError, Action, Actor, UserId, is_allowed
from angle_reco.ports import Permissions

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Access:
    """The policy with the host's permissions behind it."""

    permissions: Permissions

    def require(self, actor: Actor, action: Action, *, owner: UserId | None = None) -> None:
        """Make sure that *actor* may do *action* to what belongs to *owner*.

        Raises:
            AccessDeniedError: They may not; the text is the same whoever the owner is.
        """
        if not is_allowed(actor, action, owner=owner, is_permitted=self._holds):
            raise AccessDeniedError(action.value)

    def _holds(self, user_id: UserId, name: str) -> bool:
        """Return whether a user holds a permission; one that cannot be looked up is not held."""
        try:
            return self.permissions.holds(user_id, name)
        except Exception as error:  # noqa: BLE001 — whatever the host's own code raises
            # The class alone: the text may name the user.
            _log.warning(
                "permission not looked up: permission=%s error=%s", name, type(error).__name__
            )
            return False
