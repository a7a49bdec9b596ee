"""Permissions by a callable of the host, or none at all."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context

import attrs

from angle_reco.domain.ids import UserId
from angle_reco.ports.deadlines import time_left

_QUESTIONS_AT_ONCE = 16
"""The most calls at once: a host's function that hangs occupies a thread each time."""


@attrs.frozen
class CallablePermissions:
    """`Permissions` that calls the host's function `(user_id, name) -> bool`.

    The function runs in a new thread, with the caller's context variables; the caller waits
    as long as its deadline allows. A host whose function needs the caller's thread provides
    another adapter.
    """

    ask: Callable[[UserId, str], bool]
    _room: threading.BoundedSemaphore = attrs.field(
        factory=lambda: threading.BoundedSemaphore(_QUESTIONS_AT_ONCE), init=False
    )

    def holds(self, user_id: UserId, name: str) -> bool:
        """Return whether the host's function returns True; anything else counts as False.

        Raises:
            TimeoutError: There was no answer in time, or too many calls are unanswered.
            Exception: Any exception of the host's function.
        """
        if not self._room.acquire(blocking=False):
            raise TimeoutError("earlier questions are still without an answer")
        answer: Future[bool] = Future()
        context = copy_context()

        def ask() -> None:
            try:
                answer.set_result(context.run(self.ask, user_id, name))
            except BaseException as error:  # noqa: BLE001 — raised in the calling thread
                answer.set_exception(error)
            finally:
                self._room.release()

        # A daemon, so that the interpreter does not wait at its exit for a call that hangs.
        thread = threading.Thread(target=ask, name="angle-reco-permission", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            # There are too many threads already.
            self._room.release()
            raise
        return answer.result(time_left()) is True


class NoPermissions:
    """`Permissions` that no user holds."""

    def holds(self, user_id: UserId, name: str) -> bool:
        return False
