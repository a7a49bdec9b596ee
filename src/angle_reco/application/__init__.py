"""Use cases: what can be asked for, each a frozen record of ports."""

from angle_reco.application.access import Access
from angle_reco.application.answering import Answering, CardLoader
from angle_reco.application.computing import Computing
from angle_reco.application.events import Events
from angle_reco.application.jobs import JOBS, JobOutcome, Jobs, Progress
from angle_reco.application.limits import MOST, MOST_SIMILAR, checked_limit
from angle_reco.application.reading import (
    AfterBid,
    Homepage,
    PopularItems,
    ReadInterests,
    SimilarItems,
)
from angle_reco.application.stats import Stats, TakeStock
from angle_reco.application.stored import StoredResources

__all__ = [
    "JOBS",
    "MOST",
    "MOST_SIMILAR",
    "Access",
    "AfterBid",
    "Answering",
    "CardLoader",
    "Computing",
    "Events",
    "Homepage",
    "JobOutcome",
    "Jobs",
    "PopularItems",
    "Progress",
    "ReadInterests",
    "SimilarItems",
    "Stats",
    "StoredResources",
    "TakeStock",
    "checked_limit",
]
