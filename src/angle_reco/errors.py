"""The errors that calls raise."""

from angle_reco.domain.errors import (
    AccessDeniedError,
    AlreadyStoredError,
    AngleRecoError,
    BadInputError,
    ComponentError,
    FencedOffError,
    HostTransactionLostError,
    InvalidValueError,
    ItemNotFoundError,
    NotMeasurableError,
    SchemaError,
    StorageError,
    StorageFullError,
    StorageLockedError,
    StorageUnavailableError,
    UserErasedError,
)

__all__ = [
    "AccessDeniedError",
    "AlreadyStoredError",
    "AngleRecoError",
    "BadInputError",
    "ComponentError",
    "FencedOffError",
    "HostTransactionLostError",
    "InvalidValueError",
    "ItemNotFoundError",
    "NotMeasurableError",
    "SchemaError",
    "StorageError",
    "StorageFullError",
    "StorageLockedError",
    "StorageUnavailableError",
    "UserErasedError",
]
