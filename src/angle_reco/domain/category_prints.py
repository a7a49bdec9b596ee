"""Fingerprints of the open items of each category: of all that pages of `classic` show of them."""

from collections.abc import Mapping
from hashlib import blake2b

import numpy as np

from angle_reco.domain.arrays import starts_of_runs
from angle_reco.domain.columns import NONE
from angle_reco.domain.ids import CategoryId
from angle_reco.domain.popular import popular_owner
from angle_reco.domain.scoring.blended.hashes import NO_HASH, hashes_of
from angle_reco.domain.scoring.components import INTEREST, POPULARITY, RECENCY
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.ranking import Candidates, Ranker

_BYTES = 8

_COVERED = (INTEREST, POPULARITY, RECENCY)
"""The components whose data is stored interests and the columns of `category_prints`.

With another one each run computes every page. A component can be added here once all that it reads
is in the prints.
"""


def has_known_data(ranker: Ranker) -> bool:
    """Return whether pages of a ranker depend on interests and `category_prints` alone."""
    is_covered = all(component in _COVERED for component, _ in ranker.weights)
    return is_covered and ranker.candidates is Candidates.FAVOURITES


def category_prints(market: OpenMarket) -> Mapping[str, str]:
    """Return a fingerprint of the items of each category, and of those without one.

    The keys are those of popular lists. Equal fingerprints mean equal items with equal counts,
    status and seller, so the order within and between such categories is the same, too.
    """
    listed = market.catalogue
    sellers = np.append(hashes_of(listed.sellers.ids), NO_HASH)[listed.seller]
    columns = (
        hashes_of(listed.items.ids),
        sellers,
        market.demand.bids,
        market.demand.watchers,
        listed.watchers,
        listed.listed_at,
        market.is_active,
        market.ends_soon,
    )
    # Rows are in the order of the ids, and a stable sort keeps that order in each category.
    order = np.argsort(listed.category, kind="stable")
    category = listed.category[order]
    rows = np.stack(columns, axis=1, dtype=np.int64, casting="unsafe")[order]
    starts = starts_of_runs(category)
    names = [
        popular_owner(None if code == NONE else CategoryId(listed.categories.ids[code]))
        for code in category[starts].tolist()
    ]
    parts = np.split(rows, starts[1:])
    return {
        name: blake2b(np.ascontiguousarray(part).tobytes(), digest_size=_BYTES).hexdigest()
        for name, part in zip(names, parts, strict=False)
    }


def changed_categories(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the categories whose fingerprints differ, those that are new or gone included."""
    names = before.keys() | after.keys()
    return sorted(name for name in names if before.get(name) != after.get(name))
