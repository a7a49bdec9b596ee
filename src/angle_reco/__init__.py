"""Recommendations for auction sites and marketplaces, imported rather than served."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from angle_reco.adapters.memory import MemoryMarketplace
    from angle_reco.adapters.sql import (
        Finding,
        HostSchema,
        PermissionTable,
        SignInColumns,
        add_permissions,
        add_sign_in_columns,
        drop_permissions,
        drop_sign_in_columns,
        include_object,
    )
    from angle_reco.application import JobOutcome, Stats, UserExport
    from angle_reco.bootstrap import Ports, memory_ports, sql_ports
    from angle_reco.domain import (
        CLASSIC,
        AccessDeniedError,
        AfterBidRule,
        AlreadyStoredError,
        AngleRecoError,
        AuctionStatus,
        BadInputError,
        Bid,
        BidCounting,
        CategoryId,
        Component,
        DecaySteps,
        Erased,
        FencedOffError,
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
        Resource,
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
        UserErasedError,
        UserId,
        UserInspected,
        UserInterest,
        Watch,
    )
    from angle_reco.recommender import Recommender
    from angle_reco.settings import Settings
    from angle_reco.view import View

__all__ = [
    "CLASSIC",
    "AccessDeniedError",
    "AfterBidRule",
    "AlreadyStoredError",
    "AngleRecoError",
    "AuctionStatus",
    "BadInputError",
    "Bid",
    "BidCounting",
    "CategoryId",
    "Component",
    "DecaySteps",
    "Erased",
    "FencedOffError",
    "Finding",
    "Freshness",
    "FreshnessLimits",
    "HalfLife",
    "HostSchema",
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
    "PermissionTable",
    "PopularityRule",
    "Ports",
    "PriceScale",
    "Ranker",
    "Reason",
    "Recommender",
    "Resource",
    "SchemaError",
    "Settings",
    "Shelf",
    "SignInColumns",
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
    "UserErasedError",
    "UserExport",
    "UserId",
    "UserInspected",
    "UserInterest",
    "View",
    "Watch",
    "add_permissions",
    "add_sign_in_columns",
    "drop_permissions",
    "drop_sign_in_columns",
    "include_object",
    "memory_ports",
    "sql_ports",
]

_HOMES = {
    "JobOutcome": "application",
    "Stats": "application",
    "UserExport": "application",
    "MemoryMarketplace": "adapters.memory",
    "Finding": "adapters.sql",
    "HostSchema": "adapters.sql",
    "PermissionTable": "adapters.sql",
    "SignInColumns": "adapters.sql",
    "add_permissions": "adapters.sql",
    "add_sign_in_columns": "adapters.sql",
    "drop_permissions": "adapters.sql",
    "drop_sign_in_columns": "adapters.sql",
    "include_object": "adapters.sql",
    "Ports": "bootstrap",
    "Recommender": "recommender",
    "Settings": "settings",
    "View": "view",
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
