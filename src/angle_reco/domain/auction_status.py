"""The status of an auction, as the host states it or as its times imply."""

from enum import StrEnum


class AuctionStatus(StrEnum):
    """The state of an auction according to the host; the value is what is stored."""

    PENDING = "pending"
    SCHEDULED = "scheduled"
    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"
    SOLD = "sold"
    CANCELLED = "cancelled"

    @property
    def code(self) -> int:
        """Return the small integer that represents the status in columns."""
        return _STATUS_CODES[self]


_STATUS_CODES = {status: code for code, status in enumerate(AuctionStatus)}

OPEN_STATUSES = frozenset({AuctionStatus.ACTIVE, AuctionStatus.SCHEDULED})
"""A published item with one of these can be bid on, now or soon."""

OVER_STATUSES = frozenset({AuctionStatus.ENDED, AuctionStatus.SOLD})
"""An item with one of these had been open before."""


def status_at(moment: int, *, starts_at: int, ends_at: int) -> AuctionStatus:
    """Return the status that follows from an auction's times alone, all in microseconds.

    With a start that is now, past or unknown it is active, with a later one scheduled.
    """
    if ends_at <= moment:
        return AuctionStatus.ENDED
    return AuctionStatus.SCHEDULED if starts_at > moment else AuctionStatus.ACTIVE


def may_be_later(status: AuctionStatus | None, *, has_end: bool) -> bool:
    """Return whether a stated status says nothing about a past moment: it may be from later.

    The status then follows from the times. Without an end, an item that is over remains so.
    """
    return status is AuctionStatus.ACTIVE or (has_end and status in OVER_STATUSES)
