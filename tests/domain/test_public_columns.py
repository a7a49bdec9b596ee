import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco import InvalidValueError
from angle_reco.domain.public_columns import json_text, read_public, to_public_text
from angle_reco.testing import Item
from tests.application.shop import filled, lot, opened

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Whatever JSON has.
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["slug", "image_url", "Größe"]), values))
def test_values_come_back_as_they_were(public: dict[str, Any]) -> None:
    written = to_public_text({name: json_text(value) for name, value in public.items()})

    assert read_public(written) == public
    assert Item(item_id="omega", public=public).public == public


@pytest.mark.parametrize(
    "value",
    [
        *(b"bytes", Decimal(1), float("nan"), float("inf"), {1, 2}, object(), "\ud800"),
        *("é" * 1_000, [b""], {"a": Decimal(1)}),
    ],
)
def test_what_json_lacks_is_refused_by_name(value: object) -> None:
    with pytest.raises(InvalidValueError, match="public column image is"):
        Item(item_id="omega", public={"slug": "x", "image": value})


def test_a_value_without_an_end_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)

    with pytest.raises(InvalidValueError, match="public column image"):
        Item(item_id="omega", public={"image": endless})


@pytest.mark.parametrize("public", [None, ["slug"], {"a b": 1}, {1: 1}, {"": 1}])
def test_names_that_are_none(public: Any) -> None:
    with pytest.raises(InvalidValueError, match="public"):
        Item(item_id="omega", public=public)


def test_the_values_of_an_item_are_its_own() -> None:
    tags = ["gold"]
    item = Item(item_id="omega", public={"tags": tags})
    tags.append("silver")

    assert item.public == {"tags": ["gold"]}


def test_an_answer_is_not_changed_by_its_reader() -> None:
    item = Item(item_id="omega", public={"tags": ["gold"]})
    one = opened(filled([item])).anonymous.popular_items()[0]
    tags = one.public["tags"]
    assert isinstance(tags, list)
    tags.append("silver")

    assert one.public == {"tags": ["gold"]}


def test_what_is_nested_too_deep_is_nothing() -> None:
    assert read_public(f'{{"a": {"[" * 90_000}{"]" * 90_000}}}') == {}


def test_a_half_of_a_character_is_replaced() -> None:
    found = read_public('{"a": "\\uD800", "b": "\\ud83d\\ude00"}')

    assert found == {"a": "?", "b": "😀"}
    assert json.dumps(found, ensure_ascii=False).encode()


def test_items_with_public_columns_can_be_in_sets() -> None:
    assert len({Item(item_id="omega", public={"a": [1]}), lot("omega")}) == 2
