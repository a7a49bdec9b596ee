import json
from collections.abc import Mapping
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.ids import ItemId, json_id
from angle_reco.domain.millionths import ONE
from angle_reco.domain.suggestions import (
    REASONS,
    SOURCES,
    Freshness,
    Reason,
    Shelf,
    Source,
    Suggestion,
)
from angle_reco.domain.whys import Grounds
from angle_reco.testing.contracts.markets import lot

A_UUID = UUID("12345678-1234-5678-1234-567812345678")


def suggestion(
    contributions: Mapping[str, int],
    reason: Reason = Reason.FAVOURITE_CATEGORY,
    item_id: object = "lot-1",
    rank: int = 1,
) -> Suggestion:
    return Suggestion(
        rank=rank,
        item_id=ItemId(item_id),
        card=None,
        score=sum(contributions.values()),
        reason=reason,
        source=Source.PERSONAL,
        components=tuple(contributions),
        parts=tuple(contributions.values()),
    )


def test_an_explanation_names_the_largest_contributions_first() -> None:
    one = suggestion({"recency": 40_000, "interest": 600_000, "popularity": 200_000, "x": 1})

    assert one.explanation == "interest 0.60, demand 0.20, timing 0.04"


def test_what_contributes_nothing_is_not_named() -> None:
    one = suggestion({"same_category": 500_000, "price_range": 0}, Reason.SAME_CATEGORY)

    assert one.explanation == "category 0.50"


def test_a_sentence_stands_without_contributions() -> None:
    assert suggestion({}, Reason.FOR_YOU).sentence == "Picked for you"
    assert suggestion({"interest": 0}, Reason.FOR_YOU).sentence == "Picked for you"


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_sentence_of_its_own(reason: Reason) -> None:
    others = {suggestion({}, other).sentence for other in Reason if other is not reason}

    assert suggestion({}, reason).sentence not in others


def test_a_component_without_a_word_of_its_own_is_named_as_it_is() -> None:
    one = suggestion({"seller_affinity": 250_000}, Reason.FOR_YOU)

    assert (one.sentence, one.explanation) == ("Picked for you", "seller affinity 0.25")


def test_json_has_fractions_and_only_what_contributes() -> None:
    one = suggestion({"interest": 600_000, "popularity": 200_000, "recency": 0})

    assert one.to_json() == {
        "rank": 1,
        "item_id": "lot-1",
        "title": "",
        "price": None,
        "public": {},
        "score": 0.8,
        "reason": "favourite_category",
        "source": "personal",
        "sentence": one.sentence,
        "contributions": {"interest": 0.6, "popularity": 0.2},
    }


@pytest.mark.parametrize(
    ("price", "written"),
    [("4.50", "4.5"), ("500", "500"), ("1E+3", "1000"), ("0", "0"), ("0.0001", "0.0001")],
)
def test_a_price_is_a_text_in_json_and_money_in_a_dict(price: str, written: str) -> None:
    item = lot("lot-1", title="A lot", price=Decimal(price), public_text='{"slug": "a-lot"}')
    grounds = Grounds(cards={ItemId(A_UUID): item})
    one = suggestion({}, item_id=A_UUID)._replace(card=object(), grounds=grounds)

    known = {"title": "A lot", "public": {"slug": "a-lot"}, "rank": 1}
    assert one.to_json().items() >= (known | {"price": written, "item_id": str(A_UUID)}).items()
    assert one.to_dict().items() >= (known | {"price": Decimal(price), "item_id": A_UUID}).items()
    assert (one.title, one.price, one.public) == ("A lot", Decimal(price), {"slug": "a-lot"})


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, ONE // 3)), max_size=3))
def test_a_shelf_is_written_as_json(parts: list[dict[str, int]]) -> None:
    shelf = Shelf(
        tuple(suggestion(part, rank=rank) for rank, part in enumerate(parts, 1)),
        freshness=Freshness.STALE_ON_ERROR,
        degraded_by=("database",),
    )

    read = json.loads(json.dumps(shelf.to_json()))

    assert list(read) == ["freshness", "degraded_by", "ranker", "version", "suggestions", "next"]
    assert (read["freshness"], read["degraded_by"]) == ("stale_on_error", ["database"])
    assert read["next"] is None
    assert [round(one["score"] * ONE) for one in read["suggestions"]] == [
        sum(part.values()) for part in parts
    ]


@pytest.mark.parametrize(
    ("one", "written"), [(7, 7), ("lot", "lot"), (A_UUID, str(A_UUID)), (2**63 - 1, 2**63 - 1)]
)
def test_ids_are_numbers_or_texts_in_json(one: object, written: int | str) -> None:
    assert json_id(one) == written


def test_a_shelf_is_a_sequence() -> None:
    lines = tuple(suggestion({}, item_id=name) for name in "abc")

    shelf = Shelf(lines, freshness=Freshness.FRESH)

    assert tuple(shelf) == lines
    assert (shelf[0], shelf[-1], shelf[1:]) == (lines[0], lines[2], lines[1:])
    assert len(shelf) == 3
    assert shelf.ids == (ItemId("a"), ItemId("b"), ItemId("c"))
    assert lines[1] in shelf
    assert not Shelf((), freshness=Freshness.FRESH)


def test_codes_are_stored_and_so_never_change() -> None:
    assert [reason.value for reason in REASONS] == [
        *("popular_in_favourite", "favourite_category", "trending", "ending_soon"),
        *("active_auction", "for_you", "same_category", "price_range", "collaborative"),
        *("popular", "popular_in_category"),
    ]
    assert [source.value for source in SOURCES] == ["personal", "similar", "category", "popular"]
    assert [REASONS[reason.code] for reason in Reason] == list(Reason)
    assert [SOURCES[source.code] for source in Source] == list(Source)
