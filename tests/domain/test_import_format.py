from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.errors import InvalidValueError, shown
from angle_reco.domain.ids import LONGEST_TEXT_ID, IdKind, IdKinds
from angle_reco.domain.import_format import LONGEST_TITLE, Field, ImportFile, import_files
from angle_reco.domain.moments import to_micros
from angle_reco.domain.prices import UNKNOWN_PRICE, PriceScale
from angle_reco.domain.publication import PublicationStatus

FILES = {file.name: file for file in import_files(IdKinds(), PriceScale())}
A_DAY = 86_400_000_000


def field(file: str, column: str) -> Field:
    return FILES[file].fields[column]


def test_the_files_and_their_columns() -> None:
    assert {name: file.columns for name, file in FILES.items()} == {
        "users": ("user_id", "inserted_at", "last_sign_in_at", "sign_in_count"),
        "items": (
            *("item_id", "category_id", "seller_id", "title", "starting_price", "current_price"),
            *("publication_status", "starts_at", "end_time", "inserted_at"),
        ),
        "bids": ("user_id", "item_id", "amount", "placed_at"),
        "watches": ("user_id", "item_id", "inserted_at"),
    }
    assert list(FILES) == ["users", "items", "bids", "watches"]


def test_only_watches_may_be_absent() -> None:
    assert [name for name, file in FILES.items() if file.may_be_absent] == ["watches"]


@pytest.mark.parametrize(
    ("file", "column", "value"),
    [
        ("users", "inserted_at", None),
        ("users", "last_sign_in_at", None),
        ("users", "sign_in_count", 0),
        ("items", "category_id", None),
        ("items", "seller_id", None),
        ("items", "title", ""),
        ("items", "starting_price", None),
        ("items", "current_price", None),
        ("items", "publication_status", ""),
        ("items", "starts_at", None),
        ("items", "end_time", None),
        ("items", "inserted_at", None),
        ("bids", "amount", UNKNOWN_PRICE),
    ],
)
def test_an_empty_field_is_null(file: str, column: str, value: object) -> None:
    assert field(file, column)("") == value


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("users", "user_id"),
        ("items", "item_id"),
        ("bids", "user_id"),
        ("bids", "item_id"),
        ("bids", "placed_at"),
        ("watches", "user_id"),
        ("watches", "item_id"),
        ("watches", "inserted_at"),
    ],
)
def test_a_field_that_may_not_be_empty_says_so_by_its_name(file: str, column: str) -> None:
    with pytest.raises(InvalidValueError, match=f"^{column} is ''"):
        field(file, column)("")


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-02T00:00:00Z", A_DAY),
        ("1970-01-02T00:00:00+00:00", A_DAY),
        ("1970-01-02T02:00:00+02:00", A_DAY),
        ("1970-01-02 00:00:00.000001+00:00", A_DAY + 1),
        ("1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_moments_are_iso_8601_with_a_time_zone(text: str, micros: int) -> None:
    assert field("bids", "placed_at")(text) == micros


@given(st.datetimes(timezones=st.timezones()))
def test_a_moment_is_read_as_it_was_written(moment: Any) -> None:
    assert field("watches", "inserted_at")(moment.isoformat()) == to_micros(moment)


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-02-30T12:00:00Z",
        "31.01.2026",
        "yesterday",
        "1769860800",
        "nan",
        "0001-01-01T00:00:00+12:00",
        "9999-12-31T23:59:59-12:00",
        "\x00",
        "9" * 100_000,
    ],
    ids=shown,
)
def test_what_is_no_moment_with_its_time_zone_is_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"^placed_at is .*, but should be a moment"):
        field("bids", "placed_at")(text)


@pytest.mark.parametrize(
    ("text", "units"),
    [("0", 0), ("19.90", 199_000), ("0.0001", 1), ("1e3", 10_000_000), ("-0", 0)],
)
def test_money_becomes_units(text: str, units: int) -> None:
    assert field("bids", "amount")(text) == units
    assert field("items", "starting_price")(text) == units


@given(st.decimals(0, 10**14, places=4))
def test_an_amount_is_read_as_it_was_written(amount: Decimal) -> None:
    assert field("items", "current_price")(str(amount)) == int(amount.scaleb(4))


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "0.00001",
        "1_000",
        " 7 ",
        "٣",
        ".",
        "1.2.3",
        "NaN",
        "sNaN",
        "inf",
        "-Infinity",
        "1e999999",
        "1e308",
        "19,90",
        "€ 5",
        "\x00",
    ],
    ids=shown,
)
@pytest.mark.parametrize("column", ["starting_price", "current_price"])
def test_what_is_no_amount_is_refused(text: str, column: str) -> None:
    with pytest.raises(InvalidValueError, match=f"^{column} is"):
        field("items", column)(text)


