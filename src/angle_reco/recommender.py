"""The object a host holds, and the views of it that are bound to an actor."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

import attrs

from angle_reco.adapters.clocks import FixedClock
from angle_reco.application import (
    CardLoader,
    JobOutcome,
    Progress,
    Stats,
)
from angle_reco.bootstrap import (
    Ports,
    UseCases,
    memory_ports,
    sql_ports,
)
from angle_reco.domain import (
    ANONYMOUS,
    SYSTEM,
    Actor,
    ActorKind,
    CategoryId,
    CategoryRef,
    InvalidValueError,
    ItemId,
    ItemRef,
    Shelf,
    SignIns,
    StoredList,
    UserId,
    UserInterest,
    UserRef,
    check_moment,
)
from angle_reco.ports import deadline
from angle_reco.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

    from angle_reco.adapters.memory import MemoryMarketplace
    from angle_reco.adapters.sql import Finding, HostSchema, Storage

_P = ParamSpec("_P")
_T = TypeVar("_T")

_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
"""Of the moments that can be looked back at: a hundred years before is still in the calendar."""

Permitted = Callable[[UserId, str], bool]
"""A host's own answer to whether a user holds a permission."""


class Recommender:
    """Recommendations for one marketplace: events go in, and bound views answer.

    The constructor takes a record of ports; `connect`, `from_engine` and `in_memory`
    make one. Reading starts with an actor: `as_user(id)`, `anonymous` or `system`.
    """

    def __init__(
        self, ports: Ports, settings: Settings | None = None, *, as_of: datetime | None = None
    ) -> None:
        """Wire the use cases.

        With *as_of* everything reads and scores as at that moment, itself included:
        nothing later exists.

        Raises:
            InvalidValueError: *as_of* is no moment with a time zone, or one before 1900.
        """
        self.settings = settings or Settings()
        self._given = ports
        if as_of is not None:
            as_of = check_moment(as_of, "as_of")
            if as_of < _EARLIEST:
                expected = "a moment from the year 1900 on"
                raise InvalidValueError("as_of", as_of.isoformat(), expected)
            ports = attrs.evolve(ports, clock=FixedClock(as_of))
        self.ports = ports
        self.as_of = as_of
        self._use_cases = UseCases.of(ports, self.settings, as_of)
        self._engine: sa.Engine | None = None

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        settings: Settings | None = None,
        host: "HostSchema | None" = None,
        schema: str | None = None,
        prefix: str | None = None,
        permissions: Permitted | None = None,
        migrate: bool = False,
        check: bool = True,
        as_of: datetime | None = None,
    ) -> Self:
        """Return a recommender on a database, such as `postgresql:///shop`.

        *host* maps the host's own tables; without it the marketplace is in the reference
        schema. Our tables are in *schema*, and begin with *prefix* (`angle_reco_`).
        With *migrate* they are created where they are missing. Without *check* nothing is
        asked of the database yet. `close()` lets go of the connections.

        Raises:
            InvalidValueError: The URL is none of a supported database.
            SchemaError: The tables or the host's selects are not as they should be.
            StorageUnavailableError: The database did not answer.
        """
        from angle_reco.adapters.sql import open_engine

        settings = settings or Settings()
        engine = open_engine(url, settings.deadline)
        try:
            recommender = cls.from_engine(
                engine,
                settings=settings,
                host=host,
                schema=schema,
                prefix=prefix,
                permissions=permissions,
                migrate=migrate,
                check=check,
                as_of=as_of,
            )
        except BaseException:
            engine.dispose()
            raise
        # No connection is left open: a process that forks now would share it.
        engine.dispose()
        recommender._engine = engine
        return recommender

    @classmethod
    def from_engine(
        cls,
        engine: "sa.Engine",
        *,
        settings: Settings | None = None,
        host: "HostSchema | None" = None,
        schema: str | None = None,
        prefix: str | None = None,
        permissions: Permitted | None = None,
        migrate: bool = False,
        check: bool = True,
        as_of: datetime | None = None,
    ) -> Self:
        """Return a recommender on an engine of the host's, which stays the host's to close.

        All else is as with `connect`.

        Raises:
            SchemaError: The tables or the host's selects are not as they should be.
            StorageUnavailableError: The database did not answer.
        """
        settings = settings or Settings()
        ports = sql_ports(
            engine,
            settings,
            host=host,
            schema=schema,
            prefix=prefix,
            permissions=permissions,
            migrate=migrate,
            check=check,
        )
        return cls(ports, settings, as_of=as_of)

    @classmethod
    def in_memory(
        cls,
        market: "MemoryMarketplace | None" = None,
        *,
        settings: Settings | None = None,
        permissions: Permitted | None = None,
        as_of: datetime | None = None,
    ) -> Self:
        """Return a recommender on a marketplace in memory, by default an empty one.

        Raises:
            InvalidValueError: The marketplace has other kinds of ids or prices than the
                settings.
        """
        from angle_reco.adapters.memory import MemoryMarketplace

        settings = settings or Settings()
        kinds = (settings.ids, settings.prices)
        if market is None:
            market = MemoryMarketplace(ids=settings.ids, prices=settings.prices)
        elif (market.ids, market.prices) != kinds:
            raise InvalidValueError("ids and prices of the settings", kinds, "the marketplace's")
        return cls(memory_ports(market, permissions=permissions), settings, as_of=as_of)

    @property
    def storage(self) -> "Storage | None":
        """Return the database behind it, to be migrated; None in memory."""
        return self.ports.storage

    def check(self) -> "tuple[Finding, ...]":
        """Look at the tables and at every row of the host's selects; return what is odd.

        What is found does no harm: such rows are left out, or a value of theirs counts as
        `what` of the finding says. Only of an id that comes twice nobody can tell which row
        is meant, so reading them is an error. In memory there is nothing to find.

        Raises:
            SchemaError: The tables or the host's selects are not as they should be.
            StorageUnavailableError: The database did not answer.
        """
        if self.storage is None:
            return ()
        self.storage.check()
        return self.storage.findings()

    def as_of_moment(self, as_of: datetime | None, *, ranker: str | None = None) -> "Recommender":
        """Return a recommender on the same data as of another moment, or with another ranker.

        It shares the connections, which stay this one's to close.

        Raises:
            InvalidValueError: The moment or the ranker cannot be.
        """
        settings = self.settings if ranker is None else attrs.evolve(self.settings, ranker=ranker)
        return type(self)(self._given, settings, as_of=as_of)

    def close(self) -> None:
        """Let go of the connections that `connect` opened."""
        if self._engine is not None:
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def as_user(self, user_id: UserRef) -> "View":
        """Return what a signed-in user may read; their own, and what is public.

        Raises:
            InvalidValueError: The id is of another kind than the settings say.
        """
        actor = Actor(kind=ActorKind.USER, user_id=self.settings.ids.user_id(user_id))
        return View(self._use_cases, actor)

    @property
    def anonymous(self) -> "View":
        """Return what a visitor may read: what is public."""
        return View(self._use_cases, ANONYMOUS)

    @property
    def system(self) -> "View":
        """Return the view of the host's own code, which may do everything."""
        return View(self._use_cases, SYSTEM)

    def signed_in(self, user_id: UserRef, at: datetime | None = None) -> bool:
        """Count a sign-in; False when it could not be. Never raises into the request."""
        return self._use_cases.events.signed_in(user_id, at)

    def bid_placed(
        self,
        user_id: UserRef,
        item_id: ItemRef,
        *,
        amount: Decimal | None = None,
        at: datetime | None = None,
    ) -> bool:
        """Note a bid; False when nothing was stored. Never raises into the request."""
        return self._use_cases.events.bid_placed(user_id, item_id, amount, at)

    def watched(self, user_id: UserRef, item_id: ItemRef, *, at: datetime | None = None) -> bool:
        """Note a watch; False when nothing was stored. Never raises into the request."""
        return self._use_cases.events.watched(user_id, item_id, at)

    def unwatched(self, user_id: UserRef, item_id: ItemRef) -> bool:
        """Note that a watch ended; False when there was none. Never raises into the request."""
        return self._use_cases.events.unwatched(user_id, item_id)


