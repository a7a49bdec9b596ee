"""Recommendations for auction sites and marketplaces, imported rather than served."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from angle_reco.adapters.memory.marketplace import MemoryMarketplace
    from angle_reco.adapters.sql.market.findings import Finding
    from angle_reco.adapters.sql.schema.additions import add_sign_in_columns, drop_sign_in_columns
    from angle_reco.adapters.sql.schema.host_schema import (
        HostSchema,
        PermissionTable,
        SignInColumns,
    )
    from angle_reco.adapters.sql.schema.migrations import include_object
    from angle_reco.adapters.sql.schema.permissions import add_permissions
    from angle_reco.application.admin import JobStats, Stats
    from angle_reco.application.jobs.runner import JobOutcome
    from angle_reco.application.personal_data import UserExport
    from angle_reco.application.process_cache import Health, MemoryStats
    from angle_reco.composition import Ports, memory_ports, sql_ports
    from angle_reco.domain.activity import Bid, Watch
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
    from angle_reco.domain.items import AuctionStatus, Item, ItemCard
    from angle_reco.domain.lists import ListKind
    from angle_reco.domain.policies import Resource
    from angle_reco.domain.prices import PriceScale
    from angle_reco.domain.runs import RunRules
    from angle_reco.domain.schedules import JobRule, Queue, Schedule
    from angle_reco.domain.scoring.after_bid import AfterBidRule
    from angle_reco.domain.scoring.decay import DecaySteps, HalfLife
    from angle_reco.domain.scoring.interest import InterestRule, UserInterest
    from angle_reco.domain.scoring.popularity import BidCounting, PopularityRule
    from angle_reco.domain.scoring.ranking import CLASSIC, Component, Ranker
    from angle_reco.domain.scoring.similarity import SimilarityRule
    from angle_reco.domain.stored_list import StoredLine, StoredList
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
    "drop_sign_in_columns",
    "include_object",
    "memory_ports",
    "sql_ports",
]

_NAMES = {
    "angle_reco.adapters.memory.marketplace": ("MemoryMarketplace",),
    "angle_reco.adapters.sql.market.findings": ("Finding",),
    "angle_reco.adapters.sql.schema.additions": (
        "add_sign_in_columns",
        "drop_sign_in_columns",
    ),
    "angle_reco.adapters.sql.schema.host_schema": (
        "HostSchema",
        "PermissionTable",
        "SignInColumns",
    ),
    "angle_reco.adapters.sql.schema.migrations": ("include_object",),
    "angle_reco.adapters.sql.schema.permissions": ("add_permissions",),
    "angle_reco.application.admin": (
        "JobStats",
        "Stats",
    ),
    "angle_reco.application.jobs.runner": ("JobOutcome",),
    "angle_reco.application.personal_data": ("UserExport",),
    "angle_reco.application.process_cache": (
        "Health",
        "MemoryStats",
    ),
    "angle_reco.composition": (
        "Ports",
        "memory_ports",
        "sql_ports",
    ),
    "angle_reco.domain.activity": (
        "Bid",
        "Watch",
    ),
    "angle_reco.domain.erasure": ("Erased",),
    "angle_reco.domain.errors": (
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
    "angle_reco.domain.events": (
        "AnswerDegraded",
        "Event",
        "RefreshFailed",
        "RunFailed",
        "UserInspected",
    ),
    "angle_reco.domain.freshness": ("FreshnessLimits",),
    "angle_reco.domain.ids": (
        "CategoryId",
        "IdKind",
        "IdKinds",
        "ItemId",
        "UserId",
    ),
    "angle_reco.domain.items": (
        "AuctionStatus",
        "Item",
        "ItemCard",
    ),
    "angle_reco.domain.lists": ("ListKind",),
    "angle_reco.domain.policies": ("Resource",),
    "angle_reco.domain.prices": ("PriceScale",),
    "angle_reco.domain.runs": ("RunRules",),
    "angle_reco.domain.schedules": (
        "JobRule",
        "Queue",
        "Schedule",
    ),
    "angle_reco.domain.scoring.after_bid": ("AfterBidRule",),
    "angle_reco.domain.scoring.decay": (
        "DecaySteps",
        "HalfLife",
    ),
    "angle_reco.domain.scoring.interest": (
        "InterestRule",
        "UserInterest",
    ),
    "angle_reco.domain.scoring.popularity": (
        "BidCounting",
        "PopularityRule",
    ),
    "angle_reco.domain.scoring.ranking": (
        "CLASSIC",
        "Component",
        "Ranker",
    ),
    "angle_reco.domain.scoring.similarity": ("SimilarityRule",),
    "angle_reco.domain.stored_list": (
        "StoredLine",
        "StoredList",
    ),
    "angle_reco.domain.suggestions": (
        "Freshness",
        "Reason",
        "Shelf",
        "Source",
        "Suggestion",
    ),
    "angle_reco.domain.users": (
        "SignIns",
        "User",
    ),
    "angle_reco.recommender": ("Recommender",),
    "angle_reco.settings": (
        "Settings",
        "Verify",
    ),
    "angle_reco.view": ("View",),
}
"""The public names, by the modules that define them."""

_HOMES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> object:
    # Names are loaded when they are first used (PEP 562): what only asks for the version
    # of the package, or imports it to be safe, waits for nothing.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
