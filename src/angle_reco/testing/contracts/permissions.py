"""What every `Permissions` promises."""

from typing import Protocol

import pytest

from angle_reco.domain.ids import IdKind, UserId
from angle_reco.ports.permissions import Permissions
from angle_reco.testing.contracts.samples import EveryIdKind, Sample

_NAME = "manage_recommendations"
_OTHER = "inspect_users"


class Grants(Protocol):
    """The host's side of a `Permissions` under test: where it gives and takes them."""

    @property
    def permissions(self) -> Permissions:
        """Return the port under test."""
        ...

    def grant(self, user_id: UserId, name: str) -> None:
        """Let a user hold a permission."""
        ...

    def revoke(self, user_id: UserId, name: str) -> None:
        """Take a permission away."""
        ...


class PermissionsContract(EveryIdKind):
    """The promises of `Permissions`; a subclass brings the *host* that grants them."""

    @pytest.fixture
    def host(self, sample: Sample) -> Grants:
        """Return a host that knows the users of the sample, of whom none holds anything."""
        pytest.fail("override this fixture")

    def test_nobody_holds_what_was_not_granted(self, host: Grants, sample: Sample) -> None:
        assert not any(host.permissions.holds(one, _NAME) for one in sample.users)

    def test_who_was_granted_it_holds_it(self, host: Grants, sample: Sample) -> None:
        host.grant(sample.users[0], _NAME)

        assert host.permissions.holds(sample.users[0], _NAME) is True

    def test_a_permission_is_one_users_alone(self, host: Grants, sample: Sample) -> None:
        for granted in sample.users:
            host.grant(granted, _NAME)
            holders = [one for one in sample.users if host.permissions.holds(one, _NAME)]
            host.revoke(granted, _NAME)

            assert holders == [granted]

    def test_one_permission_is_not_another(self, host: Grants, sample: Sample) -> None:
        host.grant(sample.users[0], _NAME)

        assert host.permissions.holds(sample.users[0], _OTHER) is False
        assert host.permissions.holds(sample.users[0], _NAME.upper()) is False
        assert host.permissions.holds(sample.users[0], "") is False

    def test_a_user_whose_id_is_written_in_another_case_is_another(
        self, host: Grants, sample: Sample
    ) -> None:
        if sample.ids.user is IdKind.TEXT:
            host.grant(UserId("ann"), _NAME)

            assert host.permissions.holds(UserId("ann"), _NAME) is True
            assert host.permissions.holds(UserId("Ann"), _NAME) is False
            assert host.permissions.holds(UserId("ann "), _NAME) is False

    def test_a_permission_that_is_held_in_another_case_is_another(
        self, host: Grants, sample: Sample
    ) -> None:
        host.grant(sample.users[0], _NAME.upper())

        assert host.permissions.holds(sample.users[0], _NAME) is False

    def test_an_unknown_user_holds_none(self, host: Grants, sample: Sample) -> None:
        host.grant(sample.users[0], _NAME)

        assert host.permissions.holds(sample.unknown_user, _NAME) is False

    def test_the_answer_is_never_remembered(self, host: Grants, sample: Sample) -> None:
        answers = [host.permissions.holds(sample.users[0], _NAME)]
        host.grant(sample.users[0], _NAME)
        answers.append(host.permissions.holds(sample.users[0], _NAME))
        host.revoke(sample.users[0], _NAME)
        answers.append(host.permissions.holds(sample.users[0], _NAME))

        assert answers == [False, True, False]
