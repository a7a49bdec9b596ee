"""The use cases wired: what stands behind the calls of a recommender."""

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from angle_reco.application.access import Access
from angle_reco.application.admin import TakeStock
from angle_reco.application.events import Events
from angle_reco.application.jobs.batch_jobs import Jobs
from angle_reco.application.jobs.claims import Runs
from angle_reco.application.jobs.runner import Performing
from angle_reco.application.jobs.schedule import schedule_of
from angle_reco.application.jobs.worker import Background
from angle_reco.application.notifications import Reports
from angle_reco.application.overrides import WriteByHand
from angle_reco.application.personal_data import EraseUser, ExportUser
from angle_reco.application.process_cache import CheckHealth, ForgetCached, Memory
from angle_reco.application.scoring import Computing
from angle_reco.application.serving.changed_items import ChangedItems
from angle_reco.application.serving.circuit_breaker import Outage
from angle_reco.application.serving.finished_runs import MADE_BY, Newer
from angle_reco.application.serving.invalidation import Following
from angle_reco.application.serving.list_reader import KeptLists
from angle_reco.application.serving.open_items import LiveItems
from angle_reco.application.serving.pending_activity import Overlays
from angle_reco.application.serving.rolled_back import RolledBack
from angle_reco.application.serving.shelf_builder import Answering
from angle_reco.application.serving.stale_cache import Keeping
from angle_reco.application.serving.surfaces import (
    AfterBid,
    Homepage,
    PopularItems,
    ReadInterests,
    SimilarItems,
)
from angle_reco.application.stored_results import StoredResources
from angle_reco.bootstrap import Ports
from angle_reco.domain.events import Event
from angle_reco.domain.ids import IdKinds
from angle_reco.ports.cache import Cache
from angle_reco.ports.threads import Lane
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
    writing: WriteByHand
    export_user: ExportUser
    erase_user: EraseUser
    forget_cached: ForgetCached
    check_health: CheckHealth
    runs: Runs
    background: Background
    take_stock: TakeStock
    events: Events
    answering: Answering
    following: Following | None
    ids: IdKinds
    deadline: timedelta

    @classmethod
    def of(
        cls,
        ports: Ports,
        settings: Settings,
        *,
        as_of: datetime | None = None,
        on_event: Callable[[Event], None] | None = None,
    ) -> "UseCases":
        """Return them on these ports, all reading as of the same moment."""
        access = Access(
            permissions=ports.permissions,
            clock=ports.clock,
            fingerprints=settings.fingerprints,
            deadline=settings.deadline,
            on_event=on_event,
        )
        reports = Reports(clock=ports.clock, on_event=on_event)
        computing = Computing(
            activity=ports.activity,
            catalog=ports.catalog,
            kernels=ports.kernels,
            clock=ports.clock,
            settings=settings,
            as_of=as_of,
        )
        memory = following = cache = None
        storage, overlays = ports.storage, Overlays(ports.clock)
        if storage is not None and storage.is_borrowed:
            # The host's transaction shows at once what happened, and what was rolled back.
            overlays = Overlays(ports.clock, most=0)
        if settings.cache_enabled and as_of is None:
            cache = ports.new_cache(ports.clock, settings.cache_bytes)
        newer = Newer(ledger=ports.ledger, changes=ports.changes, cache=cache, ids=settings.ids)
        if cache is not None:
            memory = _memory(ports, settings, computing, reports, lists=cache, newer=newer)
        rolled_back = RolledBack(changes=ports.changes, overlays=overlays, lists=cache)
        rules = schedule_of(settings)
        performing = Performing(
            ledger=ports.ledger,
            jobs=Jobs(
                users=ports.users,
                catalog=ports.catalog,
                interests=ports.interests,
                lists=ports.lists,
                computing=computing,
                clock=ports.clock,
                settings=settings,
                fingerprints=settings.fingerprints,
                as_of=as_of,
                rewritten=newer.rewritten,
            ),
            rules=rules,
            clock=ports.clock,
            settings=settings,
            on_event=on_event,
        )
        runs = Runs(
            access=access,
            ledger=ports.ledger,
            changes=ports.changes,
            performed=performing,
            rules=rules,
            clock=ports.clock,
            settings=settings,
            as_of=as_of,
            done=newer.done,
        )
        if memory is not None:
            following = Following(
                changes=ports.changes,
                newer=newer,
                live=memory.live,
                overlays=overlays,
                rolled_back=rolled_back,
                catalog=ports.catalog,
                computing=computing,
                clock=ports.clock,
                deadline=settings.deadline,
                lists=memory.lists.cache,
                wanted=runs.want,
            )

        keeping, live = (None, None) if memory is None else (memory.lists, memory.live)
        kept = KeptLists(
            lists=ports.lists,
            catalog=ports.catalog,
            computing=computing,
            clock=ports.clock,
            settings=settings,
            keeping=keeping,
            live=live,
            as_of=as_of,
            renewed_by_run=runs.renew,
            is_run_under_way=lambda kind: runs.is_under_way(MADE_BY[kind]),
            overlays=overlays,
        )
        answering = Answering(
            kept=kept,
            catalog=ports.catalog,
            computing=computing,
            clock=ports.clock,
            settings=settings,
            keeping=keeping,
            live=live,
            following=following,
            overlays=overlays,
            rolled_back=rolled_back,
            as_of=as_of,
        )
        events = Events(
            users=ports.users,
            recorder=ports.recorder,
            changes=ports.changes,
            overlays=overlays,
            kept=kept,
            following=following,
            clock=ports.clock,
            settings=settings,
            as_of=as_of,
        )
        background = Background(
            runs=runs,
            settings=settings,
            own={} if memory is None else {"evict_stale_cache": memory.evict},
        )
        return cls(
            homepage=Homepage(access=access, answering=answering),
            similar_items=SimilarItems(access=access, answering=answering),
            after_bid=AfterBid(access=access, answering=answering),
            popular_items=PopularItems(access=access, answering=answering),
            interests=ReadInterests(access=access, answering=answering, interests=ports.interests),
            stored=StoredResources(
                access=access,
                users=ports.users,
                interests=ports.interests,
                lists=ports.lists,
                clock=ports.clock,
                settings=settings,
                as_of=as_of,
            ),
            writing=WriteByHand(
                access=access,
                answering=answering,
                interests=ports.interests,
                lists=ports.lists,
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
                kept=kept,
                overlays=overlays,
            ),
            forget_cached=ForgetCached(
                access=access,
                memory=memory,
                kept=kept,
                ledger=ports.ledger,
                changes=ports.changes,
                overlays=overlays,
                ids=settings.ids,
            ),
            check_health=CheckHealth(
                access=access,
                memory=memory,
                require_ready=ports.ledger.now if storage is None else storage.require_ready,
                jobs=lambda: background.state,
                now=ports.clock.now,
            ),
            runs=runs,
            background=background,
            take_stock=TakeStock(
                access=access,
                users=ports.users,
                activity=ports.activity,
                catalog=ports.catalog,
                interests=ports.interests,
                lists=ports.lists,
                ledger=ports.ledger,
                rules=runs.rules,
                events=events,
                memory=memory,
                statements=lambda: None if storage is None else storage.statements.count,
                as_of=as_of,
            ),
            events=events,
            answering=answering,
            following=following,
            ids=settings.ids,
            deadline=settings.deadline,
        )

    def settle(self) -> None:
        """Wait for what is made behind answers, which needs connections, as long as for a call."""
        lists, live = self.answering.keeping, self.answering.live
        for keeping in (lists, None if live is None else live.keeping):
            if keeping is not None:
                keeping.behind.settle(self.deadline.total_seconds())
        if self.following is not None:
            self.following.settle(self.deadline.total_seconds())

    def warm(self) -> None:
        """Read what most visitors see, before the first of them comes; nobody waits for it."""
        answering = self.answering
        if answering.live is None or answering.keeping is None:
            return
        live, following = answering.live, self.following

        def read() -> None:
            if following is not None:
                # The first look marks all that was read before it.
                following.step_safely()
            live.at_once()
            answering.kept.of_popular(None)

        answering.keeping.behind.submit(read)


def _memory(
    ports: Ports,
    settings: Settings,
    computing: Computing,
    reports: Reports,
    *,
    lists: Cache,
    newer: Newer,
) -> Memory:
    """Return what a process keeps, wired to those who fill it."""
    outage = Outage(clock=ports.clock)

    def keeping(cache: Cache, behind: Lane) -> Keeping:
        return Keeping(
            cache=cache,
            behind=behind,
            outage=outage,
            reports=reports,
            clock=ports.clock,
            deadline=settings.deadline,
        )

    # Lists that are made anew wait for open items, which need a thread that no list takes.
    of_lists, of_live = Lane("memory", _THREADS_BEHIND), Lane("open-items", 1)

    def before_reading() -> None:
        lists.evict()
        newer.look()

    live = LiveItems(
        keeping=keeping(ports.new_cache(ports.clock, settings.cache_bytes), of_live),
        catalog=ports.catalog,
        computing=computing,
        clock=ports.clock,
        settings=settings,
        make_room=lists.reserve,
        before_reading=before_reading,
        changed=ChangedItems(ports.clock),
    )
    return Memory(lists=keeping(lists, of_lists), live=live)


_THREADS_BEHIND = 4
