"""The policy is the table of the documentation, and denies all else."""

import copy
import json
import pickle
import random
from collections.abc import Callable
from enum import Enum
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import attrs
import pytest

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import UserId
from angle_reco.domain.policies import (
    ANONYMOUS,
    INSPECT_USERS,
    MANAGE_RECOMMENDATIONS,
    POLICY,
    SYSTEM,
    Action,
    Actor,
    Resource,
    SignedIn,
    WithoutId,
    is_allowed,
    is_inspection,
)

ANNA, BEN = UserId("anna"), UserId("ben")
MANAGE, INSPECT = MANAGE_RECOMMENDATIONS, INSPECT_USERS
anna = SignedIn(ANNA)

READ_HOMEPAGE = (Action.READ, Resource.HOMEPAGE)
RUN_JOBS = (Action.RUN, Resource.JOBS)


def oracle(actor: object, action: object, resource: object, owner: object, held: set[str]) -> bool:
    """Say who may do what, in sentences and not by the table."""
    kinds = {"interests", "a homepage", "suggestions after a bid", "sign-ins"}
    if type(action) is not Action or type(resource) is not Resource:
        return False
    verb, what = action.value, resource.value
    is_user = type(actor) is SignedIn
    is_somebodys = owner in ("anna", "ben", "ANNA", UUID(int=7)) or (
        type(owner) is int and owner in (1, 7)
    )
    owns = isinstance(actor, SignedIn) and is_somebodys and repr(actor.user_id) == repr(owner)
    # Everybody looks at what is public.
    if verb == "read" and what in {"similar items", "popular items"}:
        return actor is SYSTEM or actor is ANONYMOUS or is_user
    # What is about a user is read by themselves, the system, and those who may inspect.
    if verb == "read" and what in kinds:
        return is_somebodys and (actor is SYSTEM or owns or (is_user and {MANAGE, INSPECT} <= held))
    # Only they and the system take a copy of it away.
    if verb == "export" and what == "a user":
        return is_somebodys and (actor is SYSTEM or owns)
    # They, managers and the system have it removed.
    if verb == "erase" and what == "a user":
        return is_somebodys and (actor is SYSTEM or owns or (is_user and MANAGE in held))
    # Managers and the system run the place.
    managed = {
        "write": {"interests", "a homepage", "similar items"},
        "run": {"jobs"},
        "clear": {"caches"},
        "read": {"stats", "health", "runs"},
    }
    if what in managed.get(verb, ()):
        return actor is SYSTEM or (is_user and MANAGE in held)
    return False


class OtherAction(Enum):
    """Actions of somebody else's."""

    READ = "read"


FORGED: list[Any] = [
    None,
    "system",
    SYSTEM.name,
    {"name": "system"},
    SimpleNamespace(user_id=ANNA, name="system", kind="system"),
    WithoutId("system"),
    WithoutId("anonymous"),
    copy.copy(SYSTEM),
    copy.deepcopy(SYSTEM),
    pickle.loads(pickle.dumps(SYSTEM)),
    attrs.evolve(SYSTEM),
    SignedIn,
    True,
]
OWNERS: list[Any] = [
    *(None, "", "anna", "ben", "ANNA", 7, True, 1, 1.0, b"anna", "a\x00", "\ud800", ["anna"]),
    *(UUID(int=7), {"anna"}, float("nan"), 2**64),
]


def test_ten_thousand_decisions_are_those_of_the_sentences() -> None:
    chance = random.Random(20260601)
    actors: list[Any] = [
        *(ANONYMOUS, SYSTEM, anna, SignedIn(UserId("ben")), SignedIn(UserId(1))),
        *(SignedIn(UserId(7)), SignedIn(UserId(UUID(int=7)))),
    ]
    actions: list[Any] = [*Action, "read", None, OtherAction.READ, ["read"]]
    resources: list[Any] = [*Resource, "a homepage", None, {}]
    allowed = 0
    for _ in range(10_000):
        forges, is_odd = chance.random() < 0.2, chance.random() < 0.1
        actor = chance.choice(FORGED if forges else actors)
        action, resource = (
            (chance.choice(actions), chance.choice(resources))
            if is_odd
            else chance.choice(list(POLICY))
        )
        owner = chance.choice(OWNERS)
        held = set(chance.sample([MANAGE, INSPECT, "else"], chance.randrange(4)))

        found = is_allowed(
            actor,
            action,
            resource,
            owner=owner,
            is_permitted=lambda _, name: name in held,  # noqa: B023 — called at once
        )

        expected = oracle(actor, action, resource, owner, held)
        assert found is expected, (actor, action, resource, owner, held)
        allowed += found
    assert 1_000 < allowed < 9_000


def may(actor: Actor, what: tuple[Action, Resource], owner: object = None, *held: str) -> bool:
    """Return whether an actor with these permissions may do something."""
    return is_allowed(actor, *what, owner=owner, is_permitted=lambda _, name: name in held)


@pytest.mark.parametrize("actor", FORGED)
@pytest.mark.parametrize("what", POLICY)
def test_a_forged_actor_may_nothing(actor: Any, what: tuple[Action, Resource]) -> None:
    assert not may(actor, what, ANNA, MANAGE, INSPECT)


