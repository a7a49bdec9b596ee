"""The components of rankers, and the data that their rules work on."""

from angle_reco.domain.activity import Interactions
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.scoring.components import (
    INTEREST,
    POPULARITY,
    RECENCY,
    Component,
    DependsOn,
    Values,
)
from angle_reco.domain.scoring.interest import Interests
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.popularity import Demand
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.whys import Wording

__all__ = [
    "INTEREST",
    "POPULARITY",
    "RECENCY",
    "Catalogue",
    "Component",
    "Demand",
    "DependsOn",
    "IdColumn",
    "IdIndex",
    "Interactions",
    "Interests",
    "OpenMarket",
    "Profiles",
    "Values",
    "Wording",
]
