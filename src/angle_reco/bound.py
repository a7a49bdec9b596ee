"""Calls bound to an actor."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

import attrs

from angle_reco.domain.ids import UserId, UserRef
from angle_reco.domain.policies import SYSTEM, Actor, SignedIn
from angle_reco.ports.deadlines import deadline
from angle_reco.wiring import UseCases

_P = ParamSpec("_P")
_T = TypeVar("_T")


@attrs.frozen(repr=False)
class Bound:
    """The use cases, bound to the actor who calls them."""

    _use_cases: UseCases
    actor: Actor

    def __repr__(self) -> str:
        # The user's id is left out: a repr ends up in logs and error reports.
        actor = "signed in" if isinstance(self.actor, SignedIn) else self.actor.name
        return f"{type(self).__name__}({actor})"

    def _asked(
        self, use_case: Callable[Concatenate[Actor, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Call a use case as the actor, within the deadline."""
        with deadline(self._use_cases.seconds_a_call):
            return use_case(self.actor, *args, **kwargs)

    def _owner(self, of: UserRef | None) -> UserId | None:
        """Return the user whose results are read.

        The id is checked here for the system only: for any other actor the use case checks
        access first, so that an error about the id discloses nothing.
        """
        if self.actor is SYSTEM:
            return self._use_cases.ids.user_id(of)
        if of is not None:
            return UserId(of)
        return self.actor.user_id if type(self.actor) is SignedIn else None
