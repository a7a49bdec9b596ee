"""SQL functions for SQLite that read values of any type, because any column may hold one."""

import sqlite3
from functools import lru_cache
from zoneinfo import ZoneInfo

from angle_reco.domain.written_moments import is_without_offset, read_moment

IS_UTF8 = "angle_reco_is_utf8"
MOMENT = "angle_reco_moment"
WITHOUT_OFFSET = "angle_reco_without_offset"
WORDS = "angle_reco_words"


def add_functions(raw: sqlite3.Connection) -> None:
    """Add the library's functions to a connection; the database file does not store them."""
    raw.create_function(IS_UTF8, 1, _is_utf8, deterministic=True)
    raw.create_function(MOMENT, 2, _moment, deterministic=True)
    raw.create_function(WITHOUT_OFFSET, 1, _without_offset, deterministic=True)
    raw.create_function(WORDS, 1, _words, deterministic=True)


def _is_utf8(value: object) -> bool:
    if not isinstance(value, bytes) or value.isascii():
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


# The moments of one item recur often, as with each of its bids in one query.
@lru_cache(10_000)
def _moment(value: object, zone: str) -> int | None:
    return read_moment(_text(value), _zone(zone))


def _without_offset(value: object) -> bool:
    return is_without_offset(_text(value))


def _words(value: object) -> str | None:
    return None if value is None else str(_text(value))


def _text(value: object) -> object:
    """Return a value with texts decoded, which queries pass as bytes of any encoding."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


_zone = lru_cache(ZoneInfo)
