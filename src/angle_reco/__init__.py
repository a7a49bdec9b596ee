"""Recommendations for auction sites and marketplaces, imported rather than served."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from angle_reco.adapters.memory.marketplace import MemoryMarketplace
    from angle_reco.adapters.sql.additions import add_sign_in_columns, drop_sign_in_columns
    from angle_reco.adapters.sql.findings import Finding
    from angle_reco.adapters.sql.host import HostSchema, PermissionTable, SignInColumns
    from angle_reco.adapters.sql.migrations import include_object
    from angle_reco.adapters.sql.permissions import add_permissions, drop_permissions
    from angle_reco.application.memory import Health, MemoryStats
    from angle_reco.application.performing import JobOutcome
    from angle_reco.application.personal_data import UserExport
    from angle_reco.application.stats import JobStats, Stats
    from angle_reco.bootstrap import Ports, memory_ports, sql_ports
    from angle_reco.domain.activity import Bid, Watch
    from angle_reco.domain.after_bid import AfterBidRule
    from angle_reco.domain.decay import DecaySteps, HalfLife
    from angle_reco.domain.erasure import Erased
    from angle_reco.domain.errors import (
        AccessDeniedError,
        AlreadyStoredError,
        AngleRecoError,
        BadInputError,
        FencedOffError,
        HostTransactionLostError,
        InvalidValueError,
        ItemNotFoundError,
        SchemaError,
        StorageError,
        StorageFullError,
        StorageUnavailableError,
        UserErasedError,
    )
    from angle_reco.domain.events import (
        AnswerDegraded,
        Event,
        RefreshFailed,
        RunFailed,
        UserInspected,
    )
    from angle_reco.domain.freshness import FreshnessLimits
    from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
    from angle_reco.domain.interest import InterestRule, UserInterest
    from angle_reco.domain.items import AuctionStatus, Item, ItemCard
    from angle_reco.domain.lists import ListKind, StoredLine, StoredList
    from angle_reco.domain.policies import Resource
    from angle_reco.domain.popularity import BidCounting, PopularityRule
    from angle_reco.domain.prices import PriceScale
    from angle_reco.domain.ranking import CLASSIC, Component, Ranker
    from angle_reco.domain.runs import RunRules
    from angle_reco.domain.schedules import JobRule, Queue, Schedule
    from angle_reco.domain.similarity import SimilarityRule
    from angle_reco.domain.suggestions import Freshness, Reason, Shelf, Source, Suggestion
    from angle_reco.domain.users import SignIns, User
    from angle_reco.recommender import Recommender
    from angle_reco.settings import Settings, Verify
    from angle_reco.view import View

__all__ = [
    "CLASSIC",
    "AccessDeniedError",
    "AfterBidRule",
    "AlreadyStoredError",
    "AngleRecoError",
    "AnswerDegraded",
    "AuctionStatus",
    "BadInputError",
    "Bid",
    "BidCounting",
    "CategoryId",
    "Component",
    "DecaySteps",
    "Erased",
    "Event",
    "FencedOffError",
    "Finding",
    "Freshness",
    "FreshnessLimits",
    "HalfLife",
    "Health",
    "HostSchema",
    "HostTransactionLostError",
    "IdKind",
    "IdKinds",
    "InterestRule",
    "InvalidValueError",
    "Item",
    "ItemCard",
    "ItemId",
    "ItemNotFoundError",
    "JobOutcome",
    "JobRule",
    "JobStats",
    "ListKind",
    "MemoryMarketplace",
    "MemoryStats",
    "PermissionTable",
    "PopularityRule",
    "Ports",
    "PriceScale",
    "Queue",
    "Ranker",
    "Reason",
    "Recommender",
    "RefreshFailed",
    "Resource",
    "RunFailed",
    "RunRules",
    "Schedule",
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
    "Verify",
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

_NAMES = {
    "adapters.memory.marketplace": ("MemoryMarketplace",),
    "adapters.sql.additions": (
        "add_sign_in_columns",
        "drop_sign_in_columns",
    ),
    "adapters.sql.findings": ("Finding",),
    "adapters.sql.host": (
        "HostSchema",
        "PermissionTable",
        "SignInColumns",
    ),
    "adapters.sql.migrations": ("include_object",),
    "adapters.sql.permissions": (
        "add_permissions",
        "drop_permissions",
    ),
    "application.memory": (
        "Health",
        "MemoryStats",
    ),
    "application.performing": ("JobOutcome",),
    "application.personal_data": ("UserExport",),
    "application.stats": (
        "JobStats",
        "Stats",
    ),
    "bootstrap": (
        "Ports",
        "memory_ports",
        "sql_ports",
    ),
    "domain.activity": (
        "Bid",
        "Watch",
    ),
    "domain.after_bid": ("AfterBidRule",),
    "domain.decay": (
        "DecaySteps",
        "HalfLife",
    ),
    "domain.erasure": ("Erased",),
    "domain.errors": (
        "AccessDeniedError",
        "AlreadyStoredError",
        "AngleRecoError",
        "BadInputError",
        "FencedOffError",
        "HostTransactionLostError",
        "InvalidValueError",
        "ItemNotFoundError",
        "SchemaError",
        "StorageError",
        "StorageFullError",
        "StorageUnavailableError",
        "UserErasedError",
    ),
    "domain.events": (
        "AnswerDegraded",
        "Event",
        "RefreshFailed",
        "RunFailed",
        "UserInspected",
    ),
    "domain.freshness": ("FreshnessLimits",),
    "domain.ids": (
        "CategoryId",
        "IdKind",
        "IdKinds",
        "ItemId",
        "UserId",
    ),
    "domain.interest": (
        "InterestRule",
        "UserInterest",
    ),
    "domain.items": (
        "AuctionStatus",
        "Item",
        "ItemCard",
    ),
    "domain.lists": (
        "ListKind",
        "StoredLine",
        "StoredList",
    ),
    "domain.policies": ("Resource",),
    "domain.popularity": (
        "BidCounting",
        "PopularityRule",
    ),
    "domain.prices": ("PriceScale",),
    "domain.ranking": (
        "CLASSIC",
        "Component",
        "Ranker",
    ),
    "domain.runs": ("RunRules",),
    "domain.schedules": (
        "JobRule",
        "Queue",
        "Schedule",
    ),
    "domain.similarity": ("SimilarityRule",),
    "domain.suggestions": (
        "Freshness",
        "Reason",
        "Shelf",
        "Source",
        "Suggestion",
    ),
    "domain.users": (
        "SignIns",
        "User",
    ),
    "recommender": ("Recommender",),
    "settings": (
        "Settings",
        "Verify",
    ),
    "view": ("View",),
}
"""The public names, by the modules that define them."""

_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    # Names are loaded when they are first used (PEP 562): what only asks for the version
    # of the package, or imports it to be safe, waits for nothing.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
