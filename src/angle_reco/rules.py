"""The rules of scoring, freshness, runs and jobs, as `Settings` takes them."""

from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.domain.lists import ListKind
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.runs import RunRules
from angle_reco.domain.schedules import JobRule, Queue, Schedule
from angle_reco.domain.scoring.after_bid import AfterBidRule
from angle_reco.domain.scoring.decay import DecaySteps, HalfLife
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.popularity import BidCounting, PopularityRule
from angle_reco.domain.scoring.ranking import CLASSIC, Candidates, Ranker
from angle_reco.domain.scoring.similarity import SimilarityRule
from angle_reco.settings import SimilarBy, Verify

__all__ = [
    "CLASSIC",
    "AfterBidRule",
    "BidCounting",
    "Candidates",
    "DecaySteps",
    "FreshnessLimits",
    "HalfLife",
    "InterestRule",
    "JobRule",
    "ListKind",
    "PopularityRule",
    "PriceScale",
    "Queue",
    "Ranker",
    "RunRules",
    "Schedule",
    "SimilarBy",
    "SimilarityRule",
    "Verify",
]
