"""The domain's rules in bulk, over whole catalogues and many users at once."""

from typing import Protocol

from angle_reco.domain.activity import Interactions
from angle_reco.domain.arrays import Int64s
from angle_reco.domain.catalogue import OpenCards
from angle_reco.domain.lists import Lists
from angle_reco.domain.scoring.blended.model import Model
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Ranker
from angle_reco.domain.scoring.similarity import Engagement, Originals, SimilarityRule


class Similarities(Protocol):
    """The similar items of open items, prepared for any of them."""

    def of(self, rows: Int64s) -> Lists:
        """Return the lists of the items in *rows* of the market, in that order."""
        ...


class Kernels(Protocol):
    """The batch forms of the domain's rules; results equal those of the plain rules bit by bit.

    Only a trained model need not: other machines may train another one in its last bits.

    Lists have the recipe of their rule or ranker, and are computed at the market's *now*.
    """

    def similarities(
        self, market: OpenMarket, engagement: Engagement, *, rule: SimilarityRule, keep: int
    ) -> Similarities:
        """Prepare what `similar_items` returns for the open items themselves.

        The engagement is that of originals and candidates. Preparing takes as long as reading
        the whole engagement once; the lists then depend on the rows that are requested.
        """
        ...

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
        """Return the *keep* open items most similar to each of *originals*.

        The engagements name users by shared codes, and items by places among the originals
        and by rows of the market. An item is never similar to itself. Ordered by score, then
        more shared users, then the market's `tie_order`; sources are `similar`.
        """
        ...

    def trained(self, happened: Interactions, items: OpenCards, *, now: int) -> Model:
        """Return the model of all that happened, at *now* in microseconds.

        *items* has the items in *happened*, open or not; others do not count.
        """
        ...

    def homepages(
        self, market: OpenMarket, profiles: Profiles, *, ranker: Ranker, keep: int
    ) -> Lists:
        """Return the best *keep* open items for each user of *profiles*.

        Items of the user's favourite categories come first, by score, at most `per_category`
        of each; then the rest of those, by score; then the popular items, in their order.
        Items excluded for the user are left out, and none comes twice. If all items are the
        candidates of the ranker, the best come first, by score, then the market's `tie_order`.

        Raises:
            ComponentError: A component of the ranker failed, or its values are unusable.
        """
        ...
