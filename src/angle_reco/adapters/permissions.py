"""Permissions as a callable of the host, or none at all."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context

import attrs

from angle_reco.domain.ids import UserId
from angle_reco.ports.deadlines import time_left

_QUESTIONS_AT_ONCE = 16
"""A host's function that hangs leaves a thread behind; more of them than this are not asked."""


@attrs.frozen
class CallablePermissions:
    """`Permissions` that asks the host's own function `(user_id, name) -> bool`.

    It is asked in a thread of its own, with the caller's context variables, and waited for
    as long as the call at hand has time. A host whose function needs the caller's thread
    brings an adapter of its own.
    """

    ask: Callable[[UserId, str], bool]
    _room: threading.BoundedSemaphore = attrs.field(
        factory=lambda: threading.BoundedSemaphore(_QUESTIONS_AT_ONCE), init=False, eq=False
    )

    def holds(self, user_id: UserId, name: str) -> bool:
        """Return whether the host says True; anything else is no.

        Raises:
            TimeoutError: There was no answer in time.
            Exception: Whatever the host's function raises.
        """
        if not self._room.acquire(blocking=False):
            raise TimeoutError("earlier questions are still without an answer")
        answer: Future[bool] = Future()
        context = copy_context()

        def ask() -> None:
            try:
                answer.set_result(context.run(self.ask, user_id, name))
            except BaseException as error:  # noqa: BLE001 — handed to the one who asked
                answer.set_exception(error)
            finally:
                self._room.release()

        # A daemon: the interpreter does not wait at its exit for one that hangs.
        thread = threading.Thread(target=ask, name="angle-reco-permission", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # There are too many threads already.
            self._room.release()
            raise
        return answer.result(time_left()) is True


class NoPermissions:
    """`Permissions` that nobody holds."""

    def holds(self, user_id: UserId, name: str) -> bool:
        return False
