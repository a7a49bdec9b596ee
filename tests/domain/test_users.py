from datetime import UTC, datetime
from typing import Any

import pytest

from angle_reco.domain.errors import InvalidValueError, shown
from angle_reco.domain.ids import UserId
from angle_reco.domain.users import User

NAIVE = datetime(2026, 1, 31)  # noqa: DTZ001 — naive on purpose
ANNA = UserId("anna")


@pytest.mark.parametrize("name", ["created_at", "last_sign_in_at"])
def test_moments_without_a_time_zone_are_refused(name: str) -> None:
    naive: dict[str, Any] = {name: NAIVE}

    with pytest.raises(InvalidValueError, match=f"{name} is"):
        User(user_id=ANNA, **naive)


@pytest.mark.parametrize("count", [-1, True, 1.0, None, 2**63, 10**5_000, float("nan")], ids=shown)
def test_a_count_of_sign_ins_is_a_whole_number(count: Any) -> None:
    with pytest.raises(InvalidValueError, match="sign_in_count is"):
        User(user_id=ANNA, sign_in_count=count)


def test_a_user_may_be_all_but_unknown() -> None:
    user = User(user_id=ANNA, last_sign_in_at=datetime(2026, 1, 31, tzinfo=UTC))

    assert (user.created_at, user.sign_in_count) == (None, 0)
