"""The wings of the application on ports: one produces what is stored, one answers requests."""

from collections.abc import Callable
from datetime import datetime

import attrs

from angle_reco.adapters.languages import Languages
from angle_reco.application.access import Access
from angle_reco.application.admin import ProcessCache
from angle_reco.application.events import Events
from angle_reco.application.jobs.batch_jobs import Jobs
from angle_reco.application.jobs.claims import JobClaims
from angle_reco.application.jobs.finished_runs import FinishedRuns
from angle_reco.application.jobs.news import DueHomepages, LastRuns
from angle_reco.application.jobs.runner import JobRunner
from angle_reco.application.jobs.schedule import schedule_of, work_of
from angle_reco.application.jobs.single_lists import SimilarOfOne
from angle_reco.application.notifications import Notifier
from angle_reco.application.scoring import Scorer
from angle_reco.application.serving.invalidation import CacheInvalidator, ItemInvalidator
from angle_reco.application.serving.list_reader import ListReader
from angle_reco.application.serving.open_items import ChangedItems, OpenItems
from angle_reco.application.serving.pending_activity import PendingActivity, RolledBackEvents
from angle_reco.application.serving.shelf_builder import ShelfBuilder
from angle_reco.application.serving.stale_cache import CircuitBreaker, StaleCache
from angle_reco.application.trained_models import TrainedModels
from angle_reco.composition import Ports, models_of
from angle_reco.domain.events import Event
from angle_reco.domain.lists import ListKind
from angle_reco.domain.millionths import ONE
from angle_reco.domain.whys import FEW, Speech
from angle_reco.ports.cache import Cache
from angle_reco.ports.threads import BackgroundPool
from angle_reco.settings import Settings


@attrs.frozen(kw_only=True)
class Core:
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
class JobsWing:
    """The wing that produces what is stored."""

    finished_runs: FinishedRuns
    claims: JobClaims


@attrs.frozen(kw_only=True)
class ServingWing:
    """The wing that answers requests and takes events."""

    memory: ProcessCache | None
    pending: PendingActivity
    shelves: ShelfBuilder
    events: Events
    invalidator: CacheInvalidator | None


def core_of(
    ports: Ports,
    settings: Settings,
    as_of: datetime | None,
    on_event: Callable[[Event], None] | None,
) -> Core:
    """Return the core on these ports."""
    notifier = Notifier(clock=ports.clock, on_event=on_event)
    access = Access(
        permissions=ports.permissions,
        clock=ports.clock,
        fingerprints=settings.fingerprints,
        deadline=settings.deadline,
        deliver=notifier.deliver,
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
    return Core(
        ports=ports,
        settings=settings,
        as_of=as_of,
        notifier=notifier,
        access=access,
        scorer=scorer,
        models=models,
        cache=ports.new_cache(ports.clock, settings.cache_bytes) if is_cached else None,
    )


def wire_jobs(core: Core) -> JobsWing:
    """Return the jobs and their claims."""
    ports, settings, scorer, as_of = core.ports, core.settings, core.scorer, core.as_of
    finished_runs = FinishedRuns(
        ledger=ports.ledger, changes=ports.changes, cache=core.cache, ids=settings.ids
    )
    rules = schedule_of(settings)
    jobs = Jobs(
        users=ports.users,
        interests=ports.interests,
        lists=ports.lists,
        models=core.models,
        last_runs=LastRuns(
            users=ports.users,
            interests=ports.interests,
            lists=ports.lists,
            changes=ports.changes,
            scorer=scorer,
            settings=settings,
            as_of=as_of,
        ),
        due=DueHomepages(
            interests=ports.interests, lists=ports.lists, scorer=scorer, settings=settings
        ),
        scorer=scorer,
        clock=ports.clock,
        settings=settings,
        fingerprints=settings.fingerprints,
        as_of=as_of,
        overlaps=ports.storage is not None and ports.storage.takes_several_units,
    )
    runner = JobRunner(
        ledger=ports.ledger,
        jobs=work_of(jobs),
        of_one_item=SimilarOfOne(lists=ports.lists, models=core.models, scorer=scorer, as_of=as_of),
        finished_runs=finished_runs,
        rules=rules,
        clock=ports.clock,
        settings=settings,
        deliver=core.notifier.deliver,
    )
    claims = JobClaims(
        access=core.access,
        ledger=ports.ledger,
        changes=ports.changes,
        runner=runner,
        rules=rules,
        clock=ports.clock,
        settings=settings,
        as_of=as_of,
    )
    return JobsWing(finished_runs=finished_runs, claims=claims)


def wire_serving(core: Core, jobs: JobsWing) -> ServingWing:
    """Return what answers are made of; it requests runs of the jobs."""
    ports, settings, scorer, as_of = core.ports, core.settings, core.scorer, core.as_of
    # On a borrowed connection the host's transaction itself shows its events and rollbacks.
    is_borrowed = ports.storage is not None and ports.storage.is_borrowed
    pending = PendingActivity(ports.clock, most=0) if is_borrowed else PendingActivity(ports.clock)
    rolled_back = RolledBackEvents(changes=ports.changes, pending=pending, lists=core.cache)
    memory = invalidator = stale_cache = open_items = None
    if core.cache is not None:
        stale_cache, open_items = _wire_memory(core, jobs.finished_runs, lists=core.cache)
        memory = ProcessCache(lists=core.cache, open_items=open_items)
        invalidator = CacheInvalidator(
            changes=ports.changes,
            finished_runs=jobs.finished_runs,
            open_items=open_items,
            pending=pending,
            rolled_back=rolled_back,
            items=ItemInvalidator(
                open_items=open_items,
                finished_runs=jobs.finished_runs,
                scorer=scorer,
                clock=ports.clock,
                request_similar=jobs.claims.request_similar,
            ),
            scorer=scorer,
            clock=ports.clock,
            deadline=settings.deadline,
            lists=core.cache,
        )
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
        speech=_speech(core),
    )
    events = Events(
        users=ports.users,
        recorder=ports.recorder,
        changes=ports.changes,
        pending=pending,
        cached_lists=core.cache,
        invalidator=invalidator,
        clock=ports.clock,
        settings=settings,
        as_of=as_of,
    )
    return ServingWing(
        memory=memory,
        pending=pending,
        shelves=shelves,
        events=events,
        invalidator=invalidator,
    )


def _speech(core: Core) -> Speech:
    settings, rule = core.settings, core.settings.similarity
    return Speech(
        wording=core.scorer.rankings.wording,
        speaks=Languages(language=settings.language, own=settings.translations),
        three_shared=rule.worth_of(FEW) if rule.enough_shared >= FEW else ONE,
    )


def _wire_memory(
    core: Core, finished_runs: FinishedRuns, *, lists: Cache
) -> tuple[StaleCache, OpenItems]:
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
        finished_runs.check_ledger()
        models.check_store()

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
        open_items.mark()

    models.on_change = on_change
    return stale_cache(lists, of_lists), open_items


_THREADS_BEHIND = 4
