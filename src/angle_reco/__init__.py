"""Recommendations for auction sites and marketplaces, imported rather than served."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from angle_reco.adapters.memory import MemoryMarketplace
    from angle_reco.application import JobOutcome, Stats
    from angle_reco.bootstrap import Ports, memory_ports, sql_ports
    from angle_reco.domain import (
        CLASSIC,
        AccessDeniedError,
        AfterBidRule,
        AngleRecoError,
        AuctionStatus,
        BadInputError,
        Bid,
        BidCounting,
        CategoryId,
        Component,
        DecaySteps,
        Freshness,
        FreshnessLimits,
        HalfLife,
        IdKind,
        IdKinds,
        InterestRule,
        InvalidValueError,
        Item,
        ItemCard,
        ItemId,
        ItemNotFoundError,
        ListKind,
        PopularityRule,
        PriceScale,
        Ranker,
        Reason,
        SchemaError,
        Shelf,
        SignIns,
        SimilarityRule,
        Source,
        StorageError,
        StorageFullError,
        StorageUnavailableError,
        StoredLine,
        StoredList,
        Suggestion,
        User,
        UserId,
        UserInterest,
        Watch,
    )
    from angle_reco.recommender import Recommender, View
    from angle_reco.settings import Settings

__all__ = [
    "CLASSIC",
    "AccessDeniedError",
    "AfterBidRule",
    "AngleRecoError",
    "AuctionStatus",
    "BadInputError",
    "Bid",
    "BidCounting",
    "CategoryId",
    "Component",
    "DecaySteps",
    "Freshness",
    "FreshnessLimits",
    "HalfLife",
    "IdKind",
    "IdKinds",
    "InterestRule",
    "InvalidValueError",
    "Item",
    "ItemCard",
    "ItemId",
    "ItemNotFoundError",
    "JobOutcome",
    "ListKind",
    "MemoryMarketplace",
    "PopularityRule",
    "Ports",
    "PriceScale",
    "Ranker",
    "Reason",
    "Recommender",
    "SchemaError",
    "Settings",
    "Shelf",
    "SignIns",
    "SimilarityRule",
    "Source",
    "Stats",
    "StorageError",
    "StorageFullError",
    "StorageUnavailableError",
    "StoredLine",
    "StoredList",
    "Suggestion",
    "User",
    "UserId",
    "UserInterest",
    "View",
    "Watch",
    "memory_ports",
    "sql_ports",
]

_HOMES = {
    "JobOutcome": "application",
    "Stats": "application",
    "MemoryMarketplace": "adapters.memory",
    "Ports": "bootstrap",
    "Recommender": "recommender",
    "Settings": "settings",
    "View": "recommender",
    "memory_ports": "bootstrap",
    "sql_ports": "bootstrap",
}
"""Where a public name comes from, if not from the domain."""


def __getattr__(name: str) -> object:
    # Names are loaded when they are first used (PEP 562): what only asks for the version
    # of the package, or imports it to be safe, waits for nothing.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'domain')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
