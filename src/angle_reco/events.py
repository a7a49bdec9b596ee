"""What the library reports to a host's `on_event`."""

from angle_reco.domain.events import AnswerDegraded, Event, RefreshFailed, RunFailed, UserInspected
from angle_reco.domain.policies import Resource

__all__ = [
    "AnswerDegraded",
    "Event",
    "RefreshFailed",
    "Resource",
    "RunFailed",
    "UserInspected",
]
