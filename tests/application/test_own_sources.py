"""What explains a line by a trained model, beside the same rule in plain loops."""

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import pytest

from angle_reco import Recommender, Settings
from angle_reco.domain.columns import NONE, IdColumn
from angle_reco.domain.ids import IdKind, ItemId, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.scoring.blended.hashes import hashes_of
from angle_reco.domain.scoring.blended.model import Coefficients, Model
from angle_reco.domain.scoring.blended.tastes import powers
from angle_reco.domain.scoring.own_sources import EXPLAINED_BY_OWN, OwnItems, lines_to_explain
from angle_reco.domain.stored_list import StoredList
from tests.application.shop import NOW, lot, opened
from tests.application.test_sentences import TASTES, of_two_tastes

USERS = TASTES[:6]


@pytest.fixture(scope="module")
def reco() -> Recommender:
    """Return a recommender with a model, and stored homepages."""
    reco = opened(of_two_tastes(), Settings(cache_enabled=False))
    reco.system.run_job("train_models")
    reco.system.run_job("generate_recommendations")
    return reco


@pytest.fixture(scope="module")
def model(reco: Recommender) -> Model:
    model = reco._use_cases.shelves.list_reader.models.newest
    assert model is not None
    return model


def own_items(reco: Recommender, model: Model | None, user: str) -> OwnItems:
    stored = stored_of(reco, user)
    return OwnItems(
        user_id=UserId(user),
        touched=reco.ports.activity.history(UserId(user)).touched(UserId(user), most=200),
        listed=stored.ids,
        cards=reco.ports.catalog.cards(stored.ids, at=NOW),
        ids=reco.settings.ids,
        rule=reco.settings.interest,
        now=NOW,
        model=model,
    )


def stored_of(reco: Recommender, user: str) -> StoredList:
    return reco.ports.lists.read(ListKind.PERSONAL, [user])[user]


def code(model: Model, item_id: ItemId) -> int:
    return int(model.items.ids.codes(hashes_of(IdColumn.of(IdKind.TEXT, [item_id])))[0])


def says(matrix: Coefficients, source: int, target: int) -> int:
    if NONE in (source, target):
        return 0
    rows = range(int(matrix.offsets[source]), int(matrix.offsets[source + 1]))
    return next((int(matrix.values[row]) for row in rows if matrix.targets[row] == target), 0)


def pairs(reco: Recommender, model: Model) -> Iterator[tuple[OwnItems, Any]]:
    for user in USERS:
        own = own_items(reco, model, user)
        for item_id in own.listed:
            yield own, own.cards[item_id]


