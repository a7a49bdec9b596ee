"""Fork hooks: one registration with Python, which the other modules share."""

import logging
import os
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias
from weakref import WeakSet

_log = logging.getLogger(__name__)

_Act: TypeAlias = Callable[[], object]


class ForkAware(Protocol):
    """An object that a forked child continues to use."""

    def reset_after_fork(self) -> None:
        """Replace locks and drop what belongs to threads: the child has one thread only."""
        ...


def reset_in_child(one: ForkAware) -> None:
    """Call `reset_after_fork` of *one* in every forked child, for as long as *one* exists."""
    _objects.add(one)


def at_fork(
    *, before: _Act | None = None, in_parent: _Act | None = None, in_child: _Act | None = None
) -> None:
    """Call these functions at every fork from now on, in the order of registration.

    *before* is called in the thread that forks, while the others run; *in_parent* after
    the fork, even if it failed; *in_child* before objects start over.
    """
    for acts, act in ((_before, before), (_in_parent, in_parent), (_in_child, in_child)):
        if act is not None:
            acts.append(act)


_objects: WeakSet[ForkAware] = WeakSet()
_before: list[_Act] = []
_in_parent: list[_Act] = []
_in_child: list[_Act] = []


def _call(acts: Iterable[_Act]) -> None:
    for act in acts:
        try:
            act()
        except Exception as error:  # noqa: BLE001 — the fork goes on, and so do the other hooks
            _log.error("fork hook failed: error=%s", type(error).__name__)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=lambda: _call(_before),
        after_in_parent=lambda: _call(_in_parent),
        after_in_child=lambda: _call(
            [*_in_child, *(one.reset_after_fork for one in list(_objects))]
        ),
    )
