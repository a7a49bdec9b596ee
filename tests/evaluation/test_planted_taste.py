"""A marketplace whose users have a known taste, so that the right order of rankings is known."""

from datetime import timedelta
from functools import cache

import attrs
import numpy as np
import pytest

from angle_reco import Settings, UserId
from angle_reco.composition import memory_ports
from angle_reco.domain.activity import Watch
from angle_reco.domain.arrays import Int32s
from angle_reco.evaluation.baselines import Popular
from angle_reco.evaluation.cuts import CutRule, cuts_of
from angle_reco.evaluation.harness import judge
from angle_reco.evaluation.history import Evidence, read_history
from angle_reco.evaluation.peers import peers
from angle_reco.evaluation.rankings import Float64s, Past, Point, Ranking, best_rows
from angle_reco.evaluation.report import RankerFigures, surface_figures
from angle_reco.evaluation.settings_rankings import SettingsRanking
from tests.application.shop import DAY, NOW, filled, lot

USERS, CATEGORIES, LOTS, TOUCHES, DAYS = 200, 8, 30, 24, 90


@attrs.frozen(kw_only=True)
class Taste:
    """How likely it is that a user who does something touches an item: a line per user."""

    chances: Float64s

    @classmethod
    def planted(cls, rng: np.random.Generator) -> "Taste":
        """Return a taste by categories, of which each user loves one and likes another.

        Within a category all users agree: its items have an appeal.
        """
        of_category = np.full((USERS, CATEGORIES), 0.1 / CATEGORIES)
        for line in of_category:
            loved, liked = rng.choice(CATEGORIES, 2, replace=False)
            line[loved] += 0.6
            line[liked] += 0.3
        appeal = rng.permuted(np.tile(1 / np.arange(1, LOTS + 1) ** 1.2, (CATEGORIES, 1)), axis=1)
        appeal /= appeal.sum(axis=1, keepdims=True)
        return cls(chances=(of_category[:, :, None] * appeal).reshape(USERS, -1))


@attrs.frozen(kw_only=True)
class Oracle:
    """The ranking that knows the taste."""

    taste: Taste
    name: str = "oracle"
    grid: tuple[Point, ...] = ({},)

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        who = [number_of(one) for one in past.user_ids.ids.take(users)]
        what = [number_of(one) for one in past.catalogue.items.ids]
        return best_rows(without_left_out(self.taste.chances[np.ix_(who, what)], past, users), keep)


@attrs.frozen(kw_only=True)
class Random:
    """A ranking by chance, another for each user."""

    name: str = "random"
    grid: tuple[Point, ...] = ({},)

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        size = len(past.open_items)
        scores = np.stack(
            [np.random.default_rng([7, user]).random(size) for user in users.tolist()]
        )
        return best_rows(without_left_out(scores, past, users), keep)


def without_left_out(scores: Float64s, past: Past, users: Int32s) -> Float64s:
    scores[past.left_out(users)] = -np.inf
    return scores


def number_of(one: object) -> int:
    return int(str(one).partition("-")[2])


def planted(taste: Taste, rng: np.random.Generator) -> Evidence:
    """Return a marketplace in which each user touches items by taste, a few of them a week."""
    lots = [
        lot(f"lot-{number:03}", f"category-{number // LOTS}", listed=DAYS + 1)
        for number in range(CATEGORIES * LOTS)
    ]
    watches = [
        Watch(
            user_id=UserId(f"user-{user:03}"),
            item_id=lots[item].item_id,
            watched_at=NOW - timedelta(days=float(rng.random() * DAYS)),
        )
        for user, chances in enumerate(taste.chances)
        for item in rng.choice(len(lots), TOUCHES, replace=False, p=chances)
    ]
    ports = memory_ports(filled(lots, *watches))
    return Evidence(
        activity=ports.activity, catalog=ports.catalog, kernels=ports.kernels, settings=Settings()
    )


@cache
def figures() -> dict[str, RankerFigures]:
    rng = np.random.default_rng(20_260_601)
    taste = Taste.planted(rng)
    evidence = planted(taste, rng)
    rankings: list[Ranking] = [
        Random(),
        Popular(),
        SettingsRanking(evidence=evidence, name="classic"),
        Oracle(taste=taste),
        *peers(),
    ]
    cuts = cuts_of(evidence, read_history(evidence, until=NOW), CutRule(count=2, every=15 * DAY))
    judged = judge(cuts, rankings, rule=evidence.settings.similarity)
    found = surface_figures("homepage", cuts, judged, baseline="popular", seed=1)
    return {one.name: one for one in found.rankers}


@pytest.mark.parametrize(
    ("better", "worse"), [("oracle", "classic"), ("classic", "popular"), ("popular", "random")]
)
@pytest.mark.parametrize("metric", ["ndcg", "recall", "mrr"])
def test_rankings_come_in_the_order_of_what_they_know(better: str, worse: str, metric: str) -> None:
    one, other = figures()[better].metrics[metric], figures()[worse].metrics[metric]

    assert one.low > other.high


def test_intervals_of_ratio_and_difference_say_the_same() -> None:
    for better in ("oracle", "classic"):
        assert figures()[better].ratio.low > 1
        assert figures()[better].difference.low > 0
    assert figures()["random"].ratio.high < 1
    assert figures()["random"].difference.high < 0


@pytest.mark.parametrize("peer", [peer.name for peer in peers()])
def test_peers_find_the_taste_and_do_not_exceed_the_oracle(peer: str) -> None:
    found = figures()[peer].metrics["ndcg"]

    assert figures()["popular"].metrics["ndcg"].high < found.low
    assert found.value < figures()["oracle"].metrics["ndcg"].value
