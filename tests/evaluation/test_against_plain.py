"""The figures of the package are those of the protocol in plain loops."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from math import isnan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from angle_reco import ItemId, Settings, UserId
from angle_reco.composition import memory_ports
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.errors import NotMeasurableError
from angle_reco.evaluation.baselines import (
    EndingSoonest,
    Popular,
    PopularInCategories,
    RecentPopular,
)
from angle_reco.evaluation.cuts import Cut, CutRule, cuts_of
from angle_reco.evaluation.harness import judge
from angle_reco.evaluation.history import Evidence, read_history
from angle_reco.evaluation.report import RankerFigures, surface_figures
from angle_reco.evaluation.settings_rankings import SettingsRanking
from angle_reco.testing import MemoryMarketplace
from angle_reco.testing.plain import moment_of
from tests.application.markets import marketplaces
from tests.application.shop import DAY, NOW, bid, filled, lot, watch
from tests.evaluation import plain_harness as plain

HALF_LIVES = (7.0, 1.0, 30.0)
BEFORE = tuple(NOW - days * DAY for days in (95, 60, 40, 31, 20, 10, 8, 1))


def evidence_of(market: MemoryMarketplace) -> Evidence:
    ports = memory_ports(market)
    return Evidence(
        activity=ports.activity, catalog=ports.catalog, kernels=ports.kernels, settings=Settings()
    )


def happened_in(market: MemoryMarketplace) -> list[Bid | Watch]:
    return [*market.watches.values(), *(one for bids in market.bids.values() for one in bids)]


def plain_cuts(
    market: MemoryMarketplace, moments: tuple[datetime, ...], window: timedelta
) -> list[plain.PlainCut]:
    items, happened = list(market.items.values()), happened_in(market)
    cuts = [plain.cut_at(moment, items, happened, window=window) for moment in sorted(moments)]
    return [cut for cut in cuts if cut.targets]


def inside(market: MemoryMarketplace, moments: tuple[datetime, ...]) -> tuple[datetime, ...]:
    """Return the moments with a touch before and a touch after them."""
    touched = [
        moment_of(one)
        for one in happened_in(market)
        if isinstance(one, Watch) or market.items[one.item_id].seller_id != one.user_id
    ]
    return tuple(one for one in moments if touched and min(touched) <= one < max(touched))


def figures_by_plain(
    cuts: list[plain.PlainCut], rule: Settings, half_lives: tuple[float, ...]
) -> dict[str, dict[str, float]]:
    """Return the figures by plain loops; the half-life at a cut is *half_lives* at its place."""
    by_moment = {
        cut.market.now: plain.recent_popular(timedelta(days=days))
        for cut, days in zip(cuts, half_lives, strict=True)
    }
    rankings: dict[str, plain.PlainRanking] = {
        "popular": plain.popular,
        "recent popular": lambda cut, user_id: by_moment[cut.market.now](cut, user_id),
        "popular in categories": plain.popular_in_categories,
        "ending soonest": plain.ending_soonest,
        "classic": plain.by_ranker(rule.rankers["classic"], rule.interest),
    }
    return {
        name: plain.figures_of(cuts, ranking, rule.similarity) for name, ranking in rankings.items()
    }


def chosen_by_plain(cuts: list[plain.PlainCut], rule: Settings) -> tuple[float, ...]:
    """Return the half-life with the best NDCG over the questions of all earlier cuts, at each."""
    chosen = []
    for place in range(len(cuts)):
        earlier = cuts[:place]
        worth = {
            days: plain.figures_of(
                earlier, plain.recent_popular(timedelta(days=days)), rule.similarity
            )["ndcg"]
            if earlier
            else 0.0
            for days in HALF_LIVES
        }
        best = max(worth.values())
        # Sums of floats in another order differ in their last bits.
        chosen.append(next(days for days in HALF_LIVES if worth[days] > best - 1e-12))
    return tuple(chosen)


def judged(evidence: Evidence, cuts: tuple[Cut, ...]) -> tuple[RankerFigures, ...]:
    recent = RecentPopular(grid=tuple({"half_life": days} for days in HALF_LIVES))
    rankings = (
        Popular(),
        recent,
        PopularInCategories(),
        EndingSoonest(),
        SettingsRanking(evidence=evidence, name="classic"),
    )
    found = judge(cuts, rankings, rule=evidence.settings.similarity)
    return surface_figures("homepage", cuts, found, baseline="popular", seed=1).rankers


def values_of(figures: RankerFigures) -> Mapping[str, float]:
    """Return the figures of a ranker that are defined."""
    means = {name: one.value for name, one in figures.metrics.items() if not isnan(one.value)}
    return {**means, "coverage": figures.coverage}


@settings(max_examples=60)
@given(
    market=marketplaces(),
    moments=st.sets(st.sampled_from(BEFORE), min_size=1, max_size=4),
    window=st.sampled_from([2 * DAY, 30 * DAY]),
)
def test_the_figures_are_those_of_plain_loops(
    market: MemoryMarketplace, moments: set[datetime], window: timedelta
) -> None:
    evidence = evidence_of(market)
    usable = inside(market, tuple(moments))
    expected = plain_cuts(market, usable, window)
    if not expected:
        with pytest.raises(NotMeasurableError):
            cuts_of(
                evidence,
                read_history(evidence, until=NOW),
                CutRule(moments=usable or (NOW,), window=window),
            )
        return

    history = read_history(evidence, until=NOW)
    cuts = cuts_of(evidence, history, CutRule(moments=usable, window=window))
    figures = judged(evidence, cuts)

    assert questions_of(cuts) == [
        {str(user): set(map(str, those)) for user, those in cut.targets.items()} for cut in expected
    ]
    half_lives = tuple(point["half_life"] for point in figures[1].points)
    assert half_lives == chosen_by_plain(expected, Settings())
    plainly = figures_by_plain(expected, Settings(), half_lives)
    for one in figures:
        assert values_of(one) == pytest.approx(plainly[one.name], rel=0, abs=1e-9), one.name


def questions_of(cuts: tuple[Cut, ...]) -> list[dict[str, set[str]]]:
    """Return the ids of the users asked at each cut, and of their targets."""
    found = []
    for cut in cuts:
        users = cut.past.user_ids.ids.take(cut.questions.users).to_list()
        ids = cut.past.catalogue.items.ids
        ends = cut.questions.offsets.tolist()
        found.append(
            {
                str(user): set(map(str, ids.take(cut.questions.targets[start:end]).to_list()))
                for user, start, end in zip(users, ends, ends[1:], strict=False)
            }
        )
    return found


def test_plain_loops_agree_with_a_calculation_by_hand() -> None:
    market = filled(
        [lot("a", price=10), lot("b", price=15), lot("c", "books", price=100), lot("d", ends=-5)],
        *(watch("ann", "a", days=12), watch("bob", "a", days=12), bid("bob", "b", days=11)),
        *(watch("eve", "d", days=11), watch("ann", "b", days=9), watch("ann", "c", days=2)),
        *(watch("bob", "c", days=9.5), watch("eve", "d", days=1), watch("zoe", "a", days=3)),
    )
    (cut,) = plain_cuts(market, (NOW - 10 * DAY,), 7 * DAY)

    # Zoe has no past, eve touches nothing new, and the bid on c comes too late for ann.
    assert cut.targets == {UserId("ann"): {ItemId("b")}, UserId("bob"): {ItemId("c")}}
    assert list(map(str, plain.popular(cut, UserId("ann")))) == ["b", "d", "c"]
    assert list(map(str, plain.popular(cut, UserId("bob")))) == ["d", "c"]
    figures = plain.figures_of([cut], plain.popular, Settings().similarity)
    second = 0.6309297535714575  # 1 / log2(3)
    assert figures == pytest.approx(
        {
            "ndcg": (1 + second) / 2,
            "recall": 1.0,
            "mrr": (1 + 1 / 2) / 2,
            "hit": 1.0,
            "served": 1.0,
            # One of three users touched b, one d, none c.
            "novelty": ((1 + 1 + 2) / 3 + (1 + 2) / 2) / 2,
            # b and d are in one category, c and d near in price.
            "similarity": ((0.5 + 0 + 0.3) / 3 + 0.3) / 2,
            "coverage": 3 / 4,
        }
    )