@attrs.frozen
class View:
    """What one actor may read and do; who may do what is one table of the policy.

    *of* names whose results are meant: by default the user's own; the system has to say.
    *cards* is a host's own way from item ids to its objects.
    """

    _use_cases: UseCases
    actor: Actor

    def homepage(
        self, limit: int = 20, *, of: UserRef | None = None, cards: CardLoader | None = None
    ) -> Shelf:
        """Return "Recommended for you": at most *limit* (1 to 1,000) suggestions.

        Raises:
            AccessDeniedError: It is not the actor's to see.
            InvalidValueError: The limit is no whole number of at least 1.
        """
        return self._asked(self._use_cases.homepage, self._owner(of), limit=limit, cards=cards)

    def similar_items(
        self, item_id: ItemRef, limit: int = 8, *, cards: CardLoader | None = None
    ) -> Shelf:
        """Return what else to show on an item's page: at most *limit* (1 to 20) suggestions.

        Raises:
            InvalidValueError: The limit is no whole number of at least 1.
            ItemNotFoundError: There is no such item.
        """
        return self._asked(self._use_cases.similar_items, ItemId(item_id), limit=limit, cards=cards)

    def after_bid(
        self,
        item_id: ItemRef,
        limit: int = 8,
        *,
        of: UserRef | None = None,
        suppose: bool = False,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return "You might also like" for a user who has bid on an item.

        With *suppose* a bid on it right now is counted, and not stored.

        Raises:
            AccessDeniedError: It is not the actor's to see.
            InvalidValueError: The limit is no whole number of at least 1.
            ItemNotFoundError: There is no such item.
        """
        return self._asked(
            self._use_cases.after_bid,
            self._owner(of),
            ItemId(item_id),
            limit=limit,
            suppose=suppose,
            cards=cards,
        )

    def popular_items(
        self,
        limit: int = 20,
        *,
        category: CategoryRef | None = None,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return what most people want, of everything or of one category.

        Raises:
            InvalidValueError: The limit is no whole number of at least 1.
        """
        return self._asked(
            self._use_cases.popular_items,
            category=None if category is None else CategoryId(category),
            limit=limit,
            cards=cards,
        )

    def interests(
        self, limit: int | None = None, *, of: UserRef | None = None
    ) -> tuple[UserInterest, ...]:
        """Return what a user is drawn to, the strongest first; without a limit all of it.

        Raises:
            AccessDeniedError: It is not the actor's to see.
            InvalidValueError: The limit is no whole number of at least 1.
        """
        return self._asked(self._use_cases.interests, self._owner(of), limit=limit)

    def sign_ins(self, *, of: UserRef | None = None) -> SignIns | None:
        """Return when a user last signed in and how often, None for an unknown user.

        Raises:
            AccessDeniedError: It is not the actor's to see.
        """
        return self._asked(self._use_cases.stored.sign_ins, self._owner(of))

    def get_interests(self, *, of: UserRef | None = None) -> tuple[UserInterest, ...]:
        """Return a user's stored interests, neither computed nor checked for their age.

        Raises:
            AccessDeniedError: They are not the actor's to see.
        """
        return self._asked(self._use_cases.stored.get_interests, self._owner(of))

    def get_top_interests(
        self, limit: int = 5, *, of: UserRef | None = None
    ) -> tuple[UserInterest, ...]:
        """Return a user's strongest stored interests.

        Raises:
            AccessDeniedError: They are not the actor's to see.
            InvalidValueError: The limit is no whole number of at least 1.
        """
        return self._asked(self._use_cases.stored.get_interests, self._owner(of), limit=limit)

    def get_recommendations(self, *, of: UserRef | None = None) -> StoredList | None:
        """Return a user's homepage as it is stored, None when there is none.

        Raises:
            AccessDeniedError: It is not the actor's to see.
        """
        return self._asked(self._use_cases.stored.get_recommendations, self._owner(of))

    def find_similar_items(self, item_id: ItemRef) -> StoredList | None:
        """Return an item's similar items as they are stored, None when there are none."""
        return self._asked(self._use_cases.stored.find_similar_items, ItemId(item_id))

    def find_stale_recommendations(
        self, *, older_than: timedelta | None = None
    ) -> Sequence[object]:
        """Return the users whose stored homepages are no longer fresh, or older than that.

        Raises:
            AccessDeniedError: The actor may not know.
        """
        return self._asked(self._use_cases.stored.find_stale_recommendations, older_than=older_than)

    def run_job(
        self,
        name: str,
        *,
        item_id: ItemRef | None = None,
        progress: Progress = lambda what, done, total: None,
    ) -> JobOutcome:
        """Run a job now and wait for it; similarities also for one item alone.

        Raises:
            AccessDeniedError: The actor may not run jobs.
            InvalidValueError: There is no such job, or it is not for one item.
            ItemNotFoundError: There is no such item.
        """
        item = None if item_id is None else ItemId(item_id)
        return self._use_cases.jobs.run(self.actor, name, item_id=item, progress=progress)

    def stats(self) -> Stats:
        """Return how much there is and how old it is.

        Raises:
            AccessDeniedError: The actor may not know.
        """
        return self._use_cases.take_stock(self.actor)

    def _asked(
        self, use_case: Callable[Concatenate[Actor, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Ask a use case as the actor, who does not wait longer than the deadline."""
        with deadline(self._use_cases.deadline.total_seconds()):
            return use_case(self.actor, *args, **kwargs)

    def _owner(self, of: UserRef | None) -> UserId | None:
        return self.actor.user_id if of is None else UserId(of)
