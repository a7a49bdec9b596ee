"""Every use case of a recommender, wired on ports."""

from collections.abc import Callable
from datetime import datetime

import attrs

from angle_reco.application.admin import CheckHealth, ForgetCached, ReadStats
from angle_reco.application.events import Events
from angle_reco.application.jobs.claims import JobClaims
from angle_reco.application.jobs.worker import Worker
from angle_reco.application.personal_data import EraseUser, ExportUser
from angle_reco.application.serving.invalidation import CacheInvalidator
from angle_reco.application.serving.shelf_builder import ShelfBuilder
from angle_reco.application.serving.surfaces import (
    AfterBid,
    Homepage,
    PopularItems,
    ReadInterests,
    SimilarItems,
)
from angle_reco.application.stored_results import StoredResources, WriteOverrides
from angle_reco.composition import Ports
from angle_reco.domain.events import Event
from angle_reco.domain.ids import IdKinds
from angle_reco.settings import Settings
from angle_reco.wings import core_of, wire_jobs, wire_serving


@attrs.frozen(kw_only=True, repr=False)
class UseCases:
    """Every use case of one recommender, wired."""

    homepage: Homepage
    similar_items: SimilarItems
    after_bid: AfterBid
    popular_items: PopularItems
    interests: ReadInterests
    stored: StoredResources
    writing: WriteOverrides
    export_user: ExportUser
    erase_user: EraseUser
    forget_cached: ForgetCached
    check_health: CheckHealth
    runs: JobClaims
    worker: Worker
    read_stats: ReadStats
    events: Events
    shelves: ShelfBuilder
    invalidator: CacheInvalidator | None
    ids: IdKinds
    seconds_a_call: float

    def settle(self) -> None:
        """Wait for what is made behind answers, which needs connections, as long as for a call."""
        lists, live = self.shelves.stale_cache, self.shelves.open_items
        for stale_cache in (lists, None if live is None else live.stale_cache):
            if stale_cache is not None:
                stale_cache.pool.settle(self.seconds_a_call)
        self.shelves.list_reader.models.settle(self.seconds_a_call)
        if self.invalidator is not None:
            self.invalidator.settle(self.seconds_a_call)

    def warm(self) -> None:
        """Read what most visitors see, before the first of them comes; no caller waits for it."""
        shelves = self.shelves
        if shelves.open_items is None or shelves.stale_cache is None:
            return
        live, invalidator = shelves.open_items, self.invalidator

        def read() -> None:
            if invalidator is not None:
                # The first read marks all that was read before it.
                invalidator.read_safely()
            live.at_once()
            shelves.list_reader.of_popular(None)

        shelves.stale_cache.pool.submit(read)


def wire(
    ports: Ports,
    settings: Settings,
    *,
    as_of: datetime | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> UseCases:
    """Return the use cases on these ports; all of them read as of the same moment."""
    core = core_of(ports, settings, as_of, on_event)
    jobs = wire_jobs(core)
    serving, access = wire_serving(core, jobs), core.access
    memory, storage, shelves = serving.memory, ports.storage, serving.shelves
    worker = Worker(
        runs=jobs.claims,
        settings=settings,
        own={} if memory is None else {"evict_stale_cache": memory.evict},
    )
    return UseCases(
        homepage=Homepage(access=access, shelves=shelves),
        similar_items=SimilarItems(access=access, shelves=shelves),
        after_bid=AfterBid(access=access, shelves=shelves),
        popular_items=PopularItems(access=access, shelves=shelves),
        interests=ReadInterests(access=access, shelves=shelves, interests=ports.interests),
        stored=StoredResources(
            access=access,
            users=ports.users,
            interests=ports.interests,
            lists=ports.lists,
            clock=ports.clock,
            settings=settings,
            as_of=as_of,
        ),
        writing=WriteOverrides(
            access=access,
            list_reader=shelves.list_reader,
            interests=ports.interests,
            lists=ports.lists,
            changes=ports.changes,
        ),
        export_user=ExportUser(
            access=access,
            users=ports.users,
            interests=ports.interests,
            lists=ports.lists,
            clock=ports.clock,
            ids=settings.ids,
        ),
        erase_user=EraseUser(
            access=access,
            erasure=ports.erasure,
            clock=ports.clock,
            ids=settings.ids,
            fingerprints=settings.fingerprints,
            cached_lists=core.cache,
            forget_pending=serving.pending.forget,
        ),
        forget_cached=ForgetCached(
            access=access,
            memory=memory,
            ledger=ports.ledger,
            changes=ports.changes,
            reset_pending=serving.pending.reset,
            ids=settings.ids,
        ),
        check_health=CheckHealth(
            access=access,
            memory=memory,
            require_ready=ports.ledger.now if storage is None else storage.require_ready,
            jobs=lambda: worker.state,
            now=ports.clock.now,
        ),
        runs=jobs.claims,
        worker=worker,
        read_stats=ReadStats(
            access=access,
            users=ports.users,
            activity=ports.activity,
            catalog=ports.catalog,
            interests=ports.interests,
            lists=ports.lists,
            ledger=ports.ledger,
            rules=jobs.claims.rules,
            events=serving.events,
            memory=memory,
            statements=lambda: None if storage is None else storage.statements.count,
            as_of=as_of,
        ),
        events=serving.events,
        shelves=shelves,
        invalidator=serving.invalidator,
        ids=settings.ids,
        seconds_a_call=settings.deadline.total_seconds(),
    )
