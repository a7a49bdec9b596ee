"""Coroutines for the reading calls and the events; the event loop is never blocked."""

import asyncio
import inspect
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from contextvars import copy_context
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from angle_reco.domain.errors import InvalidValueError, StorageUnavailableError
from angle_reco.domain.ids import CategoryRef, ItemRef, UserRef
from angle_reco.domain.pages import CardLoader
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.suggestions import Shelf
from angle_reco.ports.cache import CacheKey
from angle_reco.ports.deadlines import NotInMemoryError, deadline, from_memory_alone
from angle_reco.ports.threads import BackgroundPool
from angle_reco.view import View

if TYPE_CHECKING:
    from angle_reco.recommender import Recommender

_T = TypeVar("_T")


@attrs.frozen
class AsyncView:
    """The reading calls of `View` as coroutines.

    A cached answer is returned at once, in the thread of the event loop. A missing value is
    read or computed in another thread, once for all callers that wait for it; cancelling a
    caller does not cancel that work. Arguments and errors are those of `View`.
    """

    _view: View
    _elsewhere: BackgroundPool

    async def homepage(
        self,
        limit: int = 20,
        *,
        after: str | None = None,
        of: UserRef | None = None,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return "Recommended for you": at most *limit* (1 to 1,000) suggestions."""
        return await self._answered(
            lambda: self._view.homepage(limit, after=after, of=of, cards=cards)
        )

    async def similar_items(
        self, item_id: ItemRef, limit: int = 8, *, cards: CardLoader | None = None
    ) -> Shelf:
        """Return similar items for an item's page: at most *limit* (1 to 20) suggestions."""
        return await self._answered(lambda: self._view.similar_items(item_id, limit, cards=cards))

    async def after_bid(
        self,
        item_id: ItemRef,
        limit: int = 8,
        *,
        of: UserRef | None = None,
        assume_bid: bool = False,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return "You might also like" for a user who has bid on an item."""
        return await self._answered(
            lambda: self._view.after_bid(item_id, limit, of=of, assume_bid=assume_bid, cards=cards)
        )

    async def popular_items(
        self,
        limit: int = 20,
        *,
        category: CategoryRef | None = None,
        after: str | None = None,
        cards: CardLoader | None = None,
    ) -> Shelf:
        """Return the most popular open items, of all or of one category."""
        return await self._answered(
            lambda: self._view.popular_items(limit, category=category, after=after, cards=cards)
        )

    async def interests(
        self, limit: int | None = None, *, of: UserRef | None = None
    ) -> tuple[UserInterest, ...]:
        """Return a user's interests, the strongest first; all of them without a *limit*."""
        return await self._answered(lambda: self._view.interests(limit, of=of))

    async def _answered(self, ask: Callable[[], _T]) -> _T:
        """Call *ask* on cached values alone, after waiting for missing ones that a future brings.

        Where no future does, call it in another thread.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._view._use_cases.seconds_a_call
        landed: dict[CacheKey, Future[Any]] = {}
        while True:
            left = max(ends_at - loop.time(), 0.0)
            try:
                with deadline(left), from_memory_alone(landed):
                    return ask()
            except NotInMemoryError as missing:
                pending = missing.pending
            if pending is None:
                break
            # Completed futures are used, so no key is pending twice.
            key, future = pending
            landed[key] = future if await _is_done_within(left, future) else _timed_out()

        def ask_in_time() -> _T:
            with deadline(max(ends_at - loop.time(), 0.0)):
                return ask()

        return await run_in(self._elsewhere, ask_in_time)


@attrs.frozen
class AsyncRecommender:
    """The asynchronous interface of a `Recommender`, which `Recommender.aio` returns."""

    _recommender: "Recommender"
    _elsewhere: BackgroundPool = attrs.field(factory=lambda: BackgroundPool("aio", _THREADS))

    def as_user(self, user_id: UserRef) -> AsyncView:
        """Return the view of a signed-in user: the user's results, and public ones.

        Raises:
            InvalidValueError: The id is not of the kind that the settings name.
        """
        return AsyncView(self._recommender.as_user(user_id), self._elsewhere)

    @property
    def anonymous(self) -> AsyncView:
        """Return the view of a visitor: public results."""
        return AsyncView(self._recommender.anonymous, self._elsewhere)

    @property
    def system(self) -> AsyncView:
        """Return the view of the host's own code, which may read everything."""
        return AsyncView(self._recommender.system, self._elsewhere)

    async def signed_in(
        self, user_id: UserRef, at: datetime | None = None, *, connection: object | None = None
    ) -> bool:
        """Count a sign-in; return whether it was counted. Errors are as with `bid_placed`."""
        return await self._taken(
            "signed_in",
            lambda given: self._recommender.signed_in(user_id, at, connection=given),
            connection,
        )

    async def bid_placed(
        self,
        user_id: UserRef,
        item_id: ItemRef,
        *,
        amount: Decimal | None = None,
        at: datetime | None = None,
        connection: object | None = None,
    ) -> bool:
        """Notify the recommender of a bid, as `Recommender.bid_placed` does.

        The *connection* of an event is the host's `AsyncConnection` or `AsyncSession` of
        SQLAlchemy, on any driver: the event is then part of its transaction. Results and
        errors are those of `Recommender.bid_placed`.
        """
        return await self._taken(
            "bid_placed",
            lambda given: self._recommender.bid_placed(
                user_id, item_id, amount=amount, at=at, connection=given
            ),
            connection,
        )

    async def bid_withdrawn(
        self,
        user_id: UserRef,
        item_id: ItemRef,
        *,
        at: datetime | None = None,
        connection: object | None = None,
    ) -> bool:
        """Notify the recommender that a user's bids on an item were withdrawn or rolled back."""
        return await self._taken(
            "bid_withdrawn",
            lambda given: self._recommender.bid_withdrawn(
                user_id, item_id, at=at, connection=given
            ),
            connection,
        )

    async def watched(
        self,
        user_id: UserRef,
        item_id: ItemRef,
        *,
        at: datetime | None = None,
        connection: object | None = None,
    ) -> bool:
        """Notify the recommender that a user watches an item; as `bid_placed`."""
        return await self._taken(
            "watched",
            lambda given: self._recommender.watched(user_id, item_id, at=at, connection=given),
            connection,
        )

    async def unwatched(
        self, user_id: UserRef, item_id: ItemRef, *, connection: object | None = None
    ) -> bool:
        """Notify the recommender that a watch ended; as `bid_placed`."""
        return await self._taken(
            "unwatched",
            lambda given: self._recommender.unwatched(user_id, item_id, connection=given),
            connection,
        )

    async def items_changed(
        self, item_ids: Iterable[ItemRef], *, connection: object | None = None
    ) -> bool:
        """Notify the recommender that items changed; as `Recommender.items_changed`."""
        return await self._taken(
            "items_changed",
            lambda given: self._recommender.items_changed(item_ids, connection=given),
            connection,
        )

    async def _taken(
        self, event: str, take: Callable[[object | None], bool], connection: object | None
    ) -> bool:
        events = self._recommender._use_cases.events

        def not_taken(error: Exception) -> bool:
            with from_memory_alone({}):
                return events.not_taken(event, error)

        try:
            if connection is None:
                return await run_in(self._elsewhere, lambda: take(None))
            if not inspect.iscoroutinefunction(getattr(type(connection), "run_sync", None)):
                return not_taken(_no_connection(connection))
            # Reading the change feed blocks: it happens in another thread, on our connection.
            await run_in(self._elsewhere, events.read_feed)
        except StorageUnavailableError as error:
            return not_taken(error)
        from sqlalchemy.exc import SQLAlchemyError

        def take_here(given: object) -> bool:
            # This runs on the host's loop, which may wait for the host's connection alone.
            with from_memory_alone({}):
                return take(given)

        try:
            return bool(await connection.run_sync(take_here))  # type: ignore[attr-defined]  # as looked up
        except SQLAlchemyError:
            # The connection is closed, or was never started.
            return not_taken(_no_connection(connection))


def _no_connection(given: object) -> InvalidValueError:
    expected = "an open AsyncConnection or AsyncSession of SQLAlchemy"
    return InvalidValueError("connection", type(given).__name__, expected)


async def run_in(threads: BackgroundPool, work: Callable[[], _T]) -> _T:
    """Return the result of *work*, which another thread runs in a copy of the caller's context.

    Work cancelled before it starts never runs.

    Raises:
        StorageUnavailableError: No thread can be started.
    """
    future, context = Future[_T](), copy_context()

    def run() -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(context.run(work))
        except StopIteration as error:
            # A coroutine cannot raise StopIteration (PEP 479): asyncio would wait forever.
            failed = RuntimeError("what was asked raised StopIteration")
            failed.__cause__ = error
            future.set_exception(failed)
        except BaseException as error:  # noqa: BLE001 — raised where the future is awaited
            future.set_exception(error)

    try:
        threads.submit(run)
    except RuntimeError as error:
        raise StorageUnavailableError("no thread can be started") from error
    return await asyncio.wrap_future(future)


async def _is_done_within(seconds: float, future: "Future[Any]") -> bool:
    """Wait for a future that other callers share, without ever cancelling it."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def set_done() -> None:
        if not done.done():
            done.set_result(None)

    def notify(_: object) -> None:
        # The loop may be closed by now.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(set_done)

    future.add_done_callback(notify)
    await asyncio.wait({done}, timeout=seconds)
    return future.done()


def _timed_out() -> "Future[Any]":
    failed = Future[Any]()
    failed.set_exception(StorageUnavailableError("it took too long to make"))
    return failed


_THREADS = 8