@pytest.mark.parametrize("component", ["taste", "follow", "sequence"])
def test_the_item_that_says_most_explains(reco: Recommender, model: Model, component: str) -> None:
    matrix: Coefficients = getattr(model, component)
    # A kind follows another as its items do.
    of_kinds = model.taste_of_kinds if component == "taste" else model.follow_of_kinds
    explained = 0
    for own, card in pairs(reco, model):
        rules = {"taste": own.by_taste, "follow": own.by_following, "sequence": own.by_sequence}
        found = rules[component](card)
        target = code(model, card.item_id)
        sources = [code(model, one.item_id) for one in own.touched]
        weights = {
            "taste": [1] * len(sources),
            "follow": own._recency.tolist(),
            "sequence": [*(powers(8) // 1_000).tolist(), *[0] * len(sources)][: len(sources)],
        }[component]
        kind = [NONE if one == NONE else int(model.items.kind[one]) for one in (target, *sources)]
        by_item = [says(matrix, one, target) * w for one, w in zip(sources, weights, strict=True)]
        by_kind = [
            says(of_kinds, one, kind[0]) * w for one, w in zip(kind[1:], weights, strict=True)
        ]
        by_category = [int(one.category_id == card.category_id) for one in own.touched]
        best = next((one for one in (by_item, by_kind, by_category) if max(one) > 0), None)
        if best is None:
            assert found is None
            continue
        assert found is not None
        assert found == ("because_you_bid", own.touched[int(np.argmax(best))].title)
        explained += best is not by_category
    assert explained > 20


def test_people_who_want_both_are_three_others_at_least(reco: Recommender, model: Model) -> None:
    market = reco.ports.catalog.market  # type: ignore[attr-defined]  # in memory
    fans = {
        item.title: {one.user_id for one in market.bids.get(item.item_id, ())}
        for item in market.items.values()
    }
    named = 0
    for own, card in pairs(reco, model):
        others = fans[card.title] - {own.user_id}
        shared = {one.title: len(others & fans[one.title]) for one in own.touched}
        found = own.by_neighbours(card)
        if max(shared.values()) < 3:
            assert found is None
            continue
        named += 1
        assert found is not None
        assert found.name == "also_wanted"
        assert shared[found.title] == max(shared.values())
    assert named > 20


@pytest.mark.parametrize(("others", "is_named"), [(2, False), (3, True)])
@pytest.mark.parametrize("with_own", [False, True])
def test_two_others_are_not_mentioned(
    reco: Recommender, model: Model, others: int, is_named: bool, with_own: bool
) -> None:
    """The rows of all users but these are taken out of the model, or also the user's own."""
    market = reco.ports.catalog.market  # type: ignore[attr-defined]  # in memory
    own = own_items(reco, model, USERS[0])
    # Both items are the user's, so that the user is among those who want both.
    source, target = own.touched[0], lot_card(reco, own.touched[1].item_id)
    wants = [
        {str(one.user_id) for one in market.bids[item_id]}
        for item_id in (source.item_id, target.item_id)
    ]
    both = sorted((wants[0] & wants[1]) - {USERS[0]})[:others]
    assert len(both) == others
    kept = {*both, *([USERS[0]] if with_own else [])}
    gone = hashes_of(IdColumn.of(IdKind.TEXT, [one for one in TASTES if one not in kept]))
    few = attrs.evolve(
        own, model=model.without_users(gone), touched=[source], listed=(target.item_id,)
    )

    expected = ("also_wanted", source.title) if is_named else None
    assert few.by_neighbours(target) == expected


def lot_card(reco: Recommender, item_id: ItemId) -> Any:
    return reco.ports.catalog.cards([item_id], at=NOW)[item_id]


def test_a_title_with_most_in_common_explains(reco: Recommender, model: Model) -> None:
    own = own_items(reco, model, USERS[0])
    titles = ["a silver spoon", "the lot lot-02 again", "lot of lot-02", "none"]
    touched = [
        attrs.evolve(one, title=title) for one, title in zip(own.touched, titles, strict=False)
    ]
    card = attrs.evolve(lot_card(reco, ItemId("lot-02")), title="the lot lot-02")
    own = attrs.evolve(own, touched=touched, listed=(card.item_id,))

    found = own.by_title(card)

    assert found is not None
    assert found == ("similar_to", "the lot lot-02 again")
    assert own.by_title(attrs.evolve(card, title="unheard of")) is None
    assert attrs.evolve(own, model=None).by_title(card) is None


def test_without_a_model_categories_and_sellers_explain(reco: Recommender) -> None:
    own = own_items(reco, None, USERS[0])
    touched = [attrs.evolve(one, seller_id=UserId("zoe")) for one in own.touched]
    card = attrs.evolve(own.cards[own.listed[0]], seller_id=UserId("zoe"))
    own = attrs.evolve(own, touched=touched)
    newest = next(one for one in touched if one.category_id == card.category_id)

    assert own.by_taste(card) == own.by_category(card) == ("because_you_bid", newest.title)
    assert own.by_seller(card) == ("seller_of_yours", touched[0].title)
    assert own.by_neighbours(card) is None
    assert own.by_category(attrs.evolve(card, category_id=None)) is None
    assert own.by_seller(attrs.evolve(card, seller_id=None)) is None


def test_an_item_that_the_model_does_not_know(reco: Recommender, model: Model) -> None:
    own = own_items(reco, model, USERS[0])
    card = attrs.evolve(own.cards[own.listed[0]], item_id=lot("new").item_id)
    own = attrs.evolve(own, listed=(card.item_id,))

    assert own.by_taste(card) == own.by_category(card)
    assert own.by_neighbours(card) is None


def test_components_are_tried_from_the_largest_on(reco: Recommender) -> None:
    stored = stored_of(reco, USERS[0])

    for names, line in zip(lines_to_explain(stored), stored.lines, strict=True):
        parts = line.contributions(stored.recipe.components)
        assert [parts[one] for one in names] == sorted((parts[one] for one in names), reverse=True)
        assert {*names} == {one for one, part in parts.items() if part and one in EXPLAINED_BY_OWN}
