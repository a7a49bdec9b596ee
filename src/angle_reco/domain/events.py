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


@attrs.frozen(kw_only=True)
class AnswerDegraded:
    """A call could not be answered as it should, and was with something else, or nothing.

    Told once a minute for each *surface*, which is the name of the call.
    """

    surface: str
    error: str
    at: datetime


@attrs.frozen(kw_only=True)
class RefreshFailed:
    """What is kept in memory could not be made anew; it is shown on, until it is too old.

    Told once a minute for each entry. *kind* is a kind of list, or `live` for open items.
    """

    kind: str
    error: str
    at: datetime


Event: TypeAlias = UserInspected | RunFailed | AnswerDegraded | RefreshFailed
"""Anything that is told."""
