"""What wakes a process up, and the threads that its work is done in."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol

from angle_reco.domain.schedules import Queue


class JobScheduler(Protocol):
    """Queues with a number of workers each, and a wake-up from time to time.

    What it is handed raises nothing. It belongs to the process that started it.
    """

    def start(
        self, wake: Callable[[], None], *, every: timedelta, workers: Mapping[Queue, int]
    ) -> None:
        """Begin: call *wake* now and every so often, never twice at once."""
        ...

    def submit(self, queue: Queue, work: Callable[[], None]) -> None:
        """Have *work* done by a worker of a queue, when there is one with time.

        Log lines call it by its *name*, if it has one. After the stop it is dropped.
        """
        ...

    def stop(self, grace: timedelta) -> bool:
        """Begin no more work, and wait for what is being done; False if it took longer."""
        ...
