"""What a host can choose; every default is that of the documentation."""

from collections.abc import Mapping
from datetime import timedelta

import attrs

from angle_reco.domain import (
    CLASSIC,
    AfterBidRule,
    FreshnessLimits,
    IdKinds,
    InterestRule,
    InvalidValueError,
    ListKind,
    PopularityRule,
    PriceScale,
    Ranker,
    SimilarityRule,
    one_of,
)


def _freshness() -> dict[ListKind, FreshnessLimits]:
    # Similar lists are made once a day: 30 hours give that run six to be late.
    limits = {kind: FreshnessLimits() for kind in ListKind}
    limits[ListKind.SIMILAR] = FreshnessLimits(fresh_for=timedelta(hours=30))
    return limits


@attrs.frozen(kw_only=True)
class Settings:
    """The rules and their weights, the kinds of ids, and how long results stay usable.

    *ranker* is the name of a ranker: one of ours, or of the host's own *presets*.
    """

    ids: IdKinds = attrs.field(factory=IdKinds)
    prices: PriceScale = attrs.field(factory=PriceScale)
    interest: InterestRule = attrs.field(factory=InterestRule)
    similarity: SimilarityRule = attrs.field(factory=SimilarityRule)
    popularity: PopularityRule = attrs.field(factory=PopularityRule)
    after_bid: AfterBidRule = attrs.field(factory=AfterBidRule)
    ranker: str = CLASSIC.name
    presets: tuple[Ranker, ...] = ()
    active_for: timedelta = timedelta(days=30)
    interests_freshness: FreshnessLimits = attrs.field(factory=FreshnessLimits)
    freshness: Mapping[ListKind, FreshnessLimits] = attrs.field(factory=_freshness)

    def __attrs_post_init__(self) -> None:
        if self.ranker not in self.rankers:
            raise InvalidValueError("ranker", self.ranker, one_of(self.rankers))
        if not timedelta(0) < self.active_for <= timedelta(days=36_500):
            raise InvalidValueError("active_for", self.active_for, "up to a hundred years")
        missing = set(ListKind) - set(self.freshness)
        if missing:
            raise InvalidValueError("freshness", dict(self.freshness), "limits for each list kind")

    @property
    def rankers(self) -> dict[str, Ranker]:
        """Return every ranker that can be named."""
        return {ranker.name: ranker for ranker in (CLASSIC, *self.presets)}

    @property
    def chosen_ranker(self) -> Ranker:
        """Return the ranker that homepages are made with."""
        return self.rankers[self.ranker]
