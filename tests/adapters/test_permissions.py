"""The permissions keep the contract."""

from typing import Any

import attrs
import pytest

from angle_reco.adapters.permissions import CallablePermissions, NoPermissions
from angle_reco.domain import UserId
from angle_reco.testing.contracts import Grants, PermissionsContract

ANN = UserId("ann")


@attrs.define
class CallableHost:
    """A host that answers from a set."""

    granted: set[tuple[UserId, str]] = attrs.field(factory=set)

    @property
    def permissions(self) -> CallablePermissions:
        return CallablePermissions(lambda user_id, name: (user_id, name) in self.granted)

    def grant(self, user_id: UserId, name: str) -> None:
        self.granted.add((user_id, name))

    def revoke(self, user_id: UserId, name: str) -> None:
        self.granted.remove((user_id, name))


class TestCallablePermissions(PermissionsContract):
    @pytest.fixture
    def host(self) -> Grants:
        return CallableHost()

    @pytest.mark.parametrize("answer", [None, 0, 1, "yes", [True], object()])
    def test_only_true_is_a_yes(self, answer: Any) -> None:
        permissions = CallablePermissions(lambda user_id, name: answer)

        assert permissions.holds(ANN, "manage_recommendations") is False

    def test_an_error_of_the_host_is_not_swallowed_here(self) -> None:
        def ask(user_id: UserId, name: str) -> bool:
            raise ConnectionError

        with pytest.raises(ConnectionError):
            CallablePermissions(ask).holds(ANN, "manage_recommendations")


def test_where_the_host_says_nothing_nobody_holds_anything() -> None:
    assert NoPermissions().holds(ANN, "manage_recommendations") is False
