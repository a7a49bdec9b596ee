import pickle
from decimal import Decimal

import pytest

from angle_reco.domain.errors import (
    AccessDeniedError,
    AlreadyStoredError,
    AngleRecoError,
    BadInputError,
    ComponentError,
    FencedOffError,
    InvalidValueError,
    ItemNotFoundError,
    MissingExtraError,
    ModelError,
    StorageFullError,
    StorageUnavailableError,
    one_of,
    shown,
)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InvalidValueError("limit", True, "less"), "limit is True, but should be less"),
        (InvalidValueError("id", 10**5_000, "small"), "id is an enormous int, but should be small"),
        (ItemNotFoundError("lot\n1"), r"no item with id 'lot\n1'"),
        (AccessDeniedError("run jobs"), "not allowed: run jobs"),
        (BadInputError("bids.csv", "too late"), "bids.csv: too late"),
        (BadInputError("bids.csv", "too late", line=3), "bids.csv, line 3: too late"),
        (
            BadInputError("bids.csv", "too late", line=3, column="placed_at"),
            "bids.csv, line 3, column placed_at: too late",
        ),
        (
            BadInputError("bids.csv", "too late", others=("items.csv: too late",), count=1_200),
            "bids.csv: too late (the first of 1,200 errors)",
        ),
        (StorageUnavailableError(), "the database does not answer"),
        (StorageUnavailableError("no route"), "no route"),
        (
            StorageFullError(),
            "the database's disk is full; nothing of the last change was kept",
        ),
    ],
)
def test_an_error_says_what_is_wrong_in_one_line(error: AngleRecoError, sentence: str) -> None:
    assert str(error) == sentence


def test_a_wrong_value_is_an_error_of_values() -> None:
    assert isinstance(InvalidValueError("limit", 0, "more"), ValueError)


@pytest.mark.parametrize(
    "error",
    [
        InvalidValueError("limit", 0, "more"),
        ItemNotFoundError(7),
        AccessDeniedError("run jobs"),
        BadInputError("bids.csv", "too late", line=3, column="placed_at", others=["x"], count=2),
        StorageUnavailableError(),
        # However they were made.
        InvalidValueError(what="limit", value=0, expected="more"),
        ItemNotFoundError(item_id=7),
        AccessDeniedError(action="run jobs"),
        AlreadyStoredError(what="an interest"),
        ComponentError(component="taste", problem="failed"),
        ModelError(problem="is damaged"),
        MissingExtraError(what="the loops", extra="fast"),
        FencedOffError(job="train_models", number=3),
        BadInputError(file="bids.csv", reason="too late"),
    ],
)
def test_errors_travel_between_processes(error: AngleRecoError) -> None:
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


@pytest.mark.parametrize(
    "value",
    ["a" * 10_000_000, b"a" * 10_000_000, ["a" * 100] * 10, "\n" * 1_000, 10**4_000, 10**5_000],
    ids=["text", "bytes", "list", "lines", "long", "enormous"],
)
def test_a_value_is_shown_on_one_short_line(value: object) -> None:
    found = shown(value)

    assert len(found) <= 80
    assert "\n" not in found


def test_what_cannot_be_printed_is_a_space() -> None:
    class Odd:
        def __repr__(self) -> str:
            return "a\nb\0c"

    assert shown(Odd()) == "a b c"


def test_a_short_value_is_shown_as_it_is() -> None:
    assert shown(Decimal("1E+999999")) == "Decimal('1E+999999')"
    assert shown("a" * 78) == repr("a" * 78)
    assert shown("a" * 79).endswith("…")


def test_known_names_are_listed_in_order() -> None:
    assert one_of({"b", "a"}) == "one of a, b"
