"""The second protocol, for data where order is all there is: each user's last items."""

import attrs
import numpy as np

from angle_reco.domain.activity import Activity, Interactions
from angle_reco.domain.arrays import Bools, Int64s, ragged_ranges, starts_of_runs
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.columns import NONE, IdIndex
from angle_reco.domain.errors import NotMeasurableError
from angle_reco.domain.moments import from_micros
from angle_reco.domain.scoring.popularity import BidCounting
from angle_reco.evaluation.cuts import Cut, drawn, past_of, questions_of
from angle_reco.evaluation.history import Evidence, History
from angle_reco.evaluation.rankings import Touches, distinct_pairs
from angle_reco.evaluation.touched_activity import TouchedActivity

LEAST_ITEMS = 5
"""A user with fewer distinct items is not asked, as 20 % of them are no whole item."""


def split_by_order(
    evidence: Evidence, history: History, *, most: int, seed: int
) -> tuple[Evidence, Cut]:
    """Return a cut through each user's history, and the evidence without what it holds back.

    Held back are the last 20 % of the distinct items of each user, by first touch, rounded
    down. The rest of all users is known, all of it as of the last touch: a ranking may learn
    from touches later than those that it is asked for, so the figures say less than those of
    cut dates. Prices are those at the end.

    Raises:
        NotMeasurableError: No user has enough items, or none held back is open at the end.
        StorageUnavailableError: The store did not answer.
    """
    now = from_micros(history.last)
    catalogue = evidence.scorer(now).market().catalogue
    item_ids = IdIndex.of(evidence.settings.ids.item, history.item_ids.ids, catalogue.items.ids)
    touches = attrs.evolve(
        history.touches, items=item_ids.codes(history.item_ids.ids)[history.touches.items]
    )
    is_held = held_back(touches, len(item_ids))
    known = touches.where(~is_held)
    counting = evidence.settings.popularity.counting
    past = past_of(
        history.last,
        _recounted(catalogue, known, item_ids, counting),
        known,
        history.user_ids,
        item_ids,
        evidence.catalog.categories(item_ids.ids).codes,
    )
    questions = drawn(questions_of(past, touches.where(is_held)), most=most, seed=seed)
    if len(questions) == 0:
        raise NotMeasurableError(
            f"no user with at least {LEAST_ITEMS} items has one among the last 20 % that is open"
            f" at {now:%Y-%m-%d %H:%M}, so that their order cannot be asked for"
        )
    activity = TouchedActivity(
        Interactions(
            users=history.user_ids.ids.take(known.users),
            items=item_ids.ids.take(known.items),
            kinds=known.kinds,
            moments=known.moments,
        )
    )
    cut = Cut(past=past, questions=questions, later=touches.where(slice(0, 0)))
    return attrs.evolve(evidence, activity=activity), cut


def held_back(touches: Touches, items: int) -> Bools:
    """Return which touches are of an item that is among the last 20 % of its user's."""
    keys = touches.users.astype(np.int64) * items + touches.items
    distinct, first = np.unique(keys, return_index=True)
    user = distinct // items
    # Ties of moments: touches are in a total order, so the place decides.
    order = np.lexsort((first, user))
    starts = starts_of_runs(user[order])
    sizes = np.diff(np.append(starts, len(order)))
    held = np.where(sizes >= LEAST_ITEMS, sizes // 5, 0)
    places: Int64s = order[ragged_ranges(starts + sizes - held, held)]
    found: Bools = np.isin(keys, distinct[places])
    return found


def _recounted(
    catalogue: Catalogue, known: Touches, item_ids: IdIndex, counting: BidCounting
) -> Catalogue:
    """Return the catalogue with the bids and watchers of *known* touches only."""
    row_of = np.full(len(item_ids), NONE, np.int32)
    row_of[item_ids.codes(catalogue.items.ids)] = np.arange(len(catalogue), dtype=np.int32)
    rows = row_of[known.items]
    bids = np.flatnonzero((rows != NONE) & (known.kinds == Activity.BID))
    watches = np.flatnonzero((rows != NONE) & (known.kinds == Activity.WATCH))

    def of_distinct_users(places: Int64s) -> Int64s:
        _, row = distinct_pairs(known.users[places], rows[places], len(catalogue))
        return np.bincount(row, minlength=len(catalogue))

    return attrs.evolve(
        catalogue,
        bids=np.bincount(rows[bids], minlength=len(catalogue))
        if counting is BidCounting.BIDS
        else of_distinct_users(bids),
        watchers=of_distinct_users(watches),
    )
