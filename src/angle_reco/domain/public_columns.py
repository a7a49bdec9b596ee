"""Public columns: what answers carry of an item besides its title and price, as JSON.

A host names them; nothing else of the host's columns leaves the library.
"""

import json
from collections.abc import Mapping

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.type_checks import is_a, is_mapping, plain
from angle_reco.domain.validators import exactly

MOST_COLUMNS = 20
LONGEST_VALUE = 2_000
"""The bytes of a value, written as text or JSON."""

_LONGEST_NAME = 63


def check_public_names(names: object) -> tuple[str, ...]:
    """Return the names of public columns.

    Raises:
        InvalidValueError: It is no tuple of at most 20 distinct identifiers.
    """
    given = exactly(names, "public", tuple)
    found = tuple(plain(name) for name in given)
    if any(not _is_name(name) for name in found) or len(set(found)) < len(found):
        expected = f"a tuple of distinct names, each of at most {_LONGEST_NAME} letters, digits, _"
        raise InvalidValueError("public", names, expected)
    if len(found) > MOST_COLUMNS:
        raise InvalidValueError("number of public columns", len(found), f"at most {MOST_COLUMNS}")
    return found


def _is_name(name: object) -> bool:
    return type(name) is str and len(name) <= _LONGEST_NAME and name.isidentifier()


def public_values(values: object) -> dict[str, object]:
    """Return values by name as JSON represents them.

    Raises:
        InvalidValueError: The names are none, or a value cannot be written as JSON.
    """
    if not is_mapping(values):
        raise InvalidValueError("public", values, "a mapping of names to values")
    names = check_public_names(tuple(values))
    written = {name: json_text(value) for name, value in zip(names, values.values(), strict=True)}
    for name, value in zip(names, values.values(), strict=True):
        if written[name] is None:
            expected = f"a value that JSON has, of at most {LONGEST_VALUE:,} bytes"
            raise InvalidValueError(f"public column {name}", value, expected)
    return read_public(to_public_text(written))


def json_text(value: object) -> str | None:
    """Return a value as JSON, None if JSON has no such value or it is too long.

    >>> json_text({"width": 1.5}), json_text(b"1"), json_text(float("nan"))
    ('{"width": 1.5}', None, None)
    """
    if is_a(value, str) and len(plain(value)) > LONGEST_VALUE:
        return None
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        return text if len(text.encode()) <= LONGEST_VALUE else None
    except (TypeError, ValueError, RecursionError):  # a lone surrogate is a ValueError, too
        return None


def to_public_text(written: Mapping[str, str | None]) -> str:
    """Return JSON values by name as one JSON object; "" for none."""
    pairs = ", ".join(f'"{name}": {text or "null"}' for name, text in written.items())
    return f"{{{pairs}}}" if pairs else ""


def read_public(text: str) -> dict[str, object]:
    """Return the values that a JSON object holds, in a new dict; none for ""."""
    if not text:
        return {}
    try:
        found: dict[str, object] = json.loads(text)
    except RecursionError:  # nested hundreds of times: a page can do without it
        return {}
    if "\\ud" in text.lower():
        # PostgreSQL's type json allows an escaped half of a character, which no page can have.
        whole = json.dumps(found, ensure_ascii=False).encode(errors="replace").decode()
        found = json.loads(whole)
    return found
