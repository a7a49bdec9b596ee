"""Settings: what hosts may choose is used, and what cannot be is refused at once."""

from datetime import timedelta
from typing import Any

import attrs
import pytest

from angle_reco import (
    AngleRecoError,
    Freshness,
    IdKind,
    IdKinds,
    InvalidValueError,
    Recommender,
    Settings,
)
from angle_reco.composition import memory_ports
from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.domain.lists import ListKind
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.scoring.after_bid import AfterBidRule
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.domain.scoring.ranking import CLASSIC
from angle_reco.rules import (
    BidCounting,
    DecaySteps,
    HalfLife,
    InterestRule,
    PopularityRule,
    Ranker,
    SimilarityRule,
)
from tests.application.shop import DAY, NOW, bid, filled, ids_of, lot, lots, opened, scores_of

WRONG: dict[str, list[Any]] = {
    "ranker": ["", "CLASSIC", None, ["classic"], CLASSIC],
    "active_for": [timedelta(0), -DAY, timedelta.max, 30, "30", None],
    "freshness": [
        *({}, None, dict.fromkeys(ListKind, DAY)),
        {ListKind.SIMILAR: FreshnessLimits(), ListKind.PERSONAL: FreshnessLimits()},
    ],
    "presets": [(1,), CLASSIC, [CLASSIC], "abc", None],
    "ids": ["int", None, IdKind.INT],
    "prices": [10_000, None],
    "interest": [None, 3, HalfLife(span=DAY)],
    "similarity": [None, 0.3, InterestRule()],
    "popularity": [None, SimilarityRule()],
    "after_bid": [None, (0.5, 0.5)],
    "interests_freshness": [None, DAY, {}],
    "cache_bytes": [999_999, 2**40 + 1, 1e9, None],
    "model_bytes": [999_999, 2**40 + 1, 1e9, None],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_value_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidValueError, match=name) as caught:
        Settings(**{name: value})

    assert isinstance(caught.value, AngleRecoError)
    assert "\n" not in str(caught.value)


