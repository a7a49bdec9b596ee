"""The use cases wired: what stands behind the calls of a recommender."""

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs

from angle_reco.application import (
    Access,
    AfterBid,
    Answering,
    Background,
    Computing,
    EraseUser,
    Events,
    ExportUser,
    Homepage,
    Jobs,
    PopularItems,
    ReadInterests,
    Runs,
    SimilarItems,
    StoredResources,
    TakeStock,
    WriteByHand,
    schedule_of,
)
from angle_reco.bootstrap import Ports
from angle_reco.domain import Event, IdKinds
from angle_reco.settings import Settings


@attrs.frozen(kw_only=True)
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
    runs: Runs
    background: Background
    take_stock: TakeStock
    events: Events
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
        computing = Computing(
            activity=ports.activity,
            catalog=ports.catalog,
            kernels=ports.kernels,
            clock=ports.clock,
            settings=settings,
            as_of=as_of,
        )
        answering = Answering(
            lists=ports.lists,
            catalog=ports.catalog,
            computing=computing,
            clock=ports.clock,
            settings=settings,
            as_of=as_of,
        )
        events = Events(
            users=ports.users,
            recorder=ports.recorder,
            clock=ports.clock,
            settings=settings,
            as_of=as_of,
        )
        runs = Runs(
            access=access,
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
            ),
            rules=schedule_of(settings),
            clock=ports.clock,
            settings=settings,
            as_of=as_of,
            on_event=on_event,
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
            ),
            runs=runs,
            background=Background(runs=runs, settings=settings),
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
                as_of=as_of,
            ),
            events=events,
            ids=settings.ids,
            deadline=settings.deadline,
        )
