"""What comes back: a shelf that nobody can change, with the host's own cards if it likes."""

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import pytest

from angle_reco import Freshness, Recommender, Shelf, View
from angle_reco.domain.lists import ListKind
from tests.application.shop import bid, filled, ids_of, lot, lots, opened


@pytest.fixture
def reco() -> Recommender:
    """Return a shop with four lots, one of which ann bid on."""
    return opened(filled([lot("vase"), *lots("art", 3)], bid("ann", "vase")))


def answers(view: View, **more: Any) -> dict[str, Shelf]:
    """Return every shelf there is, by its name."""
    return {
        "homepage": view.homepage(**more),
        "similar": view.similar_items("vase", **more),
        "after_bid": view.after_bid("vase", **more),
        "popular": view.popular_items(**more),
    }


class TestShelf:
    def test_it_is_a_sequence(self, reco: Recommender) -> None:
        shelf = reco.as_user("ann").homepage()

        assert isinstance(shelf, Sequence)
        assert len(shelf) == 3
        assert ids_of(shelf) == ["art-01", "art-02", "art-03"]
        assert [one.item_id for one in shelf] == list(shelf.ids)
        assert (shelf[0], shelf[-1]) == (shelf.suggestions[0], shelf.suggestions[2])
        assert shelf[1:] == shelf.suggestions[1:]
        assert list(reversed(shelf)) == list(shelf)[::-1]
        assert shelf[1] in shelf
        assert shelf.index(shelf[2]) == 2
        with pytest.raises(IndexError):
            shelf[3]

    def test_it_cannot_be_changed(self, reco: Recommender) -> None:
        shelf: Any = reco.as_user("ann").homepage()

        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            shelf.freshness = Freshness.STALE
        with pytest.raises(AttributeError):
            shelf[0].rank = 7
        with pytest.raises(TypeError):
            shelf[0] = shelf[1]
        with pytest.raises(TypeError):
            del shelf[0]

    def test_as_json(self, reco: Recommender) -> None:
        assert reco.as_user("ann").homepage(1).to_json() == {
            "freshness": "computed",
            "degraded_by": [],
            "ranker": "classic",
            "version": reco.settings.recipes().lists[ListKind.PERSONAL].version,
            "suggestions": [
                {
                    "rank": 1,
                    "item_id": "art-01",
                    "title": "the lot art-01",
                    "price": "100",
                    "public": {},
                    "score": 0.62,
                    "reason": "favourite_category",
                    "source": "personal",
                    "sentence": "Because you bid on the lot vase",
                    "contributions": {"interest": 0.6, "recency": 0.02},
                }
            ],
            "next": "1z9uamQEAQhooqw",
        }

    def test_every_shelf_says_why(self, reco: Recommender) -> None:
        said = {
            name: (shelf[0].sentence, shelf[0].explanation)
            for name, shelf in answers(reco.as_user("ann")).items()
        }

        assert said == {
            "homepage": ("Because you bid on the lot vase", "interest 0.60, timing 0.02"),
            "similar": ("Similar to the lot vase", "category 0.50, price 0.30"),
            "after_bid": ("Similar to the lot vase", "similarity 0.40, interest 0.40"),
            "popular": ("Open for bids now", "demand 0.10"),
        }


class TestOwnCards:
    def test_the_loader_s_objects_are_the_cards(self, reco: Recommender) -> None:
        def load(item_ids: Sequence[str]) -> Mapping[str, str]:
            return {item_id: f"<{item_id}>" for item_id in item_ids}

        for name, shelf in answers(reco.as_user("ann"), cards=load).items():
            assert len(shelf) >= 3, name
            assert [one.card for one in shelf] == [f"<{item_id}>" for item_id in shelf.ids]
            assert [one.title for one in shelf] == [f"the lot {item_id}" for item_id in shelf.ids]
            assert all("<" not in one.sentence for one in shelf)

    def test_what_it_leaves_out_is_not_shown_and_ranks_stay_whole(self, reco: Recommender) -> None:
        for shelf in answers(
            reco.as_user("ann"), cards=lambda ids: {one: one for one in ids if one != "art-02"}
        ).values():
            assert "art-02" not in ids_of(shelf)
            assert {"art-01", "art-03"} <= set(shelf.ids)
            assert [one.rank for one in shelf] == list(range(1, len(shelf) + 1))

    def test_what_it_adds_is_not_shown(self, reco: Recommender) -> None:
        shelf = reco.as_user("ann").homepage(
            2, cards=lambda ids: {**dict.fromkeys(ids, "card"), "vase": "card"}
        )

        assert ids_of(shelf) == ["art-01", "art-02"]

    def test_a_card_may_be_anything(self, reco: Recommender) -> None:
        shelf = reco.anonymous.popular_items(cards=dict.fromkeys)

        assert [one.card for one in shelf] == [None] * 4

    def test_only_what_would_be_shown_is_loaded_best_first(self, reco: Recommender) -> None:
        asked: list[list[object]] = []

        def load(item_ids: Sequence[object]) -> Mapping[object, object]:
            asked.append(list(item_ids))
            return {}

        assert len(reco.as_user("ann").homepage(2, cards=load)) == 0
        assert asked == [["art-01", "art-02"]]

    def test_an_error_of_the_loader_is_the_host_s(self, reco: Recommender) -> None:
        def load(item_ids: Sequence[object]) -> Mapping[object, object]:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            reco.as_user("ann").homepage(cards=load)
