"""The interests of users in categories, from their bids and watches."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Self

import attrs
import numpy as np

from angle_reco.domain.activity import Activity, Interactions, first_watches
from angle_reco.domain.arrays import Int32s, Int64s, check_lengths, frozen, starts_of_runs
from angle_reco.domain.columns import NONE, IdIndex
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import CategoryId, IdKinds, UserId, json_id
from angle_reco.domain.millionths import (
    LARGEST_FACTOR,
    ONE,
    SCORE_TOLERANCE,
    Millionths,
    to_fraction,
)
from angle_reco.domain.moments import MICROSECOND, from_micros, to_micros
from angle_reco.domain.scoring.decay import Decay, DecaySteps, HalfLife, decayed
from angle_reco.domain.validators import exactly, instance, whole


@attrs.frozen(kw_only=True)
class InterestRule:
    """The weights of bids and watches, how they decay, and how far back they count."""

    bid_weight: Millionths = 3 * ONE
    watch_weight: Millionths = 2 * ONE
    decay: Decay = attrs.field(factory=DecaySteps)
    window: timedelta = timedelta(days=90)

    def __attrs_post_init__(self) -> None:
        for name in ("bid_weight", "watch_weight"):
            whole(getattr(self, name), f"{name} of interest", least=0, most=LARGEST_FACTOR * ONE)
        instance(self.decay, "decay of interest", DecaySteps, HalfLife)
        exactly(self.window, "window of interest", timedelta)
        if not timedelta(0) < self.window <= timedelta(days=36_500):
            raise InvalidValueError("window of interest", self.window, "up to a hundred years")


@attrs.frozen(kw_only=True)
class UserInterest:
    """How strongly one user is drawn to one category: 1.0 is their favourite.

    *strength* is the sum of the weights of the interactions, in millionths like the score. A
    manual override (*by_hand*) lasts until a job replaces it.
    """

    user_id: UserId
    category_id: CategoryId
    score: Millionths
    strength: Millionths
    interaction_count: int
    last_interaction_at: datetime
    by_hand: bool = False

    def to_json(self) -> dict[str, object]:
        """Return the interest for JSON, score and strength as numbers."""
        return {
            "category_id": json_id(self.category_id),
            "score": to_fraction(self.score),
            "strength": to_fraction(self.strength),
            "interaction_count": self.interaction_count,
            "last_interaction_at": self.last_interaction_at.isoformat(),
            **({"by_hand": True} if self.by_hand else {}),
        }


@attrs.frozen(kw_only=True)
class Interests:
    """Interests as columns, a row per user and category; each user's strongest come first.

    *user* and *category* are codes in their index, *last_at* microseconds. *recipe*
    identifies the settings that produced them.
    """

    users: IdIndex
    user: Int32s = attrs.field(converter=frozen)
    categories: IdIndex
    category: Int32s = attrs.field(converter=frozen)
    scores: Int64s = attrs.field(converter=frozen)
    strengths: Int64s = attrs.field(converter=frozen)
    counts: Int64s = attrs.field(converter=frozen)
    last_at: Int64s = attrs.field(converter=frozen)
    recipe: str = ""

    def __attrs_post_init__(self) -> None:
        check_lengths(
            self,
            user=self.user,
            category=self.category,
            scores=self.scores,
            strengths=self.strengths,
            counts=self.counts,
            last_at=self.last_at,
        )

    def __len__(self) -> int:
        return len(self.user)

    def values(self) -> list[UserInterest]:
        """Return the rows as single values."""
        return [
            UserInterest(
                user_id=UserId(user_id),
                category_id=CategoryId(category_id),
                score=score,
                strength=strength,
                interaction_count=count,
                last_interaction_at=from_micros(last_at),
            )
            for user_id, category_id, score, strength, count, last_at in zip(
                self.users.ids.take(self.user),
                self.categories.ids.take(self.category),
                self.scores.tolist(),
                self.strengths.tolist(),
                self.counts.tolist(),
                self.last_at.tolist(),
                strict=True,
            )
        ]


def interest_has_changed(old: UserInterest, new: UserInterest) -> bool:
    """Return whether *new* must be written over *old*, of the same user and category.

    It must if the count or the last moment differs, if the score or strength moved by more
    than 0.0001, or if only one of them is a manual override.
    """
    return (
        (old.interaction_count, old.last_interaction_at, old.by_hand)
        != (new.interaction_count, new.last_interaction_at, new.by_hand)
        or abs(old.score - new.score) > SCORE_TOLERANCE
        or abs(old.strength - new.strength) > SCORE_TOLERANCE
    )


@attrs.frozen(kw_only=True)
class ItemCategories:
    """The category of each of some items: codes in the index, NONE for no category."""

    categories: IdIndex
    codes: Int32s = attrs.field(converter=frozen)

    @classmethod
    def of(cls, ids: IdKinds, categories: Sequence[object | None]) -> Self:
        """Return the categories of items, one by one."""
        index, codes = IdIndex.of_nullable(ids.category, categories)
        return cls(categories=index, codes=codes)


def score_interests(
    ids: IdKinds,
    interactions: Interactions,
    of_items: ItemCategories,
    *,
    now: datetime,
    rule: InterestRule,
) -> Interests:
    """Return the interests of every user in *interactions*; *of_items* has a code for each row.

    Interactions within the rule's window count, its border included. Every bid counts; of
    several watches of one item only the earliest. The score is the strength divided by that
    of the user's strongest category. Equal scores are ordered by more interactions, then the
    later last one, then the smaller category id.
    """
    at = to_micros(now)
    counted = (of_items.codes != NONE) & (interactions.moments >= at - rule.window // MICROSECOND)
    users = IdIndex.of(ids.user, interactions.users.take(counted))
    user = users.codes(interactions.users.take(counted))
    category = of_items.codes[counted]
    kinds = interactions.kinds[counted]
    moments = interactions.moments[counted]

    once = first_watches(user, interactions.items.take(counted).values, kinds, moments)
    user, category, kinds, moments = user[once], category[once], kinds[once], moments[once]
    weights = np.where(kinds == Activity.BID, rule.bid_weight, rule.watch_weight).astype(np.int64)
    strengths = (2 * weights * decayed(rule.decay, at - moments) + ONE) // (2 * ONE)

    order = np.lexsort((category, user))
    user, category = user[order], category[order]
    groups = starts_of_runs(user, category)
    user, category = user[groups], category[groups]
    counts = np.diff(np.append(groups, len(order)))
    if len(groups):
        strengths = np.add.reduceat(strengths[order], groups)
        last_at = np.maximum.reduceat(moments[order], groups)
    else:
        strengths = last_at = np.empty(0, np.int64)
    scores = _over_strongest(user, strengths)

    order = np.lexsort((category, -last_at, -counts, -scores, user))
    return Interests(
        users=users,
        user=user[order],
        categories=of_items.categories,
        category=category[order],
        scores=scores[order],
        strengths=strengths[order],
        counts=counts[order],
        last_at=last_at[order],
    )


def _over_strongest(user: Int32s, strengths: Int64s) -> Int64s:
    """Return each strength over the largest of its user, in millionths; *user* is sorted.

    The scores of a user whose interactions weigh nothing are 0.
    """
    starts = starts_of_runs(user)
    if len(starts) == 0:
        return np.empty(0, np.int64)
    strongest = np.repeat(
        np.maximum.reduceat(strengths, starts), np.diff(np.append(starts, len(user)))
    )
    divisors = np.maximum(strongest, 1)
    if 2 * int(strengths.max()) * ONE + int(divisors.max()) < 2**63:
        scores: Int64s = (2 * strengths * ONE + divisors) // (2 * divisors)
        return scores
    # Exact also for millions of interactions of one user, with Python's integers.
    twice, parts = 2 * strengths.astype(object), divisors.astype(object)
    exact: Int64s = ((twice * ONE + parts) // (2 * parts)).astype(np.int64)
    return exact
