"""What a host may want to know of, passed to its `on_event`."""

from datetime import datetime
from typing import TypeAlias

import attrs

from angle_reco.domain.ids import UserId
from angle_reco.domain.policies import Resource


@attrs.frozen(kw_only=True)
class UserInspected:
    """Somebody is about to read what is another user's, by the permission to inspect users."""

    actor_id: UserId
    user_id: UserId
    resource: Resource
    at: datetime


@attrs.frozen(kw_only=True)
class RunFailed:
    """An attempt of a run failed; a *final* one was the last, and the run is given up."""

    job: str
    arguments: str
    attempt: int
    error: str
    is_final: bool
    at: datetime


Event: TypeAlias = UserInspected | RunFailed
"""Anything that is told."""
