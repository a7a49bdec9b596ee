"""Similar items by a trained model: the pages of users who touched one item and no other."""

import attrs
import numpy as np

from angle_reco.domain.arrays import Bools, Int8s, Int32s
from angle_reco.domain.columns import NONE, IdColumn
from angle_reco.domain.lists import Lists
from angle_reco.domain.scoring.blended.model import Histories
from angle_reco.domain.scoring.components import DependsOn
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Ranker
from angle_reco.domain.suggestions import Reason, Source

_REASONS = {
    "category": Reason.SAME_CATEGORY,
    "title": Reason.SAME_CATEGORY,
    "price": Reason.PRICE_RANGE,
}
"""The reason if a component adds most; that of the others is what users did."""


def profiles_of_items(items: IdColumn, codes: Int32s, market: OpenMarket) -> Profiles:
    """Return profiles as of users who touched one of *items* each, just now.

    *codes* are those of the items in the model. An item is not similar to itself.

    Raises:
        ValueError: The market has no signals.
    """
    if market.signals is None:
        raise ValueError("a market without a model")
    count, nothing = len(items), np.empty(0, np.int32)
    rows = market.catalogue.items.codes(items)
    is_open = rows != NONE
    return Profiles(
        users=items,
        interest_user=nothing,
        interest_category=nothing,
        interest_score=np.empty(0, np.int64),
        excluded_user=np.flatnonzero(is_open).astype(np.int32),
        excluded_row=rows[is_open],
        histories=Histories(
            offsets=np.arange(count + 1),
            items=codes,
            last_at=np.full(count, market.signals.hour, np.int32),
        ),
        known_as=np.full(count, NONE, np.int32),
    )


def as_similar(lists: Lists, ranker: Ranker) -> Lists:
    """Return pages of `profiles_of_items` as lists of similar items.

    Lines with nothing in common with the item are left out: those of which only components
    that depend on an item alone, such as demand, add something.
    """
    own = np.array([one.depends_on is not DependsOn.ITEM for one, _ in ranker.weights], np.bool_)
    reasons = np.array(
        [_REASONS.get(one.name, Reason.COLLABORATIVE).code for one, _ in ranker.weights], np.int8
    )
    in_common = lists.parts[:, own]
    largest: Int8s = reasons[own][np.argmax(in_common, axis=1)]
    kept: Bools = in_common.sum(axis=1) > 0
    before = np.append(0, np.cumsum(kept))
    return attrs.evolve(
        lists,
        offsets=before[lists.offsets],
        items=lists.items.take(kept),
        parts=lists.parts[kept],
        scores=lists.scores[kept],
        reasons=largest[kept],
        sources=np.full(int(kept.sum()), Source.SIMILAR.code, np.int8),
    )
