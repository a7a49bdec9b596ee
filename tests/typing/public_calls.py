"""What type checkers see of every public call: `make types` reads this module, nothing runs it.

`assert_type` holds if mypy and basedpyright each reveal exactly this type; a type of `Any` fails.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, assert_never, assert_type

import sqlalchemy as sa

from angle_reco import (
    AsyncRecommender,
    AsyncView,
    CategoryId,
    Freshness,
    HostSchema,
    IdKind,
    IdKinds,
    InvalidValueError,
    ItemCard,
    ItemId,
    Reason,
    Recommender,
    Settings,
    Shelf,
    Source,
    StoredView,
    Suggestion,
    UserId,
    UserInterest,
    View,
)
from angle_reco.composition import Ports, memory_ports, sql_ports
from angle_reco.events import AnswerDegraded, Event, RefreshFailed, RunFailed, UserInspected
from angle_reco.results import (
    Erased,
    Health,
    JobOutcome,
    JobStats,
    MemoryStats,
    Run,
    SignIns,
    Stats,
    StoredInterests,
    StoredLine,
    StoredList,
    StoreTotals,
    UserExport,
)
from angle_reco.rules import CLASSIC, JobRule, ListKind, Queue, Ranker, Verify
from angle_reco.sql import Finding, Storage
from angle_reco.testing import Bid, Item, ManualClock, MemoryMarketplace, User, Watch
from angle_reco.types import ItemRef, UserRef

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def quickstart() -> None:
    """Type the quickstart of README.md."""
    market = MemoryMarketplace(
        users=[User(user_id="ann", created_at=NOW)],
        items=[Item(item_id="omega", title="Omega", starting_price=Decimal(400))],
        bids=[Bid(user_id="ann", item_id="omega", amount=Decimal(420), placed_at=NOW)],
        watches=[Watch(user_id="ann", item_id="omega", watched_at=NOW)],
    )
    reco = Recommender.in_memory(market)

    for one in assert_type(reco.as_user("ann").homepage(limit=20), Shelf):
        assert_type(one, Suggestion)
        assert_type(one.rank, int)
        assert_type(one.sentence, str)
        # The card is the object of the host, if it passes `cards`.
        assert_type(one.card, Any)
    me = assert_type(reco.as_user("ann"), View)
    assert_type(me.similar_items("omega", limit=8), Shelf)
    assert_type(me.after_bid("omega", limit=8), Shelf)
    assert_type(me.interests(), tuple[UserInterest, ...])
    assert_type(reco.anonymous.popular_items(limit=20), Shelf)
    assert_type(reco.system.homepage(of="bob"), Shelf)

    assert_type(reco.signed_in("ann"), bool)
    assert_type(reco.bid_placed("ann", "omega", amount=Decimal(520)), bool)
    assert_type(reco.bid_withdrawn("ann", "omega"), bool)
    assert_type(reco.watched("ann", "omega"), bool)
    assert_type(reco.unwatched("ann", "omega"), bool)
    assert_type(reco.items_changed(["omega"]), bool)


def recommenders(
    engine: sa.Engine, ports: Ports, host: HostSchema, market: MemoryMarketplace
) -> None:
    """Type how a recommender is created, started and closed."""
    reco = assert_type(Recommender(ports, Settings(), as_of=NOW, on_event=on_event), Recommender)
    assert_type(Recommender.connect("sqlite:///shop.db", migrate=True, host=host), Recommender)
    assert_type(Recommender.from_engine(engine, pooler=True), Recommender)
    assert_type(Recommender.from_connection(engine.connect()), Recommender)
    assert_type(Recommender.in_memory(market, permissions=is_admin), Recommender)
    assert_type(sql_ports(engine, Settings()), Ports)
    assert_type(memory_ports(market), Ports)
    with Recommender.in_memory() as opened:
        assert_type(opened, Recommender)

    assert_type(reco.as_of_moment(NOW, ranker="classic"), Recommender)
    assert_type(reco.as_user(1), View)
    assert_type(reco.anonymous, View)
    assert_type(reco.system, View)
    assert_type(reco.aio, AsyncRecommender)
    assert_type(reco.storage, Storage | None)
    for finding in assert_type(reco.check(everything=True), tuple[Finding, ...]):
        assert_type(finding.example, str | None)
    assert_type(reco.start(), None)
    assert_type(reco.start(scheduler=None), None)
    assert_type(reco.stop(timedelta(seconds=1)), bool)
    assert_type(reco.catch_up(), None)
    assert_type(reco.close(), None)


def on_event(event: Event) -> None:
    """Type the events: a checker knows that these are all."""
    match event:
        case UserInspected():
            assert_type(event.user_id, UserId)
        case RunFailed():
            assert_type(event.is_final, bool)
        case AnswerDegraded():
            assert_type(event.surface, str)
        case RefreshFailed():
            assert_type(event.kind, str)
        case _:
            assert_never(event)


def is_admin(user_id: object, permission: str) -> bool:
    """Type the function of a host that looks permissions up."""
    return user_id == "root" and permission == "manage_recommendations"


def cards(item_ids: Sequence[ItemId]) -> Mapping[ItemId, str]:
    """Type the function of a host that loads its objects."""
    return {item_id: str(item_id) for item_id in item_ids}


def reading_calls(view: View, user: UserRef, item: ItemRef) -> None:
    """Type the five calls, and what they return."""
    assert_type(view.homepage(20, of=user, cards=cards), Shelf)
    assert_type(view.similar_items(item, 8, cards=cards), Shelf)
    assert_type(view.after_bid(item, 8, of=user, assume_bid=True, cards=cards), Shelf)
    shelf = assert_type(view.popular_items(20, category="watches", cards=cards), Shelf)
    [interest, *_] = assert_type(view.interests(5, of=user), tuple[UserInterest, ...])
    assert_type(view.stored, StoredView)

    assert_type(shelf[0], Suggestion)
    assert_type(shelf[:5], Sequence[Suggestion])
    assert_type(shelf.ids, tuple[ItemId, ...])
    assert_type(shelf.freshness, Freshness)
    assert_type(shelf.degraded_by, tuple[str, ...])
    assert_type(shelf.to_json(), dict[str, object])
    assert_type(shelf[0].item_id, ItemId)
    assert_type(shelf[0].score, int)
    assert_type(shelf[0].reason, Reason)
    assert_type(shelf[0].source, Source)
    assert_type(shelf[0].contributions, dict[str, int])
    assert_type(interest.category_id, CategoryId)
    assert_type(interest.score, int)
    assert_type(interest.strength, int)
    # An id that the library returned is one that it takes.
    assert_type(view.similar_items(shelf.ids[0]), Shelf)
    assert_type(view.popular_items(category=interest.category_id), Shelf)


def card(card: ItemCard) -> None:
    """Type the card of a suggestion, where the host loads no objects."""
    assert_type(card.title, str)
    assert_type(card.price, Decimal | None)
    assert_type(card.ends_at, datetime | None)
    assert_type(card.seller_id, UserId | None)


def operations(view: View, user: UserRef, item: ItemRef, *, is_scheduled: bool) -> None:
    """Type the operations of a view."""
    assert_type(view.sign_ins(of=user), SignIns | None)
    exported = assert_type(view.export_user(user), UserExport)
    assert_type(exported.interests, StoredInterests | None)
    assert_type(exported.to_json(), dict[str, object])
    assert_type(view.erase_user(user), Erased)
    outcome = assert_type(view.run_job("compute_item_similarities", item_id=item), JobOutcome)
    assert_type(outcome.changed, int)
    assert_type(view.run_job("generate_popular_items", scheduled=True), JobOutcome | None)
    assert_type(view.run_job("generate_popular_items", scheduled=is_scheduled), JobOutcome | None)
    assert_type(view.request_job("generate_popular_items", item_id=item), datetime)
    assert_type(view.forget_cached(user_id=user), int)
    assert_type(view.health(), Health)
    assert_type(view.health().live_items, Freshness | None)
    stats = assert_type(view.stats(patient=True), Stats)
    assert_type(stats.lists, dict[ListKind, StoreTotals])
    assert_type(stats.jobs["generate_popular_items"], JobStats)
    assert_type(stats.jobs["generate_popular_items"].last, Run | None)
    assert_type(stats.jobs["generate_popular_items"].outcome, Mapping[str, Any])  # JSON
    assert_type(stats.memory, MemoryStats | None)


def stored_results(stored: StoredView, user: UserRef, item: ItemRef) -> None:
    """Type the calls of stored results."""
    assert_type(stored.get_interests(of=user), tuple[UserInterest, ...])
    assert_type(stored.get_top_interests(5, of=user), tuple[UserInterest, ...])
    kept = assert_type(stored.get_recommendations(of=user), StoredList | None)
    if kept is not None:
        assert_type(kept.lines, tuple[StoredLine, ...])
        assert_type(kept.computed_at, datetime)
    assert_type(stored.find_similar_items(item), StoredList | None)
    for stale in assert_type(stored.find_stale_recommendations(), tuple[UserId, ...]):
        assert_type(stored.get_recommendations(of=stale), StoredList | None)
    assert_type(stored.create_interest(user, "watches", score=0.5), UserInterest)
    assert_type(stored.upsert_interest(user, "watches", score=Decimal("0.5")), UserInterest)
    assert_type(stored.delete_interest(user, "watches"), bool)
    assert_type(stored.create_similarity(item, "leica", score=0.5), StoredLine)
    assert_type(
        stored.upsert_similarity(item, "leica", score=0.5, reason="price_range"), StoredLine
    )
    assert_type(stored.delete_similarity(item, "leica"), bool)
    assert_type(stored.create_recommendation(user, item, score=0.5, rank=1), StoredLine)
    assert_type(stored.upsert_recommendation(user, item, score=0.5), StoredLine)
    assert_type(stored.delete_recommendation(user, item), bool)


async def coroutines(
    reco: Recommender, aio: AsyncRecommender, user: UserRef, item: ItemRef
) -> None:
    """Type `reco.aio`."""
    assert_type(await reco.aio.as_user("ann").homepage(limit=20), Shelf)
    aio_view = assert_type(aio.as_user(user), AsyncView)
    assert_type(aio.anonymous, AsyncView)
    assert_type(aio.system, AsyncView)
    assert_type(await aio_view.homepage(20, of=user, cards=cards), Shelf)
    assert_type(await aio_view.similar_items(item, 8, cards=cards), Shelf)
    assert_type(await aio_view.after_bid(item, 8, assume_bid=True), Shelf)
    assert_type(await aio_view.popular_items(20, category="watches"), Shelf)
    assert_type(await aio_view.interests(5, of=user), tuple[UserInterest, ...])
    assert_type(await aio.signed_in(user, NOW), bool)
    assert_type(await aio.bid_placed(user, item, amount=Decimal(1), at=NOW), bool)
    assert_type(await aio.bid_withdrawn(user, item), bool)
    assert_type(await aio.watched(user, item), bool)
    assert_type(await aio.unwatched(user, item), bool)
    assert_type(await aio.items_changed([item]), bool)


def settings() -> None:
    """Type settings: what goes in, and what is read."""
    given = Settings(
        ids=IdKinds(user=IdKind.INT, item="uuid"),
        presets=(Ranker.preset("new", interest=0.5, recency=0.5),),
        ranker="new",
        schedule={},
        workers=dict.fromkeys(Queue, 1),
        log_key="secret",
        verify="always",
    )
    assert_type(given.ids, IdKinds)
    assert_type(given.ranker, str)
    assert_type(given.presets, tuple[Ranker, ...])
    assert_type(given.schedule, Mapping[str, JobRule])
    assert_type(given.workers, Mapping[Queue, int])
    assert_type(given.verify, Verify)
    assert_type(given.deadline, timedelta)
    assert_type(given.rankers, dict[str, Ranker])
    assert_type(CLASSIC, Ranker)


def support_for_tests(market: MemoryMarketplace, clock: ManualClock) -> None:
    """Type the marketplace and the clock of test suites."""
    assert_type(market.add_user(User(user_id="ann")), None)
    assert_type(market.add_item(Item(item_id="omega")), None)
    assert_type(market.add_watch(Watch(user_id="ann", item_id="omega", watched_at=NOW)), bool)
    assert_type(market.grant("ann", "inspect_users"), None)
    assert_type(clock.now(), datetime)
    assert_type(clock.advance(timedelta(hours=1)), None)


def errors() -> None:
    """Type what an error says."""
    try:
        Recommender.in_memory()
    except InvalidValueError as error:
        assert_type(error.what, str)
        assert_type(error.value, object)


def refused(view: View, reco: Recommender) -> None:
    """Make the mistakes that both checkers find: without one, its comment is an error."""
    view.homepage("20")  # type: ignore[arg-type]  # a limit is a number
    view.homepage(20, "ann")  # type: ignore[call-arg]  # the user is passed by name
    view.similar_items(None)  # type: ignore[arg-type]  # an id
    view.run_job("x", scheduled=True, item_id="omega")  # type: ignore[call-overload]  # not both
    view.get_interests()  # type: ignore[attr-defined]  # a call of `stored`
    reco.bid_placed("ann", "omega", amount=1.5)  # type: ignore[arg-type]  # floats are not money
    Bid(user_id="ann", item_id="omega", amount=1.5, placed_at=NOW)  # type: ignore[arg-type]  # the same
    Settings(verify=True, ranker=None)  # type: ignore[arg-type]  # a text, and a text
    Settings(dead_line=timedelta(seconds=1))  # type: ignore[call-arg]  # a misspelt setting
