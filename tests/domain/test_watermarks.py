"""What a run leaves for the next one, and the spans of time that it looks at."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import numpy as np
import pytest

from angle_reco.domain.activity import Interactions
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKind
from angle_reco.domain.moments import to_micros
from angle_reco.domain.scoring.decay import DecaySteps, HalfLife
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.watermarks import (
    Watermark,
    WhyFull,
    digest_of_activity,
    digest_of_users,
    spans_of_steps,
    spans_of_turns,
    usable,
)

NOON = datetime(2026, 6, 1, 12, 0, 0, 123_456, tzinfo=UTC)
HOUR, DAY, TICK = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
KNOWN = Watermark(
    at=NOON,
    started_at=NOON + TICK,
    full_at=NOON - HOUR,
    settings="rules é",
    cursor="sqlite 7 0 0:0:",
    activity="a",
    sign_ins="b",
    scope=3,
    categories={"": "1", "Münzen": "2"},
)


def test_a_text_holds_it() -> None:
    assert Watermark.from_text(KNOWN.to_text()) == KNOWN


@pytest.mark.parametrize(
    "changes",
    [
        {"rules": 2},
        {"at": "noon"},
        {"at": None},
        {"at": 2**80},
        {"more": 1},
        {"started_at": []},
    ],
)
def test_another_text_holds_none(changes: dict[str, Any]) -> None:
    text = json.dumps(json.loads(KNOWN.to_text()) | changes)

    assert Watermark.from_text(text) is None


@pytest.mark.parametrize("name", ["rules", "at", "cursor", "scope"])
def test_a_text_that_lacks_something_holds_none(name: str) -> None:
    values = json.loads(KNOWN.to_text())
    del values[name]

    assert Watermark.from_text(json.dumps(values)) is None


@pytest.mark.parametrize("text", ["", "{", "7", "[1]", "null", '"text"'])
def test_no_object_holds_none(text: str) -> None:
    assert Watermark.from_text(text) is None
    assert usable(text, now=NOON, settings="") is WhyFull.LOST


def test_whether_a_run_can_begin_from_it() -> None:
    text, settings = KNOWN.to_text(), KNOWN.settings

    assert usable(None, now=NOON, settings=settings) is WhyFull.FIRST
    assert usable(text, now=NOON - TICK, settings=settings) is WhyFull.FUTURE
    assert usable(text, now=NOON, settings="others") is WhyFull.SETTINGS
    assert usable(text, now=NOON, settings=settings) == KNOWN


def test_the_first_run_after_two_computes_everything() -> None:
    two = datetime(2026, 6, 2, 2, tzinfo=UTC)

    def at(now: datetime, full_at: datetime) -> Watermark | WhyFull:
        known = attrs.evolve(KNOWN, full_at=full_at, at=full_at)
        return usable(known.to_text(), now=now, settings=KNOWN.settings)

    assert isinstance(at(two - TICK, two - DAY), Watermark)
    assert at(two, two - TICK) is WhyFull.DAILY
    assert isinstance(at(two + DAY - TICK, two), Watermark)
    assert at(two + DAY, two) is WhyFull.DAILY


def test_steps_and_the_window_have_exact_borders() -> None:
    rule = InterestRule(
        decay=DecaySteps(upper_days=(0, 2, 5), weights=(3, 2, 1), beyond=0),
        window=timedelta(days=5, hours=12),
    )

    assert spans_of_steps(NOON, NOON + HOUR, rule) == [
        (NOON - rule.window, NOON + HOUR - rule.window - TICK),
        (NOON - DAY + TICK, NOON + HOUR - DAY),
        (NOON - 3 * DAY + TICK, NOON + HOUR - 3 * DAY),
    ]
    fading = attrs.evolve(rule, decay=HalfLife(span=DAY))
    assert len(spans_of_steps(NOON, NOON + HOUR, fading)) == 1


def test_an_item_turns_now_and_a_week_before_its_end() -> None:
    week = 7 * DAY

    assert spans_of_turns(NOON, NOON + HOUR) == [
        (NOON, NOON + HOUR),
        (NOON + week, NOON + HOUR + week),
    ]


def happened(*rows: tuple[str, str, int, datetime]) -> Interactions:
    users, items, kinds, moments = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Interactions(
        users=IdColumn.of(IdKind.TEXT, users),
        items=IdColumn.of(IdKind.TEXT, items),
        kinds=np.array(kinds, np.int8),
        moments=np.array([to_micros(one) for one in moments], np.int64),
    )


def test_a_digest_depends_on_the_recent_rows_and_not_on_their_order() -> None:
    rows = [("ann", "vase", 0, NOON), ("bob", "vase", 1, NOON + HOUR), ("ann", "lamp", 0, NOON)]
    digest = digest_of_activity(happened(*rows), NOON)

    assert digest_of_activity(happened(*rows[::-1]), NOON) == digest
    old = ("eve", "vase", 0, NOON - TICK)
    assert digest_of_activity(happened(old, *rows), NOON) == digest
    others = [
        rows[:2],
        [*rows, rows[0]],
        [("bob", "vase", 0, NOON), *rows[1:]],
        [("ann", "jug", 0, NOON), *rows[1:]],
        [("ann", "vase", 1, NOON), *rows[1:]],
        [("ann", "vase", 0, NOON + TICK), *rows[1:]],
        [("ann", "vase", 1, NOON), ("bob", "vase", 0, NOON + HOUR), rows[2]],
    ]
    digests = {digest_of_activity(happened(*some), NOON) for some in others}
    assert len(digests | {digest}) == len(others) + 1


def test_a_digest_of_users_does_not_depend_on_their_order() -> None:
    def digest(*users: str) -> str:
        return digest_of_users(IdColumn.of(IdKind.TEXT, users))

    assert digest("ann", "bob") == digest("bob", "ann")
    assert len({digest(), digest("ann"), digest("bob"), digest("ann", "bob")}) == 4