class Sneaky(SignedIn):
    """An actor whose id is whatever is asked for."""


def test_an_actor_of_another_class_is_nobody() -> None:
    assert not may(Sneaky(ANNA), READ_HOMEPAGE, ANNA)


@pytest.mark.parametrize("value", json.loads('["", true, null, 1.5, [], {"$ne": null}]'))
def test_no_user_is_made_of_what_is_no_id(value: Any) -> None:
    with pytest.raises(InvalidValueError, match="user id of an actor is"):
        SignedIn(value)


@pytest.mark.parametrize("actor", [anna, ANONYMOUS, SYSTEM])
@pytest.mark.parametrize("what", [what for what, rule in POLICY.items() if rule.is_personal])
@pytest.mark.parametrize("owner", [None, "", True, float("nan"), []])
def test_what_belongs_to_nobody_is_denied_to_all(
    actor: Actor, what: tuple[Action, Resource], owner: object
) -> None:
    assert not may(actor, what, owner, MANAGE, INSPECT)


@pytest.mark.parametrize("what", [what for what, rule in POLICY.items() if rule.is_personal])
def test_an_actor_that_has_lost_its_id_owns_nothing(what: tuple[Action, Resource]) -> None:
    actor = SignedIn(ANNA)
    object.__setattr__(actor, "user_id", None)

    assert not may(actor, what, None)


class Name(str):
    """A text as frameworks hand it around."""

    __slots__ = ()


def test_a_text_is_the_same_id_whatever_its_class() -> None:
    assert may(SignedIn(UserId(Name("anna"))), READ_HOMEPAGE, "anna")
    assert may(anna, READ_HOMEPAGE, Name("anna"))


@pytest.mark.parametrize(
    ("mine", "other"), [(1, True), (1, 1.0), (7, "7"), ("7", 7), (UUID(int=7), 7), ("a", "A")]
)
def test_ids_of_another_kind_or_case_are_not_ones_own(mine: object, other: object) -> None:
    assert may(SignedIn(UserId(mine)), READ_HOMEPAGE, mine)
    assert not may(SignedIn(UserId(mine)), READ_HOMEPAGE, other)


def asked_for(actor: Actor, what: tuple[Action, Resource], owner: object = None) -> list[str]:
    """Return which permissions are looked up, all of which are held."""
    asked: list[str] = []

    def is_permitted(_: UserId, name: str) -> bool:
        asked.append(name)
        return True

    is_allowed(actor, *what, owner=owner, is_permitted=is_permitted)
    return asked


@pytest.mark.parametrize(
    ("actor", "what", "owner", "asked"),
    [
        (anna, (Action.READ, Resource.POPULAR_ITEMS), BEN, []),
        (anna, READ_HOMEPAGE, ANNA, []),
        (anna, READ_HOMEPAGE, BEN, [MANAGE, INSPECT]),
        (anna, READ_HOMEPAGE, None, []),
        (anna, (Action.EXPORT, Resource.USER), BEN, []),
        (anna, (Action.ERASE, Resource.USER), ANNA, []),
        (anna, (Action.ERASE, Resource.USER), BEN, [MANAGE]),
        (anna, RUN_JOBS, None, [MANAGE]),
        (anna, (Action.READ, Resource.STATS), ANNA, [MANAGE]),
        (ANONYMOUS, READ_HOMEPAGE, ANNA, []),
        (ANONYMOUS, RUN_JOBS, None, []),
        (SYSTEM, READ_HOMEPAGE, ANNA, []),
        (SYSTEM, RUN_JOBS, None, []),
    ],
)
def test_permissions_are_looked_up_only_where_they_decide(
    actor: Actor, what: tuple[Action, Resource], owner: object, asked: list[str]
) -> None:
    assert asked_for(actor, what, owner) == asked


def test_permissions_are_looked_up_for_the_actor() -> None:
    asked = set()

    def is_permitted(user_id: UserId, _: str) -> bool:
        asked.add(user_id)
        return True

    is_allowed(anna, *READ_HOMEPAGE, owner=BEN, is_permitted=is_permitted)

    assert asked == {ANNA}


@pytest.mark.parametrize("answer", [None, 1, "yes", object()])
def test_only_true_is_a_permission(answer: object) -> None:
    is_permitted = cast(
        "Callable[[UserId, str], bool]", lambda _user, _name: answer
    )  # a host's own

    assert not is_allowed(anna, *RUN_JOBS, is_permitted=is_permitted)


def test_an_error_of_the_lookup_is_the_callers_to_handle() -> None:
    def is_permitted(_user: UserId, _name: str) -> bool:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        is_allowed(anna, *RUN_JOBS, is_permitted=is_permitted)


@pytest.mark.parametrize("what", POLICY)
def test_inspecting_is_reading_what_is_another_users(what: tuple[Action, Resource]) -> None:
    reads_people = what[0] is Action.READ and POLICY[what].is_personal

    assert is_inspection(anna, *what, BEN) is reads_people
    assert not is_inspection(anna, *what, ANNA)
    assert not is_inspection(SYSTEM, *what, BEN)


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        cast("dict[Any, Any]", POLICY)[RUN_JOBS] = POLICY[READ_HOMEPAGE]  # read-only to mypy
