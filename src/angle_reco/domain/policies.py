"""The access policy: one table says who may do what, and any pair not in it is denied."""

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

import attrs

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import UserId, plain_id

MANAGE_RECOMMENDATIONS = "manage_recommendations"
INSPECT_USERS = "inspect_users"


def _id_of_actor(value: object) -> UserId:
    one = plain_id(value)
    if one is None:
        raise InvalidValueError("user id of an actor", value, "an id")
    return UserId(one)


@attrs.frozen
class SignedIn:
    """A signed-in user as an actor."""

    user_id: UserId = attrs.field(converter=_id_of_actor)


@attrs.frozen(eq=False)
class WithoutId:
    """An actor without a user id: ANONYMOUS or SYSTEM.

    `is_allowed` compares by identity, so any other instance, created or copied from
    whatever input, may do nothing.
    """

    name: str

    @property
    def user_id(self) -> None:
        """Return None: there is no id."""
        return


Actor: TypeAlias = SignedIn | WithoutId
"""The caller on whose behalf the library acts."""

ANONYMOUS: Final = WithoutId("anonymous")
"""A visitor."""

SYSTEM: Final = WithoutId("system")
"""The host's own code."""


# These and the resources are no strings, so that no text from outside equals one.
class Action(Enum):
    """An action on a resource; errors show the value."""

    # Members are singletons, and every call looks up a pair: the hash of Enum is slow.
    __hash__ = object.__hash__

    READ = "read"
    WRITE = "write"
    RUN = "run"
    CLEAR = "clear"
    EXPORT = "export"
    ERASE = "erase"


class Resource(Enum):
    """The object of an action; errors show the value."""

    __hash__ = object.__hash__

    INTERESTS = "interests"
    HOMEPAGE = "a homepage"
    AFTER_BID = "suggestions after a bid"
    SIGN_INS = "sign-ins"
    SIMILAR_ITEMS = "similar items"
    POPULAR_ITEMS = "popular items"
    USER = "a user"
    JOBS = "jobs"
    CACHES = "caches"
    STATS = "stats"
    HEALTH = "health"


class Grant(Enum):
    """Whether an actor may; INSPECTING requires a further permission (`INSPECT_USERS`)."""

    YES = "yes"
    NO = "no"
    INSPECTING = "with inspect_users"


class Rule(NamedTuple):
    """A row of the table: who may do one action to one resource."""

    owner: Grant
    other: Grant
    anonymous: Grant
    manager: Grant
    system: Grant

    @property
    def is_personal(self) -> bool:
        """Return whether the resource belongs to a user."""
        return self.owner is not self.other


_YES, _NO, _INSPECTING = Grant.YES, Grant.NO, Grant.INSPECTING

# fmt: off
POLICY: Final[Mapping[tuple[Action, Resource], Rule]] = MappingProxyType({
    #                                               owner  other  anonymous  manager       system
    (Action.READ,   Resource.INTERESTS):     Rule(_YES,  _NO,   _NO,       _INSPECTING,  _YES),
    (Action.READ,   Resource.HOMEPAGE):      Rule(_YES,  _NO,   _NO,       _INSPECTING,  _YES),
    (Action.READ,   Resource.AFTER_BID):     Rule(_YES,  _NO,   _NO,       _INSPECTING,  _YES),
    (Action.READ,   Resource.SIGN_INS):      Rule(_YES,  _NO,   _NO,       _INSPECTING,  _YES),
    (Action.EXPORT, Resource.USER):          Rule(_YES,  _NO,   _NO,       _NO,          _YES),
    (Action.ERASE,  Resource.USER):          Rule(_YES,  _NO,   _NO,       _YES,         _YES),
    (Action.READ,   Resource.SIMILAR_ITEMS): Rule(_YES,  _YES,  _YES,      _YES,         _YES),
    (Action.READ,   Resource.POPULAR_ITEMS): Rule(_YES,  _YES,  _YES,      _YES,         _YES),
    (Action.WRITE,  Resource.INTERESTS):     Rule(_NO,   _NO,   _NO,       _YES,         _YES),
    (Action.WRITE,  Resource.HOMEPAGE):      Rule(_NO,   _NO,   _NO,       _YES,         _YES),
    (Action.WRITE,  Resource.SIMILAR_ITEMS): Rule(_NO,   _NO,   _NO,       _YES,         _YES),
    (Action.RUN,    Resource.JOBS):          Rule(_NO,   _NO,   _NO,       _YES,         _YES),
    (Action.CLEAR,  Resource.CACHES):        Rule(_NO,   _NO,   _NO,       _YES,         _YES),
    (Action.READ,   Resource.STATS):         Rule(_NO,   _NO,   _NO,       _YES,         _YES),
    (Action.READ,   Resource.HEALTH):        Rule(_NO,   _NO,   _NO,       _YES,         _YES),
})
# fmt: on
"""The access policy. Managers hold manage_recommendations; for their own resources, and for
actions that are open to everyone, the other columns apply to them as to all users."""

OWN: Final = frozenset(
    asked for asked, rule in POLICY.items() if rule.is_personal and rule.owner is _YES
)
"""What users may do to what is theirs."""


def is_allowed(
    actor: Actor,
    action: Action,
    resource: Resource,
    *,
    owner: object = None,
    is_permitted: Callable[[UserId, str], bool],
) -> bool:
    """Return whether *actor* may do *action* to a *resource* that belongs to *owner*.

    *is_permitted* returns whether a user holds a permission; it is called only where its
    answer decides. A personal resource without a valid *owner* is denied to all actors.
    """
    rule = _rule(action, resource)
    if rule is None or (rule.is_personal and plain_id(owner) is None):
        return False
    if actor is SYSTEM:
        return rule.system is _YES
    if actor is ANONYMOUS:
        return rule.anonymous is _YES
    if type(actor) is not SignedIn:
        return False
    if (rule.owner if _is_own(actor, owner) else rule.other) is _YES:
        return True
    needed = _NEEDED[rule.manager]
    return bool(needed) and all(is_permitted(actor.user_id, name) is True for name in needed)


def is_inspection(actor: Actor, action: Action, resource: Resource, owner: object) -> bool:
    """Return whether a user needs the permission to inspect users for this."""
    rule = _rule(action, resource)
    return (
        rule is not None
        and rule.manager is _INSPECTING
        and type(actor) is SignedIn
        and not _is_own(actor, owner)
    )


_NEEDED: Mapping[Grant, tuple[str, ...]] = {
    _YES: (MANAGE_RECOMMENDATIONS,),
    _INSPECTING: (MANAGE_RECOMMENDATIONS, INSPECT_USERS),
    _NO: (),
}


def _rule(action: object, resource: object) -> Rule | None:
    if isinstance(action, Action) and isinstance(resource, Resource):
        return POLICY.get((action, resource))
    return None


def _is_own(actor: SignedIn, owner: object) -> bool:
    # The kinds must match, too: 1, True and 1.0 are equal, but not the same id.
    one = plain_id(owner)
    mine: object = actor.user_id
    return type(one) is type(mine) and one == mine
