from enum import IntEnum
from fractions import Fraction
from itertools import product
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.errors import InvalidValueError, shown
from angle_reco.domain.ids import LONGEST_TEXT_ID, CategoryId, Id, IdKind, IdKinds, ItemId, UserId

A_UUID = UUID("12345678-1234-5678-1234-567812345678")
printable = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


NO_IDS: tuple[object, ...] = (None, True, 1.0, float("nan"), float("inf"), b"a", [])


class Colour(IntEnum):
    RED = 1


@pytest.mark.parametrize(
    ("kind", "one"),
    [
        (IdKind.INT, 0),
        (IdKind.INT, -(2**63)),
        (IdKind.INT, 2**63 - 1),
        (IdKind.INT, Colour.RED),
        (IdKind.UUID, A_UUID),
        (IdKind.UUID, UUID(int=0)),
        (IdKind.TEXT, "-dash"),
        (IdKind.TEXT, " "),
        (IdKind.TEXT, "a\u2028b"),
        (IdKind.TEXT, "\uffff\U0001f600"),
        (IdKind.TEXT, "\U0001f600" * LONGEST_TEXT_ID),
    ],
    ids=shown,
)
def test_an_id_of_its_kind_is_itself(kind: IdKind, one: Id) -> None:
    checked = kind.check(one, "item id")

    assert checked == one
    # Of exactly that class, whatever is derived from it.
    assert type(checked) in (int, UUID, str)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *product(IdKind, NO_IDS),
        (IdKind.INT, 2**63),
        (IdKind.INT, -(2**63) - 1),
        (IdKind.INT, 10**5_000),
        (IdKind.INT, "1"),
        (IdKind.INT, Fraction(1)),
        (IdKind.INT, np.int64(1)),
        (IdKind.INT, A_UUID),
        (IdKind.UUID, str(A_UUID)),
        (IdKind.UUID, A_UUID.bytes),
        (IdKind.UUID, 1),
        (IdKind.TEXT, ""),
        (IdKind.TEXT, 1),
        (IdKind.TEXT, A_UUID),
        (IdKind.TEXT, "a\x00b"),
        (IdKind.TEXT, "a\nb"),
        (IdKind.TEXT, "\x7f"),
        (IdKind.TEXT, "\x9f"),
        (IdKind.TEXT, "\ud800"),
        (IdKind.TEXT, "a\udfff"),
        (IdKind.TEXT, "a" * (LONGEST_TEXT_ID + 1)),
        (IdKind.TEXT, "a" * 10_000_000),
    ],
    ids=shown,
)
def test_anything_else_is_refused_in_a_short_sentence(kind: IdKind, value: object) -> None:
    with pytest.raises(InvalidValueError, match=r"^item id is .*, but should be an? ") as refused:
        kind.check(value, "item id")

    assert refused.value.what == "item id"
    assert refused.value.value is value
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("kind", "text", "one"),
    [
        (IdKind.INT, "-7", -7),
        (IdKind.INT, str(2**63 - 1), 2**63 - 1),
        (IdKind.UUID, str(A_UUID), A_UUID),
        (IdKind.UUID, A_UUID.hex, A_UUID),
        (IdKind.TEXT, " a ", " a "),
        (IdKind.TEXT, "7", "7"),
    ],
)
def test_texts_of_files_and_command_lines_are_read(kind: IdKind, text: str, one: Id) -> None:
    assert kind.parse(text, "item id") == one


@given(number=st.integers(-(2**63), 2**63 - 1), some=st.uuids(), text=printable)
def test_what_an_id_writes_is_read_back(number: int, some: UUID, text: str) -> None:
    assert IdKind.INT.parse(str(number), "id") == number
    assert IdKind.UUID.parse(str(some), "id") == some
    assert IdKind.TEXT.parse(text, "id") == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (IdKind.INT, ""),
        (IdKind.INT, "1.0"),
        (IdKind.INT, "one"),
        (IdKind.INT, "9" * 19),
        (IdKind.INT, "1_000"),
        (IdKind.INT, " 7 "),
        (IdKind.INT, "+5"),
        (IdKind.INT, "٣"),
        (IdKind.UUID, "{12345678123456781234567812345678}"),
        (IdKind.UUID, "urn:uuid:12345678-1234-5678-1234-567812345678"),
        (IdKind.UUID, "1234-5678123456781234567812345678"),
        (IdKind.INT, "9" * 5_000),
        (IdKind.UUID, ""),
        (IdKind.UUID, "1234"),
        (IdKind.UUID, "g" * 32),
        (IdKind.TEXT, ""),
        (IdKind.TEXT, "\x00"),
    ],
    ids=shown,
)
def test_texts_that_are_no_id_are_refused(kind: IdKind, text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"^user id is"):
        kind.parse(text, "user id")


def test_each_entity_has_a_kind_of_its_own() -> None:
    kinds = IdKinds(user=IdKind.INT, item=IdKind.UUID)

    assert kinds.user_id(7) == UserId(7)
    assert kinds.item_id(A_UUID) == ItemId(A_UUID)
    assert kinds.category_id("coins") == CategoryId("coins")


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        (lambda: IdKinds().user_id(7), "user id"),
        (lambda: IdKinds().item_id(7), "item id"),
        (lambda: IdKinds().category_id(7), "category id"),
    ],
)
def test_an_id_of_another_kind_is_refused_by_its_name(wrong: Any, what: str) -> None:
    with pytest.raises(InvalidValueError, match=f"^{what} is 7, but should be a text"):
        wrong()


def test_kinds_may_be_given_by_their_value() -> None:
    assert IdKinds(user="int").user is IdKind.INT

    with pytest.raises(ValueError, match="float"):
        IdKinds(user="float")
