"""The kernels on numpy and scipy: exact, and without a matrix of all pairs."""

from angle_reco.adapters.kernels.homepages import rank_homepages
from angle_reco.adapters.kernels.similar import NumpySimilarities, rank_similar_items
from angle_reco.domain.activity import Interactions
from angle_reco.domain.catalogue import OpenCards
from angle_reco.domain.lists import Lists
from angle_reco.domain.scoring.blended.model import Model
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Ranker
from angle_reco.domain.scoring.similarity import Engagement, Originals, SimilarityRule
from angle_reco.ports.kernels import Similarities

__all__ = ["NumpyKernels"]


class NumpyKernels:
    """`Kernels` on one thread of numpy, with the sparse matrix product of scipy."""

    def similarities(
        self, market: OpenMarket, engagement: Engagement, *, rule: SimilarityRule, keep: int
    ) -> Similarities:
        return NumpySimilarities.of_engagement(market, engagement, rule, keep)

    def similar_items(
        self,
        market: OpenMarket,
        originals: Originals,
        *,
        of_originals: Engagement,
        of_candidates: Engagement,
        rule: SimilarityRule,
        keep: int,
    ) -> Lists:
        return rank_similar_items(
            market,
            originals,
            of_originals=of_originals,
            of_candidates=of_candidates,
            rule=rule,
            keep=keep,
        )

    def trained(self, happened: Interactions, items: OpenCards, *, now: int) -> Model:
        # A process that only serves needs no scipy.
        from angle_reco.adapters.kernels.training import trained

        return trained(happened, items, now=now)

    def homepages(
        self, market: OpenMarket, profiles: Profiles, *, ranker: Ranker, keep: int
    ) -> Lists:
        return rank_homepages(market, profiles, ranker=ranker, keep=keep)
