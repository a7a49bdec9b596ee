"""The types in the signatures of public calls, for hosts that check their own."""

from angle_reco.application.jobs.run_context import Progress
from angle_reco.domain.ids import CategoryRef, Id, ItemRef, UserRef
from angle_reco.domain.pages import CardLoader
from angle_reco.domain.sentences import Message, Translations, Why
from angle_reco.ports.scheduler import JobScheduler

__all__ = [
    "CardLoader",
    "CategoryRef",
    "Id",
    "ItemRef",
    "JobScheduler",
    "Message",
    "Progress",
    "Translations",
    "UserRef",
    "Why",
]
