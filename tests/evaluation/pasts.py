"""Pasts of a few users and items, for tests of what ranks from a past."""

from collections.abc import Iterable, Sequence

import numpy as np

from angle_reco.domain.activity import Activity
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.moments import DAY, NEVER
from angle_reco.evaluation.rankings import Past, Touches

INTS = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.INT)
NOW = 20_000 * DAY


def past_of(
    pairs: Sequence[tuple[int, int]], *, users: int, items: int, closed: Iterable[int] = ()
) -> Past:
    """Return a past in which users touched items, by codes, in this order, a minute apart."""
    open_items = np.array(sorted(set(range(items)) - set(closed)), np.int32)
    size = len(open_items)
    places = {item: place for place, item in enumerate(open_items.tolist())}
    touched = sorted({(user, places[item]) for user, item in pairs if item in places})
    return Past(
        now=NOW,
        user_ids=IdIndex(IdColumn.of(IdKind.INT, range(users))),
        item_ids=IdIndex(IdColumn.of(IdKind.INT, range(items))),
        touches=Touches(
            users=np.array([user for user, _ in pairs], np.int32),
            items=np.array([item for _, item in pairs], np.int32),
            kinds=np.full(len(pairs), Activity.BID, np.int8),
            moments=NOW + 60_000_000 * np.arange(-len(pairs), 0, dtype=np.int64),
        ),
        catalogue=Catalogue.of_rows(
            INTS,
            item_ids=open_items.tolist(),
            category_ids=[None] * size,
            seller_ids=[None] * size,
            prices=[100] * size,
            starting_prices=[100] * size,
            is_published=[True] * size,
            status=[AuctionStatus.ACTIVE.code] * size,
            ends_at=[NEVER] * size,
            listed_at=[NOW - 100 * DAY] * size,
            bids=[0] * size,
            watchers=[0] * size,
        ),
        open_items=open_items,
        category=np.full(items, NONE, np.int32),
        left_out_users=np.array([user for user, _ in touched], np.int32),
        left_out_rows=np.array([row for _, row in touched], np.int32),
    )
