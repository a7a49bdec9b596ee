"""The access check that precedes every query: may this actor do this?"""

import logging
from collections.abc import Callable
from datetime import timedelta

import attrs

from angle_reco.domain.errors import AccessDeniedError
from angle_reco.domain.events import Event, UserInspected
from angle_reco.domain.fingerprints import Fingerprints
from angle_reco.domain.ids import UserId
from angle_reco.domain.policies import (
    OWN,
    Action,
    Actor,
    Resource,
    SignedIn,
    is_allowed,
    is_inspection,
)
from angle_reco.ports.clock import Clock
from angle_reco.ports.deadlines import about_to_wait, deadline, time_left
from angle_reco.ports.permissions import Permissions

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Access:
    """The policy, applied with the permissions of the host.

    A permission whose lookup fails or exceeds the *deadline* counts as not held. An inspection
    of another user is reported to the host first (*deliver*); if that fails, the access is denied.
    """

    permissions: Permissions
    clock: Clock
    fingerprints: Fingerprints
    deadline: timedelta
    deliver: Callable[[Event], bool]

    def require(
        self, actor: Actor, action: Action, resource: Resource, *, owner: object = None
    ) -> None:
        """Require that *actor* may do *action* to a *resource* that belongs to *owner*.

        Raises:
            AccessDeniedError: The actor may not; the message is the same for every owner.
        """
        is_own = owner is not None and type(actor) is SignedIn and owner is actor.user_id
        if is_own and (action, resource) in OWN:
            # Nearly every call, and the shortest way through the policy.
            return
        if not is_allowed(actor, action, resource, owner=owner, is_permitted=self._holds):
            raise AccessDeniedError(f"{action.value} {resource.value}")
        if is_inspection(actor, action, resource, owner):
            self._report(UserId(actor.user_id), UserId(owner), action, resource)

    def _holds(self, user_id: UserId, name: str) -> bool:
        """Return whether a user holds a permission; False if the lookup fails."""
        about_to_wait()
        with deadline(self.deadline.total_seconds()):
            try:
                is_held = self.permissions.holds(user_id, name)
            except (Exception, SystemExit) as error:  # noqa: BLE001 — whatever the host's own code raises
                # Only the class is logged: the message may name the user.
                _log.warning(
                    "permission not looked up: permission=%s error=%s", name, type(error).__name__
                )
                return False
            if time_left() == 0:
                _log.warning("permission looked up too late: permission=%s", name)
                return False
        return is_held is True

    def _report(
        self, actor_id: UserId, user_id: UserId, action: Action, resource: Resource
    ) -> None:
        _log.info(
            "user inspected: actor=%s user=%s resource=%s",
            self.fingerprints.of(actor_id),
            self.fingerprints.of(user_id),
            resource.name.lower(),
        )
        inspected = UserInspected(
            actor_id=actor_id, user_id=user_id, resource=resource, at=self.clock.now()
        )
        if not self.deliver(inspected):
            # No user is inspected without a report.
            raise AccessDeniedError(f"{action.value} {resource.value}")
