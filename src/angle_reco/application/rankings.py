"""The rankers of homepages that the settings allow, with the recipes of their lists."""

from datetime import datetime
from functools import cached_property

import attrs

from angle_reco.domain.lists import ListKind
from angle_reco.domain.scoring.blended.model import Model
from angle_reco.domain.scoring.blended_ranker import BLENDED, SIMILAR_BLENDED, Weights, with_weights
from angle_reco.domain.scoring.ranking import CLASSIC, Ranker
from angle_reco.domain.stored_list import Recipe
from angle_reco.domain.whys import Wording
from angle_reco.settings import AUTO, Settings, SimilarBy


@attrs.frozen
class Ranking:
    """A ranker of homepages, and the recipe of its lists."""

    ranker: Ranker
    recipe: Recipe


@attrs.frozen(kw_only=True)
class Rankings:
    """Returns the ranking for a model, or for none."""

    settings: Settings
    as_of: datetime | None = None
    _known: dict[tuple[str, tuple[tuple[str, int], ...]], Recipe] = attrs.field(
        factory=dict, init=False, repr=False
    )

    @cached_property
    def fixed(self) -> Ranking | None:
        """Return the ranking, if it is the same with and without a model."""
        if self.settings.ranker == BLENDED.name:
            return None
        if self.settings.ranker == AUTO:
            return None if self.as_of is None else self._ranking(CLASSIC)
        return self._ranking(self.settings.rankers[self.settings.ranker])

    @property
    def learns(self) -> bool:
        """Return whether a model would be used if there were one."""
        return self.as_of is None and (self.fixed is None or self.is_similar_learned)

    @property
    def is_similar_learned(self) -> bool:
        """Return whether similar items are those of a model, where it knows the item."""
        return self.as_of is None and self.settings.similar is SimilarBy.BLENDED

    @cached_property
    def similar(self) -> Recipe:
        """Return the recipe of similar items by a model, without its version."""
        recipes = self.settings.recipes(self.as_of, SIMILAR_BLENDED)
        return recipes.lists[ListKind.PERSONAL]

    @property
    def kept(self) -> int:
        """Return how many suggestions a stored homepage has at most."""
        return BLENDED.kept if self.fixed is None else self.fixed.ranker.kept

    @property
    def wording(self) -> dict[str, Wording]:
        """Return the words of all components in sentences, by name."""
        if self.fixed is not None:
            return self.fixed.ranker.wording
        return CLASSIC.wording | BLENDED.wording

    def of(self, model: Model | None) -> Ranking:
        """Return the ranking with a model, whose tuned weights count with `auto`, or without."""
        if self.fixed is not None:
            return self.fixed
        if model is None:
            return self._ranking(CLASSIC)
        return self.learned(model.weights, model.version)

    def learned(self, weights: Weights, version: str = "") -> Ranking:
        """Return the ranking of `blended`, with tuned *weights* if there are some."""
        tuned = weights and self.settings.ranker == AUTO
        return self._ranking(with_weights(weights) if tuned else BLENDED, version)

    def _ranking(self, ranker: Ranker, version: str = "") -> Ranking:
        key = (ranker.name, ranker.recipe.weights)
        recipe = self._known.get(key)
        if recipe is None:
            recipe = self.settings.recipes(self.as_of, ranker).lists[ListKind.PERSONAL]
            self._known[key] = recipe
        return Ranking(ranker, attrs.evolve(recipe, model=version))
