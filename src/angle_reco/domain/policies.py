"""Who may do what: one table decides, and what it does not name is denied."""

from collections.abc import Callable
from enum import StrEnum

import attrs

from angle_reco.domain.ids import UserId

MANAGE_RECOMMENDATIONS = "manage_recommendations"
INSPECT_USERS = "inspect_users"


class ActorKind(StrEnum):
    """Who asks: a signed-in user, a visitor, or the host's own code."""

    USER = "user"
    ANONYMOUS = "anonymous"
    SYSTEM = "system"


@attrs.frozen(kw_only=True)
class Actor:
    """Whoever asks for something; only a user has an id."""

    kind: ActorKind
    user_id: UserId | None = None

    def __attrs_post_init__(self) -> None:
        if (self.kind is ActorKind.USER) != (self.user_id is not None):
            raise ValueError("a user has an id, and nobody else has")


ANONYMOUS = Actor(kind=ActorKind.ANONYMOUS)
SYSTEM = Actor(kind=ActorKind.SYSTEM)


class Action(StrEnum):
    """Something that is allowed to some; the value says it in an error."""

    READ_PERSONAL = "read personal results"
    READ_PUBLIC = "read public results"
    RUN_JOBS = "run jobs"
    READ_STATS = "read stats"


class Grant(StrEnum):
    """To whom an action can be allowed."""

    OWNER = "owner"
    EVERYBODY = "everybody"
    MANAGER = "manager"
    INSPECTOR = "inspector"
    SYSTEM = "system"


POLICY: dict[Action, frozenset[Grant]] = {
    Action.READ_PERSONAL: frozenset({Grant.OWNER, Grant.INSPECTOR, Grant.SYSTEM}),
    Action.READ_PUBLIC: frozenset({Grant.EVERYBODY}),
    Action.RUN_JOBS: frozenset({Grant.MANAGER, Grant.SYSTEM}),
    Action.READ_STATS: frozenset({Grant.MANAGER, Grant.SYSTEM}),
}


def is_allowed(
    actor: Actor,
    action: Action,
    *,
    owner: UserId | None = None,
    is_permitted: Callable[[UserId, str], bool],
) -> bool:
    """Return whether *actor* may do *action* to what belongs to *owner*.

    *is_permitted* answers whether a user holds a permission; it is asked only where its
    answer decides. What has no owner belongs to nobody.
    """
    grants = POLICY.get(action, frozenset())
    if Grant.EVERYBODY in grants:
        return True
    match actor.kind:
        case ActorKind.SYSTEM:
            return Grant.SYSTEM in grants
        case ActorKind.USER if actor.user_id is not None:
            if Grant.OWNER in grants and owner is not None and owner == actor.user_id:
                return True
            needed = next((names for grant, names in _NEEDED if grant in grants), None)
            return needed is not None and all(
                is_permitted(actor.user_id, name) is True for name in needed
            )
        case _:
            return False


_NEEDED = (
    (Grant.MANAGER, (MANAGE_RECOMMENDATIONS,)),
    (Grant.INSPECTOR, (MANAGE_RECOMMENDATIONS, INSPECT_USERS)),
)
