"""Recommendations for auction sites and marketplaces, imported rather than served."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from angle_reco.adapters.sql.schema.host_schema import HostSchema
    from angle_reco.aio import AsyncRecommender, AsyncView
    from angle_reco.domain.errors import (
        AccessDeniedError,
        AngleRecoError,
        InvalidValueError,
        ItemNotFoundError,
        SchemaError,
        StorageError,
        StorageUnavailableError,
        UserErasedError,
    )
    from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
    from angle_reco.domain.items import ItemCard
    from angle_reco.domain.scoring.interest import UserInterest
    from angle_reco.domain.suggestions import Freshness, Reason, Shelf, Source, Suggestion
    from angle_reco.recommender import Recommender
    from angle_reco.settings import Settings
    from angle_reco.stored_view import StoredView
    from angle_reco.view import View

__all__ = [
    "AccessDeniedError",
    "AngleRecoError",
    "AsyncRecommender",
    "AsyncView",
    "CategoryId",
    "Freshness",
    "HostSchema",
    "IdKind",
    "IdKinds",
    "InvalidValueError",
    "ItemCard",
    "ItemId",
    "ItemNotFoundError",
    "Reason",
    "Recommender",
    "SchemaError",
    "Settings",
    "Shelf",
    "Source",
    "StorageError",
    "StorageUnavailableError",
    "StoredView",
    "Suggestion",
    "UserErasedError",
    "UserId",
    "UserInterest",
    "View",
]

_NAMES = {
    "angle_reco.adapters.sql.schema.host_schema": ("HostSchema",),
    "angle_reco.aio": (
        "AsyncRecommender",
        "AsyncView",
    ),
    "angle_reco.domain.errors": (
        "AccessDeniedError",
        "AngleRecoError",
        "InvalidValueError",
        "ItemNotFoundError",
        "SchemaError",
        "StorageError",
        "StorageUnavailableError",
        "UserErasedError",
    ),
    "angle_reco.domain.ids": (
        "CategoryId",
        "IdKind",
        "IdKinds",
        "ItemId",
        "UserId",
    ),
    "angle_reco.domain.items": ("ItemCard",),
    "angle_reco.domain.scoring.interest": ("UserInterest",),
    "angle_reco.domain.suggestions": (
        "Freshness",
        "Reason",
        "Shelf",
        "Source",
        "Suggestion",
    ),
    "angle_reco.recommender": ("Recommender",),
    "angle_reco.settings": ("Settings",),
    "angle_reco.stored_view": ("StoredView",),
    "angle_reco.view": ("View",),
}
"""The public names, by the modules that define them."""

_MOVED = {
    "components": ("Component",),
    "composition": (
        "Ports",
        "memory_ports",
        "sql_ports",
    ),
    "errors": (
        "AlreadyStoredError",
        "BadInputError",
        "FencedOffError",
        "HostTransactionLostError",
        "StorageFullError",
    ),
    "events": (
        "AnswerDegraded",
        "Event",
        "RefreshFailed",
        "Resource",
        "RunFailed",
        "UserInspected",
    ),
    "results": (
        "Erased",
        "Health",
        "JobOutcome",
        "JobStats",
        "MemoryStats",
        "SignIns",
        "Stats",
        "StoredLine",
        "StoredList",
        "UserExport",
    ),
    "rules": (
        "CLASSIC",
        "AfterBidRule",
        "BidCounting",
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
        "SimilarityRule",
        "Verify",
    ),
    "sql": (
        "Finding",
        "PermissionTable",
        "SignInColumns",
        "add_permissions",
        "add_sign_in_columns",
        "drop_sign_in_columns",
        "include_object",
    ),
    "testing": (
        "AuctionStatus",
        "Bid",
        "Item",
        "MemoryMarketplace",
        "User",
        "Watch",
    ),
}
"""Names that 0.1 had here, by the public modules that have them now."""

_HOMES = {name: module for module, names in _NAMES.items() for name in names}
_NEW_HOMES = {name: f"{__name__}.{module}" for module, names in _MOVED.items() for name in names}


def __getattr__(name: str) -> object:
    # Names are loaded when they are first used (PEP 562): what only asks for the version
    # of the package, or imports it to be safe, waits for nothing.
    home = _HOMES.get(name) or _NEW_HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(home), name)
    if name in _HOMES:
        globals()[name] = value
    else:
        from warnings import warn

        text = f"{name} is in {home} now; {__name__}.{name} goes with the next release"
        warn(text, DeprecationWarning, stacklevel=2)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
