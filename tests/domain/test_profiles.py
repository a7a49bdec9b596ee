"""The interests in profiles are looked up in a table or by search, which find the same."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.columns import NONE, IdColumn
from angle_reco.domain.ids import IdKind
from angle_reco.domain.scoring import profiles
from angle_reco.domain.scoring.profiles import Profiles

USERS, CATEGORIES = 4, 6
pairs = st.tuples(st.integers(0, USERS - 1), st.integers(NONE, CATEGORIES))


@given(
    known=st.dictionaries(
        st.tuples(st.integers(0, USERS - 1), st.integers(NONE, 3)), st.integers(1, 10**6)
    ),
    asked=st.lists(pairs, max_size=9),
)
def test_interests_are_those_that_are_known(
    known: dict[tuple[int, int], int], asked: list[tuple[int, int]]
) -> None:
    rows = sorted(known.items())
    expected = [
        0 if category == NONE else known.get((user, category), 0) for user, category in asked
    ]

    for most in (0, 1_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(profiles, "_MOST_IN_A_TABLE", most)
            some = Profiles(
                users=IdColumn.of(IdKind.INT, range(USERS)),
                interest_user=np.array([user for (user, _), _ in rows], np.int32),
                interest_category=np.array([category for (_, category), _ in rows], np.int32),
                interest_score=np.array([score for _, score in rows], np.int64),
                excluded_user=np.empty(0, np.int32),
                excluded_row=np.empty(0, np.int32),
            )
            found = some.interest_in(
                np.array([category for _, category in asked], np.int32),
                np.array([user for user, _ in asked], np.int64),
            )

        assert found.tolist() == expected
        assert found.dtype == np.int64
