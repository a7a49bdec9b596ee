"""Bounds on how many suggestions a call may ask for."""

from angle_reco.domain.validators import whole

MOST = 1_000
"""How many lines of any list a call returns at most; a larger limit counts as this."""

MOST_SIMILAR = 20
"""How many similar items a call returns at most."""


def checked_limit(limit: object, *, most: int = MOST) -> int:
    """Return *limit*, or *most* if that is less.

    Raises:
        InvalidValueError: *limit* is not a whole number of at least 1.
    """
    return min(whole(limit, "limit", least=1), most)
