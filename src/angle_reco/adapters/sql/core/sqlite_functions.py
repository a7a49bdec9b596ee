"""SQL functions for SQLite that read values of any type, because any column may hold one.

Texts arrive as bytes in the encoding of the database, after a byte-order mark.
"""

import codecs
import json
import sqlite3
from functools import lru_cache
from zoneinfo import ZoneInfo

from angle_reco.domain.public_columns import LONGEST_VALUE, json_text
from angle_reco.domain.written_moments import is_without_offset, read_moment

AS_JSON = "angle_reco_as_json"
IS_VALID = "angle_reco_is_valid"
MOMENT = "angle_reco_moment"
WITHOUT_OFFSET = "angle_reco_without_offset"
WORDS = "angle_reco_words"


def add_functions(raw: sqlite3.Connection) -> None:
    """Add the library's functions to a connection; the database file does not store them."""
    raw.create_function(AS_JSON, 2, _as_json, deterministic=True)
    raw.create_function(IS_VALID, 1, _is_valid, deterministic=True)
    raw.create_function(MOMENT, 2, _moment, deterministic=True)
    raw.create_function(WITHOUT_OFFSET, 1, _without_offset, deterministic=True)
    raw.create_function(WORDS, 1, _words, deterministic=True)


def _is_valid(value: object) -> bool:
    if not isinstance(value, bytes) or value.removeprefix(codecs.BOM_UTF8).isascii():
        return True
    try:
        value.decode(_encoding(value))
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


def _as_json(value: object, kind: str) -> str | None:
    """Return a value as JSON, by the kind of its column: "boolean", "json", "uuid" or another.

    Return None for null, for what JSON cannot hold and for what is too long.
    """
    value = _text(value)
    if value is None or (isinstance(value, str) and len(value) > LONGEST_VALUE):
        return None
    match kind, value:
        case "boolean", 0 | 1:
            return json_text(bool(value))
        case "json", str():
            try:
                return json_text(json.loads(value))
            except (ValueError, RecursionError):
                return None
        case "uuid", str() if len(value) == _DIGITS_OF_UUID:
            return json_text("-".join(value[first:last] for first, last in _PARTS_OF_UUID))
        case _:
            return json_text(value)


_DIGITS_OF_UUID = 32
_PARTS_OF_UUID = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))


def _text(value: object) -> object:
    """Return a value with texts decoded, which need not be valid."""
    if not isinstance(value, bytes):
        return value
    return value.decode(_encoding(value), errors="replace")[1:]


def _encoding(text: bytes) -> str:
    """Return the encoding of the database, by the byte-order mark before the text."""
    if text.startswith(codecs.BOM_UTF8):
        return "utf-8"
    return "utf-16-le" if text.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"


_zone = lru_cache(ZoneInfo)
