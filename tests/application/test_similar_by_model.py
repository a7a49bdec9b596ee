"""Similar items by a trained model, with the setting `similar`."""

from typing import Any

import attrs
import pytest

from angle_reco import Recommender, Settings
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import ItemId
from angle_reco.domain.items import Item
from angle_reco.domain.lists import ListKind
from angle_reco.domain.suggestions import Reason, Source
from tests.application.shop import HOUR, NOW, clock_of, ids_of, lot, opened
from tests.application.test_learning import learned, look, market

SIMILAR = "compute_item_similarities"


@pytest.fixture(params=["cached", "uncached"])
def reco(request: pytest.FixtureRequest) -> Recommender:
    """Return a recommender with a model, whose similar items are those of the model."""
    chosen = Settings(similar="blended", cache_enabled=request.param == "cached")
    return learned(opened(market(), chosen))


def add(reco: Recommender, item: Item) -> None:
    reco.ports.catalog.market.add_item(item)  # type: ignore[attr-defined]  # in memory
    reco.items_changed([item.item_id])


@pytest.mark.parametrize("is_stored", [False, True])
def test_what_the_same_people_want_is_similar(reco: Recommender, is_stored: bool) -> None:
    if is_stored:
        reco.system.run_job(SIMILAR)
        look(reco)

    shelf = reco.anonymous.similar_items("lot-04", 20)

    assert shelf.ranker == "similarity_blended"
    assert "lot-04" not in ids_of(shelf)
    # Even lots are of one taste.
    assert {int(str(one)[-2:]) % 2 for one in ids_of(shelf)[:10]} == {0}
    assert {one.source for one in shelf} == {Source.SIMILAR}
    assert {one.reason for one in shelf} <= {
        Reason.COLLABORATIVE,
        Reason.SAME_CATEGORY,
        Reason.PRICE_RANGE,
    }
    assert shelf[0].score == sum(shelf[0].contributions.values())


def test_stored_lists_are_those_that_a_call_computes(reco: Recommender) -> None:
    reco.system.run_job(SIMILAR)
    items = [ItemId(f"lot-{n:02}") for n in range(56)]
    stored = reco.ports.lists.read(ListKind.SIMILAR, items)
    model = reco._use_cases.shelves.list_reader.models.newest
    scorer = reco._use_cases.shelves.scorer
    opened_now = scorer.market(model)
    cards = reco.ports.catalog.cards(items, at=clock_of(reco).now())

    for item in items:
        one = scorer.similar_to_one(opened_now, cards[item]).stored(0)
        assert one.lines == stored[item].lines
        assert one.recipe == stored[item].recipe


def test_what_the_model_does_not_know_is_similar_by_the_rule(reco: Recommender) -> None:
    reco.system.run_job(SIMILAR)
    add(reco, lot("new", "art"))
    look(reco)

    shelf = reco.anonymous.similar_items("new")

    assert (shelf.ranker, shelf.degraded_by) == ("similarity", ())
    assert {one.card.category_id for one in shelf} == {"art"}


def test_after_a_bid_it_is_the_same_list(reco: Recommender) -> None:
    similar = ids_of(reco.as_user("user-01").similar_items("lot-04", 20))

    after = ids_of(reco.as_user("user-01").after_bid("lot-04", 5))

    assert set(after) <= set(similar)


def test_without_a_model_and_by_default_the_rule_decides() -> None:
    without = opened(market(), Settings(similar="blended"))
    by_default = learned(opened(market()))

    for reco in (without, by_default):
        reco.system.run_job(SIMILAR)
        assert reco.anonymous.similar_items("lot-04").ranker == "similarity"


def test_a_change_of_the_setting_replaces_stored_lists(reco: Recommender) -> None:
    reco.system.run_job(SIMILAR)
    classic = Recommender(reco.ports, attrs.evolve(reco.settings, similar="classic"))

    assert classic.anonymous.similar_items("lot-04").ranker == "similarity"
    # The other way round a list of the rule is shown until the next run replaces it.
    classic._use_cases.settle()
    reco.system.run_job(SIMILAR)
    back = Recommender(reco.ports, reco.settings)
    assert back.anonymous.similar_items("lot-04").ranker == "similarity_blended"


def test_a_model_is_trained_for_it_though_the_ranker_needs_none() -> None:
    reco = opened(market(), Settings(ranker="classic", similar="blended"))

    reco = learned(reco)

    assert reco.as_user("user-01").homepage().ranker == "classic"
    assert reco.anonymous.similar_items("lot-04").ranker == "similarity_blended"


def test_a_run_for_one_item_stores_its_list_alone(reco: Recommender) -> None:
    clock_of(reco).advance(HOUR)

    outcome = reco.system.run_job(SIMILAR, item_id="lot-04")

    assert (outcome.changed, outcome.scope) == (1, 1)
    [stored] = reco.ports.lists.read(ListKind.SIMILAR, ["lot-04"]).values()
    assert stored.recipe.name == "similarity_blended"
    assert stored.computed_at > NOW


def test_the_setting_is_checked() -> None:
    wrong: Any
    for wrong in ("Blended", "", None, 5):
        with pytest.raises(InvalidValueError, match="similar is"):
            Settings(similar=wrong)
