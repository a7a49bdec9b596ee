"""Who may do what: one table decides, and what it does not name is denied."""

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
    """A signed-in user who asks for something."""

    user_id: UserId = attrs.field(converter=_id_of_actor)


@attrs.frozen(eq=False)
class WithoutId:
    """An actor who is no user: ANONYMOUS or SYSTEM.

    Those two are the only ones. One that is made or copied, from whatever input, is
    nobody, who may do nothing.
    """

    name: str

    @property
    def user_id(self) -> None:
        """Return no id."""
        return


Actor: TypeAlias = SignedIn | WithoutId
"""Whoever asks for something."""

ANONYMOUS: Final = WithoutId("anonymous")
"""A visitor."""

SYSTEM: Final = WithoutId("system")
"""The host's own code."""


# Neither these nor the resources are texts: none that somebody sends equals one.
class Action(Enum):
    """What can be done; the value says it in an error."""

    # There is one of each, and every call looks a pair up: an Enum's own is slow.
    __hash__ = object.__hash__

    READ = "read"
    WRITE = "write"
    RUN = "run"
    CLEAR = "clear"
    EXPORT = "export"
    ERASE = "erase"


class Resource(Enum):
    """What it can be done to; the value says it in an error."""

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
    RUNS = "runs"


class Grant(Enum):
    """Whether somebody may; INSPECTING asks for a further permission."""

    YES = "yes"
    NO = "no"
    INSPECTING = "with inspect_users"


class Rule(NamedTuple):
    """Who may do one thing: a row of the table."""

    owner: Grant
    other: Grant
    anonymous: Grant
    manager: Grant
    system: Grant

    @property
    def is_personal(self) -> bool:
        """Return whether it is about what belongs to somebody."""
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
    (Action.READ,   Resource.RUNS):          Rule(_NO,   _NO,   _NO,       _YES,         _YES),
})
# fmt: on
"""Who may do what. Managers hold manage_recommendations; to what is their own, and to what
everybody may do, the other columns apply to them as to all."""

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

    *is_permitted* answers whether a user holds a permission; it is asked only where its
    answer decides. What should have an owner and has none that could be one is denied to
    all: it belongs to nobody.
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
    """Return whether a user who may do this does so only by the permission to inspect."""
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
    # Of one kind, too: 1, True and 1.0 are equal, and not the same id.
    one = plain_id(owner)
    mine: object = actor.user_id
    return one is not None and type(one) is type(mine) and one == mine
