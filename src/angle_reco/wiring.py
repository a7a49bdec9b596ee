"""The use cases on ports: each function wires one wing of the application."""

from collections.abc import Callable
from datetime import datetime

import attrs

from angle_reco.application.access import Access
from angle_reco.application.admin import ReadStats
from angle_reco.application.events import Events
from angle_reco.application.jobs.batch_jobs import Jobs
from angle_reco.application.jobs.claims import JobClaims
from angle_reco.application.jobs.due_homepages import DueHomepages
from angle_reco.application.jobs.finished_runs import FinishedRuns
from angle_reco.application.jobs.last_runs import LastRuns
from angle_reco.application.jobs.news import NewsReader
from angle_reco.application.jobs.runner import JobRunner
from angle_reco.application.jobs.schedule import schedule_of
from angle_reco.application.jobs.worker import Worker
from angle_reco.application.notifications import Notifier
from angle_reco.application.overrides import WriteOverrides
from angle_reco.application.personal_data import EraseUser, ExportUser
from angle_reco.application.process_cache import CheckHealth, ForgetCached, ProcessCache
from angle_reco.application.scoring import Scorer
from angle_reco.application.serving.around_items import AfterBid, SimilarItems
from angle_reco.application.serving.changed_items import ChangedItems
from angle_reco.application.serving.invalidation import CacheInvalidator
from angle_reco.application.serving.item_invalidation import ItemInvalidator
from angle_reco.application.serving.list_reader import ListReader
from angle_reco.application.serving.open_items import OPEN_ITEMS, OpenItems
from angle_reco.application.serving.pending_activity import PendingActivity, RolledBackEvents
from angle_reco.application.serving.shelf_builder import ShelfBuilder
from angle_reco.application.serving.stale_cache import CircuitBreaker, StaleCache
from angle_reco.application.serving.surfaces import Homepage, PopularItems, ReadInterests
from angle_reco.application.stored_results import StoredResources
from angle_reco.application.trained_models import TrainedModels
from angle_reco.composition import Ports, models_of
from angle_reco.domain.events import Event
from angle_reco.domain.ids import IdKinds
from angle_reco.domain.lists import ListKind
from angle_reco.ports.cache import Cache
from angle_reco.ports.threads import BackgroundPool
from angle_reco.settings import Settings


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
                # The first look marks all that was read before it.
                invalidator.step_safely()
            live.at_once()
            shelves.list_reader.of_popular(None)

        shelves.stale_cache.pool.submit(read)


@attrs.frozen(kw_only=True)
class _Core:
    """What both wings are wired from; *cache* is that of lists, None where nothing is cached."""

    ports: Ports
    settings: Settings
    as_of: datetime | None
    notifier: Notifier
    access: Access
    scorer: Scorer
    models: TrainedModels
    cache: Cache | None


@attrs.frozen(kw_only=True)
class _Jobs:
    """The wing that produces what is stored."""

    finished_runs: FinishedRuns
    claims: JobClaims


@attrs.frozen(kw_only=True)
class _Serving:
    """The wing that answers requests and takes events."""

    memory: ProcessCache | None
    pending: PendingActivity
    list_reader: ListReader
    shelves: ShelfBuilder
    events: Events
    invalidator: CacheInvalidator | None


