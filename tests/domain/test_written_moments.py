"""Moments in texts and numbers: what is read, what is not, and local times."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from angle_reco.domain.moments import from_micros, to_micros
from angle_reco.domain.written_moments import in_zone, is_without_offset, read_moment

NOON = to_micros(datetime(2020, 11, 20, 12, tzinfo=UTC))
SECOND = 1_000_000


FORMS: list[tuple[object, int]] = [
    ("2020-11-20 12:00:00", NOON),
    ("2020-11-20T12:00:00", NOON),
    ("2020-11-20t12:00:00z", NOON),
    ("2020-11-20T12:00", NOON),
    ("2020-11-20 12", NOON),
    ("2020-11-20", NOON - 12 * 3600 * SECOND),
    ("20201120T120000Z", NOON),
    ("20201120T1200+0000", NOON),
    (" 2020-11-20  12:00:00 ", NOON),
    ("2020-11-20 12:00:00.5", NOON + SECOND // 2),
    ("2020-11-20 12:00:00,5", NOON + SECOND // 2),
    ("2020-11-20 12:00:00.1234567", NOON + 123_456),
    ("2020-11-20 12:00:00.000 +00:00", NOON),
    ("2020-11-20 12:00:00+00", NOON),
    ("2020-11-20 17:30:00.5+0530", NOON + SECOND // 2),
    ("2020-11-20 17:30:00 +05:30", NOON),
    ("2020-11-20 07:00:00-05", NOON),
    ("2020-11-20 12:00:30+00:00:30", NOON),
    ("2020-11-20 12:00:00 UTC", NOON),
    ("2020-11-20 12:00:00 GMT", NOON),
    ("2020-11-20 11:59:60Z", NOON),
    ("2020-11-20 11:59:60.25Z", NOON + SECOND // 4),
    ("2020-11-19T24:00:00", NOON - 12 * 3600 * SECOND),
    (NOON // SECOND, NOON),
    (NOON / SECOND + 0.25, NOON + SECOND // 4),
    (NOON // 1_000, NOON),
    (NOON, NOON),
    (0, 0),
    (-86_400, -86_400 * SECOND),
]
"""What is read, and as what."""

OTHER_FORMS: list[object] = [
    *("", "soon", "2020", "2020-11", "2020-11-31", "2020-13-01", "2021-02-29", "0000-01-01"),
    *("0000-12-31 23:59:59", "0000-01-01 00:00:00.5"),
    *("2020-11-31 12:00:00", "2021-02-29 12:00:00.5"),
    *("2020-1120", "202011-20", "2020/11/20", "20.11.2020", "11/20/2020", "20-11-2020"),
    *("2020-11-20T", "2020-11-20 25:00", "2020-11-20 24:00:01", "2020-11-20 12:60"),
    *("2020-11-20 12:00:61", "2020-11-20 12:00:00.", "2020-11-20 12:00:00+24:00"),
    *(
        "2020-11-20 12:00:00+05:60",
        "2020-11-20 12:00:00+00:00:60",
        "2020-11-20 12:00:00+5",
        "2020-11-20 12:00:00 CET",
    ),
    *("2020-11-20 12:00:00 PM", "2020-11-20 12:00:00Z Z", "12:00:00", "1605873600"),
    *("\uff12020-11-20", "2020-11-20" + " " * 100, "9999-12-31 23:59:60", "0001-01-01 00:00+01"),
    *(None, True, b"2020-11-20", float("nan"), float("inf"), 10**17, -(10**17), 10**40),
]
"""What is not read."""


@pytest.mark.parametrize(("written", "micros"), FORMS)
def test_common_forms_are_read(written: object, micros: int) -> None:
    assert read_moment(written) == micros


@pytest.mark.parametrize("written", OTHER_FORMS)
def test_everything_else_is_no_moment(written: object) -> None:
    assert read_moment(written) is None


@given(
    st.datetimes(min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29)),  # noqa: DTZ001 — its zone follows
    st.integers(-1439, 1439),
)
def test_what_python_writes_is_read(moment: datetime, minutes: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert read_moment(aware.isoformat()) == to_micros(aware)
    assert read_moment(str(aware)) == to_micros(aware)
    assert not is_without_offset(aware.isoformat())
    assert is_without_offset(moment.isoformat())
    assert read_moment(str(moment), aware.tzinfo or UTC) == to_micros(aware)


@given(st.text(max_size=70) | st.floats() | st.integers())
def test_nothing_raises(written: object) -> None:
    found = read_moment(written)

    assert found is None or type(found) is int


@pytest.mark.parametrize(
    ("local", "zone", "in_utc"),
    [
        ("2026-01-15 12:00", "Europe/Berlin", "2026-01-15 11:00"),
        ("2026-07-15 12:00", "Europe/Berlin", "2026-07-15 10:00"),
        # Clocks go from 2:00 to 3:00: a time between is as far behind the change as it says.
        ("2026-03-29 01:59:59", "Europe/Berlin", "2026-03-29 00:59:59"),
        ("2026-03-29 02:00", "Europe/Berlin", "2026-03-29 01:00"),
        ("2026-03-29 02:30", "Europe/Berlin", "2026-03-29 01:30"),
        ("2026-03-29 03:00", "Europe/Berlin", "2026-03-29 01:00"),
        # Clocks go from 3:00 to 2:00: of an hour that comes twice it is the later.
        ("2026-10-25 01:59:59", "Europe/Berlin", "2026-10-24 23:59:59"),
        ("2026-10-25 02:30", "Europe/Berlin", "2026-10-25 01:30"),
        ("2026-10-25 03:00", "Europe/Berlin", "2026-10-25 02:00"),
        ("2026-07-15 12:00", "America/New_York", "2026-07-15 16:00"),
        ("2026-07-15 12:00", "Asia/Kathmandu", "2026-07-15 06:15"),
        ("2026-03-29 01:30", "Europe/Dublin", "2026-03-29 01:30"),
        ("2026-10-25 01:30", "Europe/Dublin", "2026-10-25 01:30"),
        ("2026-10-04 02:15", "Australia/Lord_Howe", "2026-10-03 15:45"),
    ],
)
def test_local_times_on_both_sides_of_a_change(local: str, zone: str, in_utc: str) -> None:
    expected = datetime.fromisoformat(in_utc).replace(tzinfo=UTC)

    assert in_zone(datetime.fromisoformat(local), ZoneInfo(zone)) == expected
    assert from_micros(read_moment(local, ZoneInfo(zone)) or 0) == expected


@given(
    moment=st.datetimes(),
    place=st.integers(0, 18),
    other=st.sampled_from(" 0129:.,-+WTZ\uff12"),
)
@example(moment=datetime(2000, 1, 1), place=16, other=".")  # noqa: DTZ001 — a zone is added
def test_the_usual_form_is_read_as_any_other(moment: datetime, place: int, other: str) -> None:
    """A blank before it leaves it to the rule for all forms."""
    text = moment.strftime("%Y").zfill(4) + moment.strftime("-%m-%dT%H:%M:%SZ")
    changed = text[:place] + other + text[place + 1 :]

    assert read_moment(text) == to_micros(moment.replace(microsecond=0, tzinfo=UTC))
    assert read_moment(changed) == read_moment(" " + changed)


@pytest.mark.parametrize(
    "text",
    ["2020-W47-5T12:00:00Z", "2020-11-20T11:59:60Z", "2020-11-20T24:00:00Z", "20201120   T120000Z"],
)
def test_what_is_as_long_is_too(text: str) -> None:
    assert read_moment(text) == read_moment(" " + text)