def test_an_unknown_ranker_is_refused_with_the_names_there_are() -> None:
    ours = Ranker.preset("ours", interest=1)

    known = "auto, blended, classic, ours"
    with pytest.raises(InvalidValueError, match=f"ranker is 'theirs', .* one of {known}"):
        Settings(ranker="theirs", presets=(ours,))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Ranker.preset("ours", interest=1.1),
        lambda: Ranker.preset("ours", interest=-0.1),
        lambda: Ranker.preset("ours", interest=float("nan")),
        lambda: Ranker.preset("ours", interest=0.6, popularity=0.5),
        lambda: Ranker.preset("ours", interest=0.0000001),
        lambda: Ranker.preset("ours", taste=0.5),
        lambda: Ranker.preset("ours"),
        lambda: Ranker.preset("our ranker", interest=0.5),
        lambda: InterestRule(bid_weight=-1),
        lambda: InterestRule(watch_weight=1.5),  # type: ignore[arg-type]  # refused
        lambda: InterestRule(window=timedelta(0)),
        lambda: HalfLife(span=timedelta(minutes=59)),
        lambda: HalfLife(span=3_651 * DAY),
        lambda: DecaySteps(upper_days=(30, 7, 90)),
        lambda: DecaySteps(weights=(1_000_000,)),
        lambda: SimilarityRule(category=700_000, price=400_000),
        lambda: SimilarityRule(kept=0),
        lambda: PopularityRule(saturation=0),
        lambda: PopularityRule(watcher_weight=-1),
        lambda: AfterBidRule(similarity=600_000),
        lambda: PriceScale(100_000 + 1),
        lambda: FreshnessLimits(fresh_for=-DAY),
        lambda: IdKinds().user_id(7),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(make: Any) -> None:
    with pytest.raises(InvalidValueError, match="but should be"):
        make()


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: SimilarityRule(price=400_000), "similarity, in millionths, is 1100000"),
        (lambda: AfterBidRule(interest=600_000), "after-bid, in millionths, is 1100000"),
    ],
    ids=["similarity", "after a bid"],
)
def test_the_sum_of_weights_is_named_where_it_is_too_large(make: Any, problem: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        make()

    assert str(caught.value) == f"sum of the weights of {problem}, but should be at most 1,000,000"


def test_a_preset_ranks_homepages_by_its_weights() -> None:
    hot = Ranker.preset("hot", popularity=0.9, recency=0.1)
    market = filled(
        [lot("liked"), *lots("art", 2), lot("book", "books")],
        bid("ann", "liked"),
        *(bid("bob", "art-02") for _ in range(5)),
        bid("bob", "book"),
    )

    shelf = (
        opened(market, Settings(cache_enabled=False, ranker="hot", presets=(hot,)))
        .as_user("ann")
        .homepage()
    )

    assert [(str(one.item_id), dict(one.contributions)) for one in shelf] == [
        ("art-02", {"popularity": 450_000, "recency": 10_000}),
        ("art-01", {"popularity": 0, "recency": 10_000}),
        ("book", {"popularity": 90_000, "recency": 10_000}),
    ]


def test_a_host_can_have_presets_and_not_choose_one() -> None:
    ours = Ranker.preset("ours", interest=1)

    known = {"classic": CLASSIC, "blended": BLENDED, "ours": ours}
    assert Settings(presets=(ours,)).rankers == known
    assert Settings(presets=(ours,)).ranker == "auto"
    assert Settings(presets=(ours,), ranker="ours").ranker == "ours"


def test_a_half_life_is_the_other_decay() -> None:
    rule = InterestRule(decay=HalfLife(span=2 * DAY))
    reco = opened(
        filled([lot("vase")], bid("ann", "vase", days=4)),
        Settings(cache_enabled=False, interest=rule),
    )

    assert [one.strength for one in reco.as_user("ann").interests()] == [750_000]


def test_steps_of_decay_are_a_setting() -> None:
    steps = DecaySteps(upper_days=(1,), weights=(500_000,), beyond=250_000)
    reco = opened(
        filled([lot("a", "a"), lot("b", "b")], bid("ann", "a", days=1), bid("ann", "b", days=2)),
        Settings(cache_enabled=False, interest=InterestRule(decay=steps)),
    )

    assert [(str(one.category_id), one.strength) for one in reco.as_user("ann").interests()] == [
        ("a", 1_500_000),
        ("b", 750_000),
    ]


def test_beyond_ninety_days_a_tenth_counts_where_the_window_is_longer() -> None:
    market = filled([lot("vase")], bid("ann", "vase", days=91))
    reco = opened(market, Settings(cache_enabled=False, interest=InterestRule(window=200 * DAY)))

    assert [one.strength for one in reco.as_user("ann").interests()] == [300_000]
    assert opened(market).as_user("ann").interests() == ()


def test_how_many_similar_items_are_kept_is_a_setting() -> None:
    reco = opened(
        filled(lots("art", 9)), Settings(cache_enabled=False, similarity=SimilarityRule(kept=3))
    )
    reco.system.run_job("compute_item_similarities")

    stored = reco.system.stored.find_similar_items("art-01")

    assert stored is not None
    assert len(stored.lines) == 3


@pytest.mark.parametrize("threshold", [0, 299_999, 300_000])
def test_only_what_is_above_the_threshold_is_similar(threshold: int) -> None:
    market = filled([lot("vase"), lot("near", "books"), lot("alike")])
    reco = opened(
        market, Settings(cache_enabled=False, similarity=SimilarityRule(threshold=threshold))
    )

    shelf = reco.anonymous.similar_items("vase")

    assert scores_of(shelf) == ([800_000, 300_000] if threshold < 300_000 else [800_000])


def test_a_marketplace_in_memory_has_the_ids_of_the_settings() -> None:
    ids = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.INT)
    market = filled([lot(1, 5), lot(2, 5)], bid(7, 1), ids=ids)

    with pytest.raises(InvalidValueError, match="ids and prices of the settings"):
        Recommender.in_memory(market)
    with pytest.raises(InvalidValueError, match="ids and prices of the settings"):
        Recommender.in_memory(filled([]), settings=Settings(prices=PriceScale(100)))

    assert ids_of(
        Recommender.in_memory(market, settings=Settings(ids=ids)).as_user(7).homepage()
    ) == [2]
    assert len(Recommender.in_memory(settings=Settings(ids=ids)).as_user(7).homepage()) == 0


@pytest.mark.parametrize(
    "changed",
    [
        Settings(popularity=PopularityRule(counting=BidCounting.BIDDERS)),
        Settings(interest=InterestRule(bid_weight=4_000_000)),
        Settings(presets=(attrs.evolve(CLASSIC, name="wide", per_category=9),), ranker="wide"),
    ],
    ids=["popularity", "interest", "ranker"],
)
def test_pages_that_other_settings_made_are_not_used(changed: Settings) -> None:
    ports = memory_ports(filled(lots("art", 3), bid("ann", "art-01")))
    as_it_was, as_it_is = (Recommender(ports, some, as_of=NOW) for some in (None, changed))
    as_it_was.system.run_job("generate_recommendations")

    assert as_it_was.as_user("ann").homepage().freshness is Freshness.FRESH
    assert as_it_is.as_user("ann").homepage().freshness is Freshness.COMPUTED


def test_the_version_differs_with_each_setting_that_changes_stored_results() -> None:
    mine = Ranker.preset("mine", interest=0.5)
    others = [
        Settings(ids=IdKinds(user=IdKind.INT)),
        Settings(prices=PriceScale(1)),
        Settings(interest=InterestRule(bid_weight=1_000_000)),
        Settings(similarity=SimilarityRule(history_length=9)),
        Settings(popularity=PopularityRule(saturation=9)),
        Settings(ranker="classic"),
        Settings(ranker="blended"),
        Settings(ranker="mine", presets=(mine,)),
        Settings(similar="blended"),
        Settings(active_for=timedelta(days=7)),
    ]
    same = [
        Settings(),
        Settings(presets=(mine,)),  # unused
        Settings(after_bid=AfterBidRule(interest=0)),  # nothing of it is stored
        Settings(cache_enabled=False, language="de", pace=0.1),
    ]

    assert len({one.version for one in [*same, *others]}) == 1 + len(others)
    assert len({one.version for one in same}) == 1
