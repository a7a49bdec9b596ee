"""Events that the library reports to a host's `on_event`."""

from datetime import datetime
from typing import TypeAlias

import attrs

from angle_reco.domain.ids import UserId
from angle_reco.domain.policies import Resource


@attrs.frozen(kw_only=True)
class UserInspected:
    """An actor with the permission to inspect users is about to read another user's data."""

    actor_id: UserId
    user_id: UserId
    resource: Resource
    at: datetime


@attrs.frozen(kw_only=True)
class RunFailed:
    """An attempt of a run failed; if *is_final*, it was the last and the run is discarded."""

    job: str
    arguments: str
    attempt: int
    error: str
    is_final: bool
    at: datetime


@attrs.frozen(kw_only=True)
class AnswerDegraded:
    """A call was answered with a fallback or with nothing, because of an error.

    Reported at most once a minute for each *surface*, which is the name of the call.
    """

    surface: str
    error: str
    at: datetime


@attrs.frozen(kw_only=True)
class RefreshFailed:
    """A cached entry could not be refreshed; it is shown as stale until it is too old.

    Reported at most once a minute for each entry. *kind* is a kind of list, or `live` for
    open items.
    """

    kind: str
    error: str
    at: datetime


Event: TypeAlias = UserInspected | RunFailed | AnswerDegraded | RefreshFailed
"""Any event that is reported."""
