"""The rule for log lines: constant texts, and behind them fields that tell nothing personal.

A user is a keyed hash, of twelve digits. Everything else is a number, or one of few words.
"""

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.domain.lists import ListKind
from angle_reco.domain.policies import INSPECT_USERS, MANAGE_RECOMMENDATIONS, Resource
from angle_reco.domain.watermarks import WhyFull

ROOT = "angle_reco"

_MESSAGE = re.compile(r"[a-z][a-z ,]*(?:: ([a-z_]+=%(?:s|d|\.3f)(?: [a-z_]+=%(?:s|d|\.3f))*))?")
_FINGERPRINT = re.compile("[0-9a-f]{12}")
_CLASS = re.compile("[A-Z][A-Za-z]*")
_EXPECTED = re.compile(
    "None: the past takes no events"
    "|None: changes are told in memory"
    "|a collection of at most 100,000 ids"
    "|an open Connection or Session of SQLAlchemy, connection of (sqlite3|psycopg 3, psycopg2)"
    " or Django, of the database that the recommender is on \\(an AsyncConnection or AsyncSession"
    " goes to the events of reco\\.aio\\)"
    "|an open AsyncConnection or AsyncSession of SQLAlchemy"
    "|one that takes a statement now|one that is not|one that was rolled back since"
    "|None: the marketplace is in memory"
    "|one whose current_schema\\(\\) is .*"
    "|a UUID"
    "|a text of 1 to 512 printable characters"
    "|an integer of at most 64 bits"
    "|an amount from 0 to [0-9,]+ with at most [0-9] decimals(, as a Decimal or an int)?"
    "|a moment with a time zone, such as 2026-01-31T12:00:00\\+00:00"
)


_PROBLEM = re.compile(
    "raised [A-Z][A-Za-z]*( in [^/]+, line [0-9]+)?"
    "|returned [A-Za-z0-9]+ of [^,]+, but should return integers of \\([0-9]+,\\)"
    "|returned -?[0-9]+ to -?[0-9]+, but should return 0 to 1000000"
    "|depends on more than its depends_on declares, or differs from call to call"
    "|has [0-9]+ bytes, but model_bytes is [0-9]+"
    "|has (no column|values in|offsets in|[0-9]+ values in) [a-z_.]+( [a-z0-9, -]+)?"
    "|was (written by another version|replaced)|is truncated or damaged"
    "|has a row that cannot be read"
    "|component of blended should be one of [a-z_, ]+"
    "|weight of [a-z_]+, in millionths, should be a whole number from 0 to 1000000"
    "|sum of the weights of [a-z ]+ should be (at most 1|above 0)"
)


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and pattern.fullmatch(value) is not None


def _is_among(*words: str) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and value in words


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


_FIELDS: dict[str, Callable[[Any], bool]] = {
    "user": _matches(_FINGERPRINT),
    "actor": _matches(_FINGERPRINT),
    "error": _matches(_CLASS),
    "component": _matches(re.compile("[a-z_0-9, ]+")),
    "problem": _matches(_PROBLEM),
    "message": _matches(re.compile("[a-z_0-9]+")),
    "language": _matches(re.compile("[a-z]{1,8}")),
    "job": _is_among(*BATCH_JOBS),
    "permission": _is_among(MANAGE_RECOMMENDATIONS, INSPECT_USERS),
    "resource": _is_among(*(one.name.lower() for one in Resource)),
    # Not a user's: what a shop shows to everybody.
    "item": lambda value: type(value) is str,
    "why": _is_among(*(one.value for one in WhyFull)),
    "final": lambda value: type(value) is bool,
    "in_time": lambda value: type(value) is bool,
    "kind": _is_among("open_items", *(one.value for one in ListKind)),
    "surface": _is_among("homepage", "similar_items", "after_bid", "popular_items"),
    "thread": _is_among("memory", "open-items", "aio"),
    "event": _is_among(
        *("signed_in", "bid_placed", "bid_withdrawn", "watched", "unwatched", "items_changed"),
        *("AnswerDegraded", "RefreshFailed", "RunFailed", "UserInspected"),
    ),
    "value": _is_among("user id", "item id", "items", "amount", "at", "as_of", "connection"),
    "expected": _matches(_EXPECTED),
    "check": _matches(re.compile("angle_reco\\.E[0-9]{3}")),
    # The host's own names of classes and settings.
    "configuration": lambda value: type(value).__name__ == "ConfigurationError",
    "has_jobs": lambda value: type(value) is bool,
    "labels": _matches(re.compile("[a-z_]+\\.[a-z_]+(,[a-z_]+\\.[a-z_]+)*")),
    **dict.fromkeys(
        (
            "attempt",
            "bids",
            "bytes",
            "changed",
            "dropped",
            "entries",
            "failed",
            "interests",
            "items",
            "left",
            "lists",
            "process",
            "removed",
            "room",
            "looked_at",
            "rows",
            "scope",
            "seconds",
            "sign_ins",
            "suggestions",
            "threads",
            "unchanged",
        ),
        _is_number,
    ),
}
"""Every field that there may be, and what may stand in it."""


def breaks_rule(record: logging.LogRecord) -> str | None:
    """Return what is wrong with a record, None where nothing is."""
    shape = _MESSAGE.fullmatch(record.msg) if type(record.msg) is str else None
    if shape is None:
        return f"no constant text with fields behind: {record.msg!r}"
    if record.exc_info or record.exc_text or record.stack_info:
        return f"a traceback, which says anything: {record.msg!r}"
    names = [field.split("=")[0] for field in (shape[1] or "").split()]
    values = record.args if isinstance(record.args, tuple) else (record.args,)
    if len(names) != len(values or ()):
        return f"not a value for each field: {record.msg!r}"
    for name, value in zip(names, values or (), strict=True):
        if name not in _FIELDS:
            return f"an unknown field: {name}"
        if not _FIELDS[name](value):
            return f"{name} is {value!r}"
    return None


@contextmanager
def listening(heard: Callable[[logging.LogRecord], object]) -> Iterator[None]:
    """Hear every record of ours, as if at DEBUG; all others hear what they would anyway."""
    is_enabled, handle = logging.Logger.isEnabledFor, logging.Logger.handle

    def hears(logger: logging.Logger, level: int) -> bool:
        return _is_ours(logger.name) or is_enabled(logger, level)

    def hear(logger: logging.Logger, record: logging.LogRecord) -> None:
        if _is_ours(record.name):
            heard(record)
            if not is_enabled(logger, record.levelno):
                return
        handle(logger, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.Logger, "isEnabledFor", hears)
        patch.setattr(logging.Logger, "handle", hear)
        yield


def _is_ours(name: str) -> bool:
    return name == ROOT or name.startswith(f"{ROOT}.")
