"""Models trained from the ports, and what they say of the items of a market."""

import numpy as np
import pytest

from angle_reco.application import scoring
from angle_reco.application.scoring import Scorer
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.ids import IdKind, ItemId
from angle_reco.domain.items import Item
from angle_reco.domain.scoring.blended.model import Model
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.domain.scoring.components import values_of
from angle_reco.testing.plain_blended import hash_of
from tests.evaluation.markets import bid, day, evidence_of, market_of, watch

COMPONENTS = {component.name: component for component, _ in BLENDED.weights}


def listed(name: str, title: str) -> Item:
    return Item(item_id=ItemId(name), title=title, listed_at=day(0))


ITEMS = [listed("i0", "red vase"), listed("i1", "lamp"), listed("i2", "red vase")]


def trained(scorer: Scorer) -> Model:
    happened = scorer.everything()
    return scorer.trained(happened, scorer.touched_items(happened))


def test_models_and_signals_are_read_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[Bid | Watch] = [
        bid("u0", "i2", 1),
        watch("u1", "i0", 2),
        bid("u0", "i1", 3),
        bid("u1", "i9", 9),
    ]
    scorer = evidence_of(market_of(happened, ITEMS)).scorer(day(5))
    at_once = trained(scorer)

    monkeypatch.setattr(scoring, "_CARDS_AT_ONCE", 2)
    model = trained(scorer)

    for known, ids in ((model.items.ids, ["i0", "i1", "i2"]), (model.users, ["u0", "u1"])):
        assert known.hashes.tolist() == sorted(map(hash_of, ids))
    titles = (model.items.titles.buckets, at_once.items.titles.buckets)
    assert np.array_equal(*titles)


def test_an_item_that_is_gone_since_the_market_was_read_has_no_title() -> None:
    """And the others keep theirs."""
    shop = market_of([bid("u0", "i0", 1)], ITEMS)
    scorer = evidence_of(shop).scorer(day(5))
    model, market = trained(scorer), scorer.market()
    del shop.items[ItemId("i1")]

    signalled = scorer.with_signals(market, model)

    profiles = scorer.profiles(signalled, IdIndex(IdColumn.of(IdKind.TEXT, ["u0"])))
    title, rows = COMPONENTS["title"], np.arange(3)
    found = values_of(title, signalled, profiles, np.zeros(3, np.int64), rows)
    assert found[1] == 0
    assert found[0] == found[2] > 990_000
