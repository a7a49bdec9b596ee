"""The wake-ups of a process, and the threads that do its work."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Protocol

from angle_reco.domain.schedules import Queue


class JobScheduler(Protocol):
    """Queues with a number of workers each, and a periodic wake-up.

    The functions handed over raise nothing. It belongs to the process that started it.
    """

    def start(
        self, wake: Callable[[], None], *, every: timedelta, workers: Mapping[Queue, int]
    ) -> None:
        """Start the workers; call *wake* now and then periodically, never twice at once."""
        ...

    def submit(self, queue: Queue, work: Callable[[], None]) -> None:
        """Call *work* on a worker of a queue, once one is free.

        Log lines name it by its attribute *name*, if it has one. After `stop` it is dropped.
        """
        ...

    def stop(self, grace: timedelta) -> bool:
        """Start no more work and wait for running work; False if it takes longer than *grace*."""
        ...
