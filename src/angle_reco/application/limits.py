"""How many suggestions a call may ask for."""

from angle_reco.domain.validators import whole

MOST = 1_000
"""Of any list; a larger limit counts as this."""

MOST_SIMILAR = 20
"""Of similar items."""


def checked_limit(limit: object, *, most: int = MOST) -> int:
    """Return how many to show: *limit*, or *most* where that is less.

    Raises:
        InvalidValueError: It is no whole number of at least 1.
    """
    return min(whole(limit, "limit", least=1), most)
