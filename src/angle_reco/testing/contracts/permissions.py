"""The contract suite of `Permissions`."""

from typing import Protocol

import pytest

from angle_reco.domain.ids import IdKind, UserId
from angle_reco.ports.permissions import Permissions
from angle_reco.testing.contracts.samples import EveryIdKind, Sample

_NAME = "manage_recommendations"
_OTHER = "inspect_users"


class Grants(Protocol):
    """The host behind the `Permissions` under test, which grants and revokes permissions."""

    @property
    def permissions(self) -> Permissions:
        """Return the port under test."""
        ...

    def grant(self, user_id: UserId, name: str) -> None:
        """Grant a permission to a user."""
        ...

    def revoke(self, user_id: UserId, name: str) -> None:
        """Revoke a permission of a user."""
        ...


class PermissionsContract(EveryIdKind):
    """The promises of `Permissions`; a subclass overrides the fixture *host*."""

    @pytest.fixture
    def host(self, sample: Sample) -> Grants:
        """Return a host with the users of the sample, none of which holds a permission."""
        pytest.fail("override this fixture")

    def test_without_a_grant_no_user_holds_a_permission(self, host: Grants, sample: Sample) -> None:
        assert not any(host.permissions.holds(one, _NAME) for one in sample.users)

    def test_a_granted_permission_is_held(self, host: Grants, sample: Sample) -> None:
        host.grant(sample.users[0], _NAME)

        assert host.permissions.holds(sample.users[0], _NAME) is True

    def test_a_grant_is_for_one_user_alone(self, host: Grants, sample: Sample) -> None:
        for granted in sample.users:
            host.grant(granted, _NAME)
            holders = [one for one in sample.users if host.permissions.holds(one, _NAME)]
            host.revoke(granted, _NAME)

            assert holders == [granted]

    def test_a_grant_is_for_one_permission_alone(self, host: Grants, sample: Sample) -> None:
        host.grant(sample.users[0], _NAME)

        assert host.permissions.holds(sample.users[0], _OTHER) is False
        assert host.permissions.holds(sample.users[0], _NAME.upper()) is False
        assert host.permissions.holds(sample.users[0], "") is False

    def test_user_ids_are_compared_exactly(self, host: Grants, sample: Sample) -> None:
        if sample.ids.user is IdKind.TEXT:
            host.grant(UserId("ann"), _NAME)

            assert host.permissions.holds(UserId("ann"), _NAME) is True
            assert host.permissions.holds(UserId("Ann"), _NAME) is False
            assert host.permissions.holds(UserId("ann "), _NAME) is False

    def test_permission_names_are_case_sensitive(self, host: Grants, sample: Sample) -> None:
        host.grant(sample.users[0], _NAME.upper())

        assert host.permissions.holds(sample.users[0], _NAME) is False

    def test_an_unknown_user_holds_no_permission(self, host: Grants, sample: Sample) -> None:
        host.grant(sample.users[0], _NAME)

        assert host.permissions.holds(sample.unknown_user, _NAME) is False

    def test_the_answer_is_never_cached(self, host: Grants, sample: Sample) -> None:
        answers = [host.permissions.holds(sample.users[0], _NAME)]
        host.grant(sample.users[0], _NAME)
        answers.append(host.permissions.holds(sample.users[0], _NAME))
        host.revoke(sample.users[0], _NAME)
        answers.append(host.permissions.holds(sample.users[0], _NAME))

        assert answers == [False, True, False]