@pytest.mark.parametrize(
    ("text", "count"), [("0", 0), ("7", 7), ("007", 7), (str(2**63 - 1), 2**63 - 1)]
)
def test_a_count_is_digits(text: str, count: int) -> None:
    assert field("users", "sign_in_count")(text) == count


@pytest.mark.parametrize(
    "text",
    ["-1", "+1", "1.0", "1_000", " 7 ", "٣", "²", str(2**63), "9" * 20, "9" * 5_000, "nan"],
    ids=shown,
)
def test_anything_else_is_no_count(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"^sign_in_count is"):
        field("users", "sign_in_count")(text)


def test_titles_have_a_longest_length() -> None:
    read = field("items", "title")

    assert read("é" * LONGEST_TITLE) == "é" * LONGEST_TITLE
    with pytest.raises(InvalidValueError, match=r"^title is"):
        read("é" * (LONGEST_TITLE + 1))


STATUSES = "archived, draft, pending, published, removed, withdrawn"


@pytest.mark.parametrize("status", ["", *PublicationStatus])
def test_a_status_is_one_of_a_list_or_unknown(status: str) -> None:
    assert field("items", "publication_status")(str(status)) == status


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        *((one, " (written 'published')") for one in ("Published", "PUBLISHED", " published ")),
        ("Draft\n", " (written 'draft')"),
        *(
            (one, " ('published' is meant, perhaps)")
            for one in (
                "live",
                "LIVE",
                "True",
                "1",
                "publish",
                "publisched",
                "for_sale",
                "Open",
            )
        ),
        *((one, " ('draft' is meant, perhaps)") for one in ("unpublished", "False", "0", "drafts")),
        *((one, " ('removed' is meant, perhaps)") for one in ("deleted", "remove")),
        ("expired", " ('archived' is meant, perhaps)"),
        *(
            (one, " ('published', if it is shown: how an auction stands follows from its times)")
            for one in ("active", "Scheduled", "sold", "ended")
        ),
        *((one, "") for one in ("xyz", " ", "a draft, 'new'", "é" * 10_000)),
    ],
)
def test_any_other_status_is_refused_with_what_is_right(text: str, suggestion: str) -> None:
    with pytest.raises(InvalidValueError) as refused:
        field("items", "publication_status")(text)

    assert refused.value.expected == f"one of {STATUSES}{suggestion}"
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("column", ["title", "publication_status"])
@pytest.mark.parametrize("text", ["a\x00", "\ud800", "a\udfff"], ids=ascii)
def test_what_no_database_stores_is_refused(column: str, text: str) -> None:
    with pytest.raises(InvalidValueError, match=f"^{column} is"):
        field("items", column)(text)


@pytest.mark.parametrize(
    "text", ["one\ntwo", '"', ",", "\ufeff", "-rf", " ", "\U0001f600", "'; --"]
)
def test_titles_may_hold_anything_else(text: str) -> None:
    assert field("items", "title")(text) == text


def test_ids_are_read_by_the_kind_of_their_entity() -> None:
    ids = IdKinds(user=IdKind.INT, item=IdKind.UUID)
    files: dict[str, ImportFile] = {file.name: file for file in import_files(ids, PriceScale())}
    some = UUID(int=7)

    assert files["bids"].fields["user_id"]("7") == 7
    assert files["items"].fields["seller_id"]("7") == 7
    assert files["watches"].fields["item_id"](str(some)) == some
    assert files["items"].fields["category_id"]("7") == "7"


@pytest.mark.parametrize("text", ["a\x00", "\ud800", "a" * (LONGEST_TEXT_ID + 1)], ids=shown)
def test_ids_that_no_index_holds_are_refused(text: str) -> None:
    with pytest.raises(InvalidValueError, match=r"^item_id is"):
        field("items", "item_id")(text)


def test_money_follows_the_scale_of_the_host() -> None:
    bids = import_files(IdKinds(), PriceScale(100))[2]

    assert bids.fields["amount"]("19.90") == 1_990
    with pytest.raises(InvalidValueError):
        bids.fields["amount"]("19.901")
