"""The rule of which items may be shown.

Answers apply it whatever an adapter returned: `StoredList.places_shown` has it written out for
speed, and a test holds both together.
"""

from datetime import datetime

import numpy as np

from angle_reco.domain.arrays import Bools
from angle_reco.domain.auction_status import OPEN_STATUSES
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.ids import UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.moments import to_micros


def is_open(card: ItemCard, now: datetime) -> bool:
    """Return whether an item is published, active or scheduled, and has not ended."""
    return card.is_listed and (card.ends_at is None or card.ends_at > now)


def open_rows(catalogue: Catalogue, now: datetime) -> Bools:
    """Return which rows of *catalogue* are open: `is_open` as a column."""
    statuses = [status.code for status in OPEN_STATUSES]
    return (
        catalogue.is_published
        & np.isin(catalogue.status, statuses)
        & (catalogue.ends_at > to_micros(now))
    )


def may_be_shown(
    card: ItemCard, *, viewer: UserId | None, now: datetime, include_engaged: bool
) -> bool:
    """Return whether *viewer* may be shown an item: it is open and not listed by them.

    Unless *include_engaged*, an item that the viewer bid on or watches is not shown either. A
    viewer of None has no own items.
    """
    is_own = viewer is not None and card.seller_id == viewer
    return is_open(card, now) and not is_own and (include_engaged or not card.engaged)
