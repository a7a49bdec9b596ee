"""The ranker `blended` at a cut, with any weights."""

from collections.abc import Iterator
from typing import Self

import attrs
import numpy as np

from angle_reco.application.scoring import Scorer
from angle_reco.domain.arrays import Bools, Int32s, Int64s, places_in_runs
from angle_reco.domain.columns import NONE, IdIndex
from angle_reco.domain.lists import Lists
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import from_micros
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.domain.scoring.components import DependsOn, values_of
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Ranker
from angle_reco.evaluation.cuts import Questions
from angle_reco.evaluation.history import Evidence
from angle_reco.evaluation.rankings import Past
from angle_reco.evaluation.tuning import Choices

USERS_AT_ONCE = 5_000

_ITEMS = 200_000
_LEAST_OTHERS, _MOST_OTHERS = 100, 1_000


@attrs.frozen(kw_only=True)
class BlendedAt:
    """`blended` at a cut, whose model is trained once for all weights."""

    past: Past
    scorer: Scorer
    market: OpenMarket

    @classmethod
    def of(cls, evidence: Evidence, past: Past) -> Self:
        """Train the model from what was known then.

        Raises:
            StorageUnavailableError: The store did not answer.
        """
        now = from_micros(past.now)
        scorer = evidence.scorer(now, BLENDED.name)
        market = scorer.market_of(past.catalogue, now)
        happened = scorer.everything()
        model = scorer.trained(happened, scorer.touched_items(happened))
        return cls(past=past, scorer=scorer, market=scorer.with_signals(market, model))

    def ranked(self, users: Int32s, ranker: Ranker, *, keep: int) -> Int32s:
        """Return the best *keep* rows for each of *users*, which are ascending codes.

        *ranker* is `blended` with weights; NONE stands behind the last row.
        """
        ranked = np.full((len(users), keep), NONE, np.int32)
        for first, profiles in self._profiles(users):
            pages = self.scorer.kernels.homepages(self.market, profiles, ranker=ranker, keep=keep)
            ranked[first : first + len(pages)] = rows_of_pages(pages, self.past, keep)
        return ranked

    def choices(self, questions: Questions, *, seed: int) -> Choices:
        """Return the targets of *questions*, each with up to `others_of_each` other items.

        These are drawn by *seed* from the open items that the user neither touched nor sells.
        """
        rows, offsets, are_targets = drawn(self.past, questions, seed)
        values = np.empty((len(rows), len(BLENDED.weights)))
        components = [component for component, _ in BLENDED.weights]
        for first, profiles in self._profiles(questions.users):
            for place in range(len(profiles)):
                some = slice(int(offsets[first + place]), int(offsets[first + place + 1]))
                own = rows[some]
                user = np.full(len(own), place)
                for column, component in enumerate(components):
                    if component.depends_on is not DependsOn.ITEM:
                        found = values_of(component, self.market, profiles, user, own)
                        values[some, column] = found
            # Once for all: their values are the same for every user.
            these = slice(int(offsets[first]), int(offsets[first + len(profiles)]))
            anyone = np.zeros(len(rows[these]), np.int64)
            for column, component in enumerate(components):
                if component.depends_on is DependsOn.ITEM:
                    found = values_of(component, self.market, profiles, anyone, rows[these])
                    values[these, column] = found
        return Choices(values=values / ONE, offsets=offsets, are_targets=are_targets)

    def _profiles(self, users: Int32s) -> Iterator[tuple[int, Profiles]]:
        """Yield the profiles of *users* in batches, each with the place of its first user."""
        for first in range(0, len(users), USERS_AT_ONCE):
            ids = self.past.user_ids.ids.take(users[first : first + USERS_AT_ONCE])
            yield first, self.scorer.profiles(self.market, IdIndex(ids))


def rows_of_pages(pages: Lists, past: Past, keep: int) -> Int32s:
    """Return the rows of homepages of *keep* items at most, a line a page; NONE fills it up."""
    ranked = np.full((len(pages), keep), NONE, np.int32)
    line = np.repeat(np.arange(len(pages)), np.diff(pages.offsets))
    ranked[line, places_in_runs(line)] = past.catalogue.items.codes(pages.items)
    return ranked


def others_of_each(questions: int) -> int:
    """Return how many items besides the targets each of so many users chose from, at most.

    The fewer users, the more: what is drawn for one of few changes the weights.

    >>> [others_of_each(questions) for questions in (85, 1_000, 10_000)]
    [1000, 200, 100]
    """
    return min(max(_ITEMS // max(questions, 1), _LEAST_OTHERS), _MOST_OTHERS)


def drawn(past: Past, questions: Questions, seed: int) -> tuple[Int64s, Int64s, Bools]:
    """Return rows of the market by question, the offsets of questions, and which are targets."""
    draws, most = np.random.default_rng(seed), others_of_each(len(questions))
    places, left_out = past.left_out(questions.users)
    bounds = np.searchsorted(places, np.arange(len(questions) + 1))
    rows, sizes = [np.empty(0, np.int64)], questions.sizes.copy()
    for place in range(len(questions)):
        targets = questions.targets[questions.offsets[place] : questions.offsets[place + 1]]
        are_others = np.ones(len(past.catalogue), np.bool_)
        are_others[targets] = False
        are_others[left_out[bounds[place] : bounds[place + 1]]] = False
        others = np.flatnonzero(are_others)
        if len(others) > most:
            others = np.sort(draws.choice(others, most, replace=False))
        rows += [targets.astype(np.int64), others]
        sizes[place] += len(others)
    offsets = np.append(0, np.cumsum(sizes))
    in_question = np.arange(offsets[-1]) - np.repeat(offsets[:-1], sizes)
    return np.concatenate(rows), offsets, in_question < np.repeat(questions.sizes, sizes)
