from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain import (
    ANONYMOUS,
    INSPECT_USERS,
    MANAGE_RECOMMENDATIONS,
    POLICY,
    SYSTEM,
    Action,
    Actor,
    ActorKind,
    UserId,
    is_allowed,
)

ANNA, BEN = UserId("anna"), UserId("ben")
MANAGE, INSPECT = MANAGE_RECOMMENDATIONS, INSPECT_USERS

holdings = st.sets(st.sampled_from([MANAGE, INSPECT, "something_else"]))
owners = st.sampled_from([None, ANNA, BEN])
actors = st.sampled_from([ANONYMOUS, SYSTEM, Actor(kind=ActorKind.USER, user_id=ANNA)])


def oracle(actor: Actor, action: Action, owner: UserId | None, held: set[str]) -> bool:
    """Return what the table of the specification says, read row by row."""
    is_system = actor.kind is ActorKind.SYSTEM
    is_user = actor.kind is ActorKind.USER
    if action is Action.READ_PUBLIC:
        return True
    if action is Action.READ_PERSONAL:
        is_owner = is_user and owner is not None and owner == actor.user_id
        return is_system or is_owner or (is_user and {MANAGE, INSPECT} <= held)
    return is_system or (is_user and MANAGE in held)


@given(actor=actors, action=st.sampled_from(Action), owner=owners, held=holdings)
def test_it_is_the_table_of_the_specification(
    actor: Actor, action: Action, owner: UserId | None, held: set[str]
) -> None:
    def is_permitted(user_id: UserId, name: str) -> bool:
        return user_id == ANNA and name in held

    found = is_allowed(actor, action, owner=owner, is_permitted=is_permitted)

    assert found is oracle(actor, action, owner, held)


@pytest.mark.parametrize("actor", [ANONYMOUS, Actor(kind=ActorKind.USER, user_id=ANNA)])
def test_what_belongs_to_nobody_is_nobodys_own(actor: Actor) -> None:
    assert not is_allowed(
        actor, Action.READ_PERSONAL, owner=None, is_permitted=lambda _user, _name: False
    )


def asked_for(actor: Actor, action: Action, owner: UserId | None = None) -> list[str]:
    """Return which permissions are looked up, all of which are held."""
    asked: list[str] = []

    def is_permitted(_: UserId, name: str) -> bool:
        asked.append(name)
        return True

    is_allowed(actor, action, owner=owner, is_permitted=is_permitted)
    return asked


anna = Actor(kind=ActorKind.USER, user_id=ANNA)


@pytest.mark.parametrize(
    ("actor", "action", "owner", "asked"),
    [
        (anna, Action.READ_PUBLIC, BEN, []),
        (anna, Action.READ_PERSONAL, ANNA, []),
        (anna, Action.READ_PERSONAL, BEN, [MANAGE, INSPECT]),
        (anna, Action.RUN_JOBS, None, [MANAGE]),
        (anna, Action.READ_STATS, ANNA, [MANAGE]),
        (ANONYMOUS, Action.READ_PERSONAL, ANNA, []),
        (ANONYMOUS, Action.RUN_JOBS, None, []),
        (SYSTEM, Action.READ_PERSONAL, ANNA, []),
        (SYSTEM, Action.RUN_JOBS, None, []),
    ],
)
def test_permissions_are_looked_up_only_where_they_decide(
    actor: Actor, action: Action, owner: UserId | None, asked: list[str]
) -> None:
    assert asked_for(actor, action, owner) == asked


def test_permissions_are_looked_up_for_the_actor() -> None:
    asked = set()

    def is_permitted(user_id: UserId, _: str) -> bool:
        asked.add(user_id)
        return True

    is_allowed(anna, Action.READ_PERSONAL, owner=BEN, is_permitted=is_permitted)

    assert asked == {ANNA}


@pytest.mark.parametrize("answer", [None, 1, "yes", object()])
def test_only_true_is_a_permission(answer: object) -> None:
    is_permitted = cast(
        "Callable[[UserId, str], bool]", lambda _user, _name: answer
    )  # a host's own

    assert not is_allowed(anna, Action.RUN_JOBS, is_permitted=is_permitted)


@pytest.mark.parametrize("actor", [anna, ANONYMOUS, SYSTEM])
def test_an_unknown_action_is_denied(actor: Actor) -> None:
    unknown = cast("Action", "erase everything")  # not one of ours

    assert not is_allowed(actor, unknown, owner=ANNA, is_permitted=lambda _user, _name: True)


def test_every_action_has_a_row() -> None:
    assert set(POLICY) == set(Action)


def test_an_error_of_the_lookup_is_the_callers_to_handle() -> None:
    def is_permitted(_user: UserId, _name: str) -> bool:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        is_allowed(anna, Action.RUN_JOBS, is_permitted=is_permitted)


def test_only_a_user_has_an_id() -> None:
    for kind, user_id in (
        (ActorKind.USER, None),
        (ActorKind.SYSTEM, ANNA),
        (ActorKind.ANONYMOUS, ANNA),
    ):
        with pytest.raises(ValueError, match="a user has an id"):
            Actor(kind=kind, user_id=user_id)
