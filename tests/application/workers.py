"""Recommenders whose jobs run by a clock moved by hand, and a scheduler that does as told."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any

import attrs

from angle_reco import Recommender, Settings
from angle_reco.adapters.memory.ledger import MemoryRunLedger
from angle_reco.adapters.memory.models import MemoryModelStore
from angle_reco.adapters.memory.stores import MemoryFences, MemoryInterestStore, MemoryListStore
from angle_reco.application.jobs.claims import JobClaims
from angle_reco.composition import Ports, memory_ports
from angle_reco.domain.events import Event
from angle_reco.domain.runs import Run
from angle_reco.domain.schedules import Queue
from angle_reco.testing import ManualClock, MemoryMarketplace
from angle_reco.wiring import wire
from tests.application.shop import NOW, filled, lots


def ports_at(clock: ManualClock, market: MemoryMarketplace | None = None) -> Ports:
    """Return ports of which all, the ledger too, go by one clock."""
    fences = MemoryFences()
    return attrs.evolve(
        memory_ports(market or filled(lots("art", 3), users=["ann", "bob", "eve"])),
        interests=MemoryInterestStore(fences),
        lists=MemoryListStore(fences),
        models=MemoryModelStore(fences),
        ledger=MemoryRunLedger(clock, fences),
        clock=clock,
    )


@attrs.define
class Shop:
    """A recommender, its clock and ledger, and the events it told of."""

    clock: ManualClock
    ports: Ports
    settings: Settings
    events: list[Event]
    reco: Recommender

    @classmethod
    def of(
        cls,
        market: MemoryMarketplace | None = None,
        settings: Settings | None = None,
        **ports: Any,  # what replaces one of the ports, or wraps it
    ) -> "Shop":
        """Open one at NOW; a function among *ports* is given the port it stands for."""
        clock, events = ManualClock(NOW), list[Event]()
        made = ports_at(clock, market)
        given = {name: new(getattr(made, name)) for name, new in ports.items()}
        made, settings = attrs.evolve(made, **given), settings or Settings()
        reco = Recommender(made, settings, on_event=events.append)
        return cls(clock, made, settings, events, reco)

    @property
    def runs(self) -> JobClaims:
        """Return what begins runs, as a process in the background has it."""
        return wire(self.ports, self.settings, on_event=self.events.append).runs

    def open_runs(self) -> list[Run]:
        """Return the runs that are not over."""
        return list(self.ports.ledger.open([], back=timedelta(days=9)).runs)

    def last(self, job: str) -> Run | None:
        """Return the last run of a job."""
        return self.ports.ledger.last_of_each([job]).get(job)


class Failing:
    """A port of which one method raises *errors* first, and answers after that."""

    def __init__(self, port: object, method: str, errors: Iterable[Exception]) -> None:
        self._port, self._method, self._errors = port, method, iter(errors)
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        if name != self._method:
            return getattr(self._port, name)

        def call(*args: object, **named: object) -> Any:
            self.calls += 1
            for error in self._errors:
                raise error
            return getattr(self._port, name)(*args, **named)

        return call


class Calling:
    """A port that calls *first* before each call of one method."""

    def __init__(self, port: object, method: str, first: Callable[[], object]) -> None:
        self._port, self._method, self._first = port, method, first

    def __getattr__(self, name: str) -> Any:
        if name == self._method:
            self._first()
        return getattr(self._port, name)


class Picky:
    """A store that raises when it is to write something of *owners*."""

    def __init__(self, store: object, owners: Iterable[object], error: Exception) -> None:
        self._store, self._owners, self._error = store, frozenset(owners), error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, *args: Any, **named: Any) -> Any:
        """Write as the store does, for whom it likes."""
        owners = named["users"] if "users" in named else args[1].owners
        if not self._owners.isdisjoint(owners.to_list()):
            raise self._error
        return self._store.write(*args, **named)  # type: ignore[attr-defined]  # either store


@attrs.define
class Hands:
    """`JobScheduler` that wakes and works when it is told to, in the thread that tells it."""

    wakes_at_once: bool = False
    is_in_time: bool = True
    wake: Callable[[], None] = lambda: None
    every: timedelta | None = None
    workers: Mapping[Queue, int] = attrs.field(factory=dict)
    submitted: list[tuple[Queue, Callable[[], None]]] = attrs.field(factory=list)
    stopped: list[timedelta] = attrs.field(factory=list)

    def start(
        self, wake: Callable[[], None], *, every: timedelta, workers: Mapping[Queue, int]
    ) -> None:
        self.wake, self.every, self.workers = wake, every, workers
        if self.wakes_at_once:
            wake()

    def submit(self, queue: Queue, work: Callable[[], None]) -> None:
        self.submitted.append((queue, work))

    def stop(self, grace: timedelta) -> bool:
        self.stopped.append(grace)
        return self.is_in_time

    def work(self) -> None:
        """Do what was submitted."""
        while self.submitted:
            _, work = self.submitted.pop(0)
            work()
