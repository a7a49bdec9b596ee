"""Histories, fans and counts of touches: as loops over single touches give them."""

from collections import Counter, defaultdict
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.arrays import Int32s, Int64s
from angle_reco.domain.moments import HOUR
from angle_reco.domain.scoring.blended import model as module
from angle_reco.domain.scoring.blended.model import (
    Coefficients,
    Fans,
    Histories,
    TouchCounts,
)

Touch = tuple[int, int, int]
"""A user, an item, and an hour."""

touches = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(-60, 60)), max_size=40
)
FARTHEST = 2**30


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TOUCHED", 3)
    monkeypatch.setattr(module, "MOST_FANS", 2)


def columns(those: list[Touch]) -> tuple[Int32s, Int32s, Int64s]:
    users, items, hours = (np.array([one[part] for one in those], np.int64) for part in range(3))
    return users.astype(np.int32), items.astype(np.int32), hours


def histories_of(those: list[Touch]) -> Histories:
    users, items, hours = columns(those)
    return Histories.of(users, items, hours * HOUR, count=5)


def plain_histories(those: list[Touch]) -> list[list[tuple[int, int]]]:
    last: dict[int, dict[int, int]] = defaultdict(dict)
    for user, item, hour in those:
        last[user][item] = max(hour, last[user].get(item, hour))
    return [
        sorted(last[user].items(), key=lambda pair: (-pair[1], pair[0]))[:3] for user in range(5)
    ]


def listed(histories: Histories) -> list[list[tuple[int, int]]]:
    return [
        list(zip(*(column.tolist() for column in histories.of_user(user)), strict=True))
        for user in range(len(histories))
    ]


@given(touches)
def test_histories_have_the_newest_items_of_each_user(those: list[Touch]) -> None:
    histories = histories_of(those)

    assert listed(histories) == plain_histories(those)
    assert histories.user.tolist() == [
        user for user, items in enumerate(plain_histories(those)) for _ in items
    ]


@given(those=touches, first=st.integers(0, 5), length=st.integers(0, 9))
def test_a_part_of_histories_is_that_of_its_users(
    those: list[Touch], first: int, length: int
) -> None:
    part = histories_of(those).between(first, first + length)

    assert listed(part) == plain_histories(those)[first : first + length]


@given(those=touches, kinds=st.lists(st.integers(-1, 2), min_size=7, max_size=7))
def test_histories_of_kinds_are_those_of_items_with_one(
    those: list[Touch], kinds: list[int]
) -> None:
    found = histories_of(those).kinds(np.array(kinds, np.int32))

    assert listed(found) == plain_histories(
        [
            (user, kinds[item], hour)
            for user, items in enumerate(plain_histories(those))
            for item, hour in items
            if kinds[item] >= 0
        ]
    )


@given(touches)
def test_fans_are_the_newest_users_of_each_item(those: list[Touch]) -> None:
    fans = Fans.of(histories_of(those), 7)

    users: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for user, items in enumerate(plain_histories(those)):
        for item, hour in items:
            users[item].append((-hour, user))
    bounds = fans.offsets.tolist()
    assert [fans.users[bounds[item] : bounds[item + 1]].tolist() for item in range(7)] == [
        [user for _, user in sorted(users[item])[:2]] for item in range(7)
    ]
    assert fans.sizes.tolist() == [len(items) for items in plain_histories(those)]


def counted(those: list[Touch]) -> TouchCounts:
    users, items, hours = columns(those)
    return TouchCounts.of(users, items.astype(np.int64), hours)


@given(touches)
def test_touches_count_once_a_user_item_and_day_at_the_first_hour(those: list[Touch]) -> None:
    counts = counted(those)

    firsts: dict[tuple[int, int, int], int] = {}
    for user, item, hour in those:
        day = (user, item, hour // 24)
        firsts[day] = min(hour, firsts.get(day, hour))
    expected = Counter((item, hour) for (_, item, _), hour in firsts.items())
    items = counts.ids.hashes[counts.items].tolist()
    assert list(zip(items, counts.hours.tolist(), strict=True)) == sorted(expected)
    assert set(items) == set(counts.ids.hashes.tolist())
    assert counts.counts.tolist() == [expected[one] for one in sorted(expected)]


@given(those=touches, seed=st.integers(0, 2**32))
def test_the_order_of_touches_does_not_matter(those: list[Touch], seed: int) -> None:
    shuffled = list(those)
    Random(seed).shuffle(shuffled)

    assert listed(histories_of(shuffled)) == listed(histories_of(those))
    one, other = counted(shuffled), counted(those)
    for name in ("items", "hours", "counts"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()


def test_touches_within_an_hour_are_in_their_order() -> None:
    """And those of one moment in the order of their codes."""
    users, items = np.zeros(4, np.int32), np.array([5, 0, 4, 3], np.int32)
    moments = HOUR * np.int64(7) + np.array([1, 1, 3, 2])

    histories = Histories.of(users, items, moments, count=1)

    # Three count.
    assert listed(histories) == [[(4, 7), (3, 7), (0, 7)]]


def test_hours_beyond_all_calendars_stay_in_order() -> None:
    """They fit 32 bits, and their distance in microseconds fits 64."""
    far = [(0, 0, -(2**63) // HOUR), (0, 1, 5), (0, 2, (2**63 - 1) // HOUR)]
    users, items = np.zeros(3, np.int32), np.arange(3, dtype=np.int32)
    moments = np.array([-(2**63), 5 * HOUR, 2**63 - 1])

    assert listed(Histories.of(users, items, moments, count=1))[0] == [
        (2, FARTHEST),
        (1, 5),
        (0, -FARTHEST),
    ]
    assert counted(far).hours.tolist() == [-FARTHEST, 5, FARTHEST]
    assert 2 * FARTHEST * 3_600_000_000 < 2**63


@given(
    entries=st.dictionaries(
        st.tuples(st.integers(0, 4), st.integers(0, 4)),
        st.integers(-(2**31), 2**31 - 1),
        max_size=20,
    ),
    weights=st.dictionaries(st.integers(0, 4), st.integers(0, 1_000), max_size=5),
)
def test_spread_sums_weights_times_coefficients(
    entries: dict[tuple[int, int], int], weights: dict[int, int]
) -> None:
    pairs = sorted(entries)
    coefficients = Coefficients(
        offsets=np.searchsorted([source for source, _ in pairs], np.arange(6)),
        targets=np.array([target for _, target in pairs], np.int32),
        values=np.array([entries[pair] for pair in pairs], np.int32),
    )

    targets, values = coefficients.spread(
        np.array([*weights], np.int32), np.array([*weights.values()], np.int64)
    )

    assert [int(values[targets == target].sum()) for target in range(5)] == [
        sum(weight * entries.get((source, target), 0) for source, weight in weights.items())
        for target in range(5)
    ]
