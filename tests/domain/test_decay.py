from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import DAY, HOUR
from angle_reco.domain.scoring.decay import Decay, DecaySteps, HalfLife, decayed
from angle_reco.testing import plain

ages = st.timedeltas(timedelta(days=-400), timedelta(days=4_000))
decays = st.one_of(
    st.just(DecaySteps()),
    st.lists(st.integers(0, 400), unique=True, max_size=5).flatmap(
        lambda days: st.builds(
            DecaySteps,
            upper_days=st.just(tuple(sorted(days))),
            weights=st.tuples(*[st.integers(0, ONE)] * len(days)),
            beyond=st.integers(0, ONE),
        )
    ),
    st.builds(HalfLife, span=st.timedeltas(timedelta(hours=1), timedelta(days=60))),
    st.builds(HalfLife, span=st.integers(1, 1_000).map(lambda hours: timedelta(hours=hours))),
)


def micros(age: timedelta) -> int:
    return age // timedelta(microseconds=1)


def counted(decay: Decay, *ages: int) -> list[int]:
    found: list[int] = decayed(decay, np.array(ages, np.int64)).tolist()
    return found


@given(decay=decays, some=st.lists(ages, max_size=8))
def test_it_is_the_plain_rule(decay: Decay, some: list[timedelta]) -> None:
    found = counted(decay, *map(micros, some))

    assert found == [plain.decayed(age, decay) for age in some]


@given(
    decay=st.just(DecaySteps()) | st.builds(HalfLife, span=st.just(timedelta(days=3))),
    data=st.data(),
)
def test_an_older_interaction_never_weighs_more(decay: Decay, data: st.DataObject) -> None:
    younger, older = sorted((data.draw(ages), data.draw(ages)))

    first, second = counted(decay, micros(younger), micros(older))

    assert ONE >= first >= second >= 0


@pytest.mark.parametrize(
    ("age", "weight"),
    [
        (-400 * DAY, ONE),
        (-1, ONE),
        (0, ONE),
        (7 * DAY, ONE),
        (8 * DAY - 1, ONE),
        (8 * DAY, 700_000),
        (30 * DAY, 700_000),
        (31 * DAY - 1, 700_000),
        (31 * DAY, 400_000),
        (90 * DAY, 400_000),
        (91 * DAY - 1, 400_000),
        (91 * DAY, 100_000),
        (36_500 * DAY, 100_000),
    ],
)
def test_the_classic_steps_have_these_borders(age: int, weight: int) -> None:
    assert counted(DecaySteps(), age) == [weight]


@pytest.mark.parametrize(
    ("age", "weight"),
    [
        (-DAY, ONE),
        (0, ONE),
        (HOUR - 1, ONE),
        (HOUR, 971_532),
        (DAY - 1, 514_651),  # 23 whole hours
        (DAY, 500_000),
        (6 * DAY, 15_625),
        (7 * DAY, 7_813),  # 7,812.5
        (8 * DAY, 3_906),  # 3,906.25
        (20 * DAY, 1),
        (21 * DAY, 0),
        (36_500 * DAY, 0),
    ],
)
def test_a_half_life_of_a_day_counts_whole_hours(age: int, weight: int) -> None:
    assert counted(HalfLife(span=timedelta(days=1)), age) == [weight]


@given(span=st.integers(1, 2_000))
def test_the_seventh_half_life_is_an_exact_half_and_rounded_up(span: int) -> None:
    half_life = HalfLife(span=timedelta(hours=span))

    assert counted(half_life, 7 * span * HOUR) == [7_813]


def test_nothing_has_no_weight_of_its_own() -> None:
    assert counted(DecaySteps()) == []
    assert counted(HalfLife(span=timedelta(hours=1))) == []


def test_steps_may_reach_further_than_any_age_or_be_none_at_all() -> None:
    assert counted(DecaySteps(upper_days=(7, 30, 10**30)), 31 * DAY) == [400_000]
    assert counted(DecaySteps(upper_days=(), weights=(), beyond=5), 8 * DAY) == [5]


@pytest.mark.parametrize(
    "wrong",
    [
        {"upper_days": (30, 7, 90)},
        {"upper_days": (7, 7, 90)},
        {"upper_days": (-1, 7, 90)},
        {"upper_days": (7.0, 30, 90)},
        {"upper_days": (False, 30, 90)},
        {"upper_days": (7, None, 90)},
        {"upper_days": (7, float("nan"), 90)},
        {"upper_days": (7, 30)},
        {"upper_days": [7, 30, 90]},
        {"weights": [ONE, 700_000, 400_000]},
        {"weights": (ONE, 700_000)},
        {"weights": (ONE, 700_000, -1)},
        {"weights": (ONE + 1, 700_000, 0)},
        {"weights": (True, 700_000, 0)},
        {"weights": (1.0, 0.7, 0.4)},
        {"beyond": -1},
        {"beyond": ONE + 1},
        {"beyond": None},
        {"beyond": True},
    ],
    ids=str,
)
def test_steps_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match="decay is"):
        DecaySteps(**wrong)


@pytest.mark.parametrize(
    "span",
    [
        timedelta(0),
        timedelta(hours=-1),
        timedelta(hours=1) - timedelta(microseconds=1),
        timedelta(days=3_650, microseconds=1),
        timedelta.max,
    ],
    ids=str,
)
def test_half_lives_have_their_bounds(span: timedelta) -> None:
    with pytest.raises(InvalidValueError, match="from an hour to ten years"):
        HalfLife(span=span)
