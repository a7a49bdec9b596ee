from typing import Any

import numpy as np
import pytest

from angle_reco.domain.errors import InvalidValueError, shown
from angle_reco.domain.validators import whole


@pytest.mark.parametrize("value", [0, 1, 10])
def test_a_whole_number_in_the_bounds_is_itself(value: int) -> None:
    assert whole(value, "limit", least=0, most=10) == value


@pytest.mark.parametrize(
    "value",
    [-1, 11, True, False, 1.0, "1", None, float("nan"), float("inf"), np.int64(1), 10**5_000],
    ids=shown,
)
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"^limit is .* a whole number from 0 to 10$"):
        whole(value, "limit", least=0, most=10)


def test_there_need_not_be_a_largest_one() -> None:
    with pytest.raises(InvalidValueError, match="limit is 0, but should be a whole number of at"):
        whole(0, "limit", least=1)