def wire(
    ports: Ports,
    settings: Settings,
    *,
    as_of: datetime | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> UseCases:
    """Return the use cases on these ports; all of them read as of the same moment."""
    core = _core(ports, settings, as_of, on_event)
    jobs = _wire_jobs(core)
    serving, access = _wire_serving(core, jobs), core.access
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
            shelves=shelves,
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
            list_reader=serving.list_reader,
            pending=serving.pending,
        ),
        forget_cached=ForgetCached(
            access=access,
            memory=memory,
            list_reader=serving.list_reader,
            ledger=ports.ledger,
            changes=ports.changes,
            pending=serving.pending,
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


def _core(
    ports: Ports,
    settings: Settings,
    as_of: datetime | None,
    on_event: Callable[[Event], None] | None,
) -> _Core:
    notifier = Notifier(clock=ports.clock, on_event=on_event)
    access = Access(
        permissions=ports.permissions,
        clock=ports.clock,
        fingerprints=settings.fingerprints,
        deadline=settings.deadline,
        notifier=notifier,
    )
    scorer = Scorer(
        activity=ports.activity,
        catalog=ports.catalog,
        kernels=ports.kernels,
        clock=ports.clock,
        settings=settings,
        as_of=as_of,
    )
    is_cached = settings.cache_enabled and as_of is None
    models = TrainedModels(
        store=models_of(ports, settings),
        rankings=scorer.rankings,
        clock=ports.clock,
        settings=settings,
        # No other thread may use a borrowed connection.
        reads_behind=ports.storage is None or not ports.storage.is_borrowed,
        has_cache=is_cached,
    )
    return _Core(
        ports=ports,
        settings=settings,
        as_of=as_of,
        notifier=notifier,
        access=access,
        scorer=scorer,
        models=models,
        cache=ports.new_cache(ports.clock, settings.cache_bytes) if is_cached else None,
    )


def _wire_jobs(core: _Core) -> _Jobs:
    ports, settings, scorer, as_of = core.ports, core.settings, core.scorer, core.as_of
    finished_runs = FinishedRuns(
        ledger=ports.ledger, changes=ports.changes, cache=core.cache, ids=settings.ids
    )
    rules = schedule_of(settings)
    reader = NewsReader(
        users=ports.users, changes=ports.changes, scorer=scorer, settings=settings, as_of=as_of
    )
    jobs = Jobs(
        users=ports.users,
        interests=ports.interests,
        lists=ports.lists,
        models=core.models,
        last_runs=LastRuns(interests=ports.interests, lists=ports.lists, reader=reader),
        due=DueHomepages(
            interests=ports.interests, lists=ports.lists, scorer=scorer, settings=settings
        ),
        scorer=scorer,
        clock=ports.clock,
        settings=settings,
        fingerprints=settings.fingerprints,
        as_of=as_of,
    )
    runner = JobRunner(
        ledger=ports.ledger,
        jobs=jobs,
        finished_runs=finished_runs,
        rules=rules,
        clock=ports.clock,
        settings=settings,
        notifier=core.notifier,
    )
    claims = JobClaims(
        access=core.access,
        ledger=ports.ledger,
        changes=ports.changes,
        runner=runner,
        finished_runs=finished_runs,
        rules=rules,
        clock=ports.clock,
        settings=settings,
        as_of=as_of,
    )
    return _Jobs(finished_runs=finished_runs, claims=claims)


def _wire_serving(core: _Core, jobs: _Jobs) -> _Serving:
    ports, settings, scorer, as_of = core.ports, core.settings, core.scorer, core.as_of
    # On a borrowed connection the host's transaction itself shows its events and rollbacks.
    is_borrowed = ports.storage is not None and ports.storage.is_borrowed
    pending = PendingActivity(ports.clock, most=0) if is_borrowed else PendingActivity(ports.clock)
    rolled_back = RolledBackEvents(changes=ports.changes, pending=pending, lists=core.cache)
    memory = invalidator = None
    if core.cache is not None:
        memory = _wire_memory(core, jobs.finished_runs, lists=core.cache)
        invalidator = CacheInvalidator(
            changes=ports.changes,
            finished_runs=jobs.finished_runs,
            open_items=memory.open_items,
            pending=pending,
            rolled_back=rolled_back,
            items=ItemInvalidator(
                open_items=memory.open_items,
                finished_runs=jobs.finished_runs,
                scorer=scorer,
                clock=ports.clock,
                runs=jobs.claims,
            ),
            scorer=scorer,
            clock=ports.clock,
            deadline=settings.deadline,
            lists=core.cache,
        )
    stale_cache, open_items = (None, None) if memory is None else (memory.lists, memory.open_items)
    list_reader = ListReader(
        lists=ports.lists,
        scorer=scorer,
        models=core.models,
        clock=ports.clock,
        settings=settings,
        stale_cache=stale_cache,
        open_items=open_items,
        runs=jobs.claims,
        pending=pending,
    )
    shelves = ShelfBuilder(
        list_reader=list_reader,
        scorer=scorer,
        clock=ports.clock,
        settings=settings,
        stale_cache=stale_cache,
        open_items=open_items,
        invalidator=invalidator,
        pending=pending,
        rolled_back=rolled_back,
    )
    events = Events(
        users=ports.users,
        recorder=ports.recorder,
        changes=ports.changes,
        pending=pending,
        list_reader=list_reader,
        invalidator=invalidator,
        clock=ports.clock,
        settings=settings,
        as_of=as_of,
    )
    return _Serving(
        memory=memory,
        pending=pending,
        list_reader=list_reader,
        shelves=shelves,
        events=events,
        invalidator=invalidator,
    )


def _wire_memory(core: _Core, finished_runs: FinishedRuns, *, lists: Cache) -> ProcessCache:
    ports, settings, models = core.ports, core.settings, core.models
    breaker = CircuitBreaker(clock=ports.clock)

    def stale_cache(cache: Cache, pool: BackgroundPool) -> StaleCache:
        return StaleCache(
            cache=cache,
            pool=pool,
            breaker=breaker,
            notifier=core.notifier,
            clock=ports.clock,
            deadline=settings.deadline,
        )

    # Refreshing a list waits for the open items, which need a thread that no list takes.
    of_lists, of_live = BackgroundPool("memory", _THREADS_BEHIND), BackgroundPool("open-items", 1)

    def before_reading() -> None:
        lists.evict()
        finished_runs.look()
        models.look()

    open_items = OpenItems(
        stale_cache=stale_cache(ports.new_cache(ports.clock, settings.cache_bytes), of_live),
        scorer=core.scorer,
        models=models,
        clock=ports.clock,
        settings=settings,
        make_room=lists.reserve,
        before_reading=before_reading,
        changed=ChangedItems(ports.clock),
    )

    def on_change() -> None:
        # Homepages in memory may have another recipe, and the open items lack the signals.
        lists.mark(ListKind.PERSONAL.value)
        open_items.stale_cache.cache.mark(OPEN_ITEMS[0])

    models.on_change = on_change
    return ProcessCache(lists=stale_cache(lists, of_lists), open_items=open_items)


_THREADS_BEHIND = 4
