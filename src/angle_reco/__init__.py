"""Recommendations for auction sites and marketplaces, imported rather than served."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from angle_reco.adapters.memory import MemoryMarketplace
    from angle_reco.bootstrap import Ports, memory_ports, sql_ports
    from angle_reco.domain import (
        CLASSIC,
        AccessDeniedError,
        AngleRecoError,
        AuctionStatus,
        BadInputError,
        Bid,
        BidCounting,
        CategoryId,
        DecaySteps,
        Freshness,
        HalfLife,
        IdKind,
        IdKinds,
        InterestRule,
        InvalidValueError,
        Item,
        ItemCard,
        ItemId,
        ItemNotFoundError,
        PopularityRule,
        Ranker,
        Reason,
        SchemaError,
        Shelf,
        SimilarityRule,
        Source,
        StorageError,
        StorageUnavailableError,
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
    "AngleRecoError",
    "AuctionStatus",
    "BadInputError",
    "Bid",
    "BidCounting",
    "CategoryId",
    "DecaySteps",
    "Freshness",
    "HalfLife",
    "IdKind",
    "IdKinds",
    "InterestRule",
    "InvalidValueError",
    "Item",
    "ItemCard",
    "ItemId",
    "ItemNotFoundError",
    "MemoryMarketplace",
    "PopularityRule",
    "Ports",
    "Ranker",
    "Reason",
    "Recommender",
    "SchemaError",
    "Settings",
    "Shelf",
    "SimilarityRule",
    "Source",
    "StorageError",
    "StorageUnavailableError",
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
