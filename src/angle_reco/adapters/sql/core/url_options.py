"""Options in database URLs of PostgreSQL: libpq's, and prepare_threshold of the driver."""

from urllib.parse import parse_qsl

import sqlalchemy as sa
from psycopg import pq
from sqlalchemy.dialects.postgresql import psycopg as psycopg_dialect
from sqlalchemy.exc import ArgumentError

from angle_reco.domain.errors import InvalidValueError

_MAY_REPEAT = ("host", "port")
"""Options that may repeat, to name several servers of which one is used."""


def with_empty_options(url: sa.URL, text: str) -> sa.URL:
    """Return *url*, parsed from *text*, with the options that have an empty value.

    SQLAlchemy drops them, but libpq reads `options=` as the request to use none.
    """
    rest = text.partition("://")[2]
    if url.username is not None:
        rest = rest.partition("@")[2]
    pairs = parse_qsl(rest.partition("?")[2], keep_blank_values=True)
    return url.update_query_dict({name: value for name, value in pairs if not value})


def check_options(url: sa.URL, *, pooler: bool) -> None:
    """Refuse options that would have no effect.

    Most values are not checked here: libpq reports an invalid one when it connects.

    Raises:
        InvalidValueError: An option is unknown, given twice, or has an invalid value.
    """
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    for name, value in url.query.items():
        if name not in known and name != "prepare_threshold":
            raise InvalidValueError(
                "option of the database URL", name, "one of libpq, or prepare_threshold"
            )
        if not isinstance(value, str) and name not in _MAY_REPEAT:
            raise InvalidValueError(f"{name} of the database URL", "given twice", "given once")
    prepare_threshold(url)
    if url.query.get("connect_timeout"):
        _whole_number(url, "connect_timeout", "a whole number of seconds")
    try:
        psycopg_dialect.dialect().create_connect_args(url)  # type: ignore[no-untyped-call]  # of SQLAlchemy
    except ArgumentError:
        raise InvalidValueError(
            "host and port of the database URL", "no servers", "such as host=one,two&port=5432,5433"
        ) from None
    if pooler and url.query.get("options"):
        # A pooler that ignores them would redirect reads to unintended schemas.
        raise InvalidValueError(
            "options of the database URL",
            "given",
            "left out with pooler=True: in transaction mode no session keeps them",
        )


def prepare_threshold(url: sa.URL) -> int | None:
    """Return how often a statement runs before the driver prepares it, or None for never.

    Raises:
        InvalidValueError: The option is neither a whole number nor `none`.
    """
    text = url.query.get("prepare_threshold", "")
    if text in ("none", ""):
        return None
    return _whole_number(url, "prepare_threshold", "a whole number, or none")


def _whole_number(url: sa.URL, name: str, expected: str) -> int:
    text = str(url.query[name])
    if not (text.isascii() and text.isdecimal() and len(text) < _MOST_DIGITS):
        raise InvalidValueError(f"{name} of the database URL", text, expected)
    return int(text)


_MOST_DIGITS = 10
