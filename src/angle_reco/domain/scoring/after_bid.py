"""Suggestions right after a bid: similar items, those in liked categories first."""

from collections.abc import Mapping, Sequence

import attrs

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import CategoryId, ItemId
from angle_reco.domain.millionths import ONE, Millionths
from angle_reco.domain.stored_list import StoredLine
from angle_reco.domain.validators import whole

NAME = "after_bid"
"""What stands for the rule where a shelf names its ranker."""

COMPONENTS = ("similarity", "interest")
"""The names of the parts of a score, in order."""


@attrs.frozen(kw_only=True)
class AfterBidRule:
    """How much similarity counts alone, and how much in combination with interest.

    `score = similarity·s + interest·s·i`, with the similarity s of an item and the user's
    interest i in its category.
    """

    similarity: Millionths = 500_000
    interest: Millionths = 500_000

    def __attrs_post_init__(self) -> None:
        for weight in (self.similarity, self.interest):
            whole(weight, "weight of after-bid, in millionths,", least=0, most=ONE)
        total = self.similarity + self.interest
        if total > ONE:
            what = "sum of the weights of after-bid, in millionths,"
            raise InvalidValueError(what, total, f"at most {ONE:,}")


def reordered_by_interest(
    similar: Sequence[StoredLine],
    *,
    categories: Mapping[ItemId, CategoryId | None],
    interests: Mapping[CategoryId, Millionths],
    rule: AfterBidRule,
) -> list[StoredLine]:
    """Return *similar* lines ordered by interest too; equal scores keep their order.

    The reason stays that of the similarity.
    """
    lines = []
    for line in similar:
        category = categories.get(line.item_id)
        interest = 0 if category is None else interests.get(category, 0)
        parts = (
            _rounded(rule.similarity * line.score, ONE),
            _rounded(rule.interest * line.score * interest, ONE * ONE),
        )
        lines.append(attrs.evolve(line, score=sum(parts), parts=parts, by_hand=False))
    return sorted(lines, key=lambda line: -line.score)


def _rounded(numerator: int, denominator: int) -> Millionths:
    return (2 * numerator + denominator) // (2 * denominator)
