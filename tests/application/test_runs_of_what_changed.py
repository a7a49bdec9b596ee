"""A run leaves what cannot have changed, and stores what a full run would, to the bit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, TypeAlias

import attrs
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from angle_reco import Recommender, Settings
from angle_reco.adapters.memory.changes import MemoryChanges
from angle_reco.adapters.memory.ledger import MemoryRunLedger
from angle_reco.adapters.memory.stores import MemoryFences, MemoryInterestStore, MemoryListStore
from angle_reco.adapters.sql.storage import Storage
from angle_reco.application.jobs.single_lists import store_one
from angle_reco.composition import memory_ports
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.items import Item
from angle_reco.domain.lists import ListKind
from angle_reco.domain.popular import popular_owner
from angle_reco.domain.scoring.ranking import CLASSIC
from angle_reco.testing import Bid, ManualClock, MemoryMarketplace, User, Watch
from tests.adapters.databases import fill, ports_on, storage_on

START = datetime.fromisoformat("2026-06-01T02:30:00+00:00")
"""After the hour from which a run of the day computes everything."""

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
JOBS = {
    "refresh_user_interests": None,
    "generate_popular_items": ListKind.POPULAR,
    "generate_recommendations": ListKind.PERSONAL,
    "compute_item_similarities": ListKind.SIMILAR,
}
USERS = [f"u{place}" for place in range(7)]
CATEGORIES = ["art", "books", "coins", "dolls"]
# Pages are shorter than the shop, so that many of them depend on a part of it alone.
SMALL = attrs.evolve(CLASSIC, name="small", kept=3, favourites=2, per_category=1)
RULES = Settings(presets=(SMALL,), ranker="small", cache_enabled=False)


def lot(place: int, category: str | None, **more: Any) -> Item:
    """Return an item, of which many are alike."""
    values = {
        "seller_id": UserId(USERS[place % 9]) if place % 9 < len(USERS) else None,
        "starting_price": Decimal(10 * (place % 5 + 1)),
        "listed_at": START - 20 * DAY,
    }
    return Item(
        item_id=ItemId(f"i{place:02}"),
        category_id=None if category is None else CategoryId(category),
        **(values | more),
    )


@attrs.frozen
class Shop:
    """A shop of which one recommender runs by what changed, and another one in full.

    *edit* stores an item.
    """

    reco: Recommender
    full: Recommender
    clock: ManualClock
    edit: Callable[[Item], object]

    @classmethod
    def of(cls, ports: Any, edit: Callable[[Item], object], rules: Settings = RULES) -> "Shop":
        clock, fences = ManualClock(START), MemoryFences()
        ports = attrs.evolve(ports, clock=clock)
        others = attrs.evolve(
            ports,
            interests=MemoryInterestStore(fences),
            lists=MemoryListStore(fences),
            ledger=MemoryRunLedger(clock, fences),
            changes=MemoryChanges(clock),
        )
        return cls(Recommender(ports, rules), Recommender(others, rules), clock, edit)

    def run(self, *jobs: str) -> dict[str, int]:
        """Run jobs both ways; return for how many owners each did nothing."""
        left = {}
        for job in jobs or JOBS:
            left[job] = self.reco.system.run_job(job).left
            assert self.full.system.run_job(job, full=True).left == 0
        return left

    def stored(self, reco: Recommender, kind: ListKind | None) -> dict[object, object]:
        """Return all results of a kind, whenever they were made."""
        ports = reco.ports
        if kind is None:
            interests = {one: ports.interests.of(UserId(one)) for one in USERS}
            return {
                one: (kept.interests, kept.recipe, kept.computed_at, kept.covered_at)
                for one, kept in interests.items()
                if kept is not None
            }
        owners: list[object] = {
            ListKind.PERSONAL: list[object](USERS),
            ListKind.SIMILAR: [f"i{place:02}" for place in range(30)],
            ListKind.POPULAR: [popular_owner(None), *CATEGORIES],
        }[kind]
        return dict(ports.lists.read(kind, owners))

    def agree(self, *jobs: str) -> None:
        """Check that both have the same results."""
        for job in jobs or JOBS:
            kind = JOBS[job]
            ours, theirs = (self.stored(one, kind) for one in (self.reco, self.full))
            if kind is not None:
                # A run that computed nothing renews what covers lists, as a full run does.
                assert ours.keys() == theirs.keys(), job
            assert ours == theirs, job


def first_items(ends: dict[int, float]) -> list[Item]:
    return [
        lot(
            place,
            [*CATEGORIES[:3], None][place % 4],
            ends_at=START + HOUR * ends[place] if place in ends else None,
        )
        for place in range(14)
    ]


def first_rows() -> tuple[list[User], list[Bid], list[Watch]]:
    """Return users of whom some become inactive soon, and activity that soon counts less."""
    users = [
        User(user_id=UserId(one), last_sign_in_at=START - 30 * DAY + HOUR * (2 + 5 * place))
        for place, one in enumerate(USERS)
    ]
    bids = [
        Bid(
            user_id=UserId(USERS[place % 6]),
            item_id=ItemId(f"i{(5 * place) % 14:02}"),
            amount=Decimal(20 + place),
            placed_at=START - days * DAY + HOUR * (place % 7),
        )
        for place, days in enumerate([8, 31, 90, 2, 8, 31, 90, 5, 8, 1, 40, 90])
    ]
    watches = [
        Watch(
            user_id=UserId(USERS[place]),
            item_id=ItemId(f"i{(3 * place + 1) % 14:02}"),
            watched_at=START - days * DAY + HOUR * place,
        )
        for place, days in enumerate([8, 31, 90, 3])
    ]
    return users, bids, watches


def in_memory(rules: Settings = RULES, ends: dict[int, float] | None = None) -> Shop:
    users, bids, watches = first_rows()
    market = MemoryMarketplace(
        users=users, items=first_items(ends or {}), bids=bids, watches=watches
    )
    return Shop.of(memory_ports(market), market.add_item, rules)


@contextmanager
def on_sqlite(ends: dict[int, float]) -> Iterator[Shop]:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    storage = storage_on(engine)
    storage.migrate_up()
    users, bids, watches = first_rows()
    fill(storage, users=users, items=first_items(ends), bids=bids, watches=watches)
    yield Shop.of(ports_on(storage), lambda item: edited(storage, item))
    engine.dispose()


def edited(storage: Storage, item: Item) -> None:
    items = storage.tables.items
    with storage.database.engine.begin() as connection:
        connection.execute(sa.delete(items).where(items.c.item_id == item.item_id))
    fill(storage, items=[item])


Step: TypeAlias = tuple[Any, ...]

users = st.sampled_from(USERS)
items = st.integers(0, 15).map(lambda place: f"i{place:02}")
late = st.sampled_from([0, 1, 9]).map(lambda minutes: minutes * MINUTE)
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("bid"), users, items, late),
    st.tuples(st.just("watch"), users, items, late),
    st.tuples(st.just("unwatch"), users, items),
    st.tuples(st.just("withdraw"), users, items),
    st.tuples(st.just("sign in"), users),
    st.tuples(
        st.just("edit"),
        st.integers(0, 15),
        st.sampled_from([*CATEGORIES, None]),
        st.fixed_dictionaries(
            {},
            optional={
                "is_published": st.booleans(),
                "seller_id": st.sampled_from([*map(UserId, USERS), None]),
                "ends_at": st.integers(-1, 180).map(lambda hours: START + hours * HOUR),
                "starts_at": st.integers(-1, 8).map(lambda hours: START + hours * HOUR),
                "listed_at": st.integers(-9, 0).map(lambda hours: START + hours * HOUR),
            },
        ),
    ),
    st.tuples(st.just("out of turn"), users),
    st.tuples(st.just("by hand"), users, items),
    st.tuples(st.just("interest by hand"), users, st.sampled_from(CATEGORIES)),
    st.tuples(st.just("similar"), items),
)
waits = st.sampled_from([timedelta(0), MINUTE, 11 * MINUTE, HOUR, 3 * HOUR])
runs = st.lists(
    st.tuples(st.lists(steps, max_size=3), waits, st.lists(st.sampled_from([*JOBS]), max_size=3)),
    min_size=1,
    max_size=5,
)
ends = st.dictionaries(st.integers(0, 13), st.sampled_from([0.5, 1, 4, 169, 170.5]), max_size=4)


def happens(shop: Shop, step: Step) -> None:
    """Do a step; what is done to results is done to those of both."""
    both = (shop.reco, shop.full)
    match step:
        case "bid", user, item, ago:
            shop.reco.bid_placed(user, item, at=shop.clock.now() - ago)
        case "watch", user, item, ago:
            shop.reco.watched(user, item, at=shop.clock.now() - ago)
        case "unwatch", user, item:
            shop.reco.unwatched(user, item)
        case "withdraw", user, item:
            shop.reco.bid_withdrawn(user, item)
        case "sign in", user:
            shop.reco.signed_in(user)
        case "edit", place, category, values:
            shop.edit(lot(place, category, **values))
            shop.reco.items_changed([f"i{place:02}"])
        case "out of turn", user:
            for reco in both:
                out_of_turn(reco, user)
        case "by hand", user, item:
            if item in known_items(shop):
                for reco in both:
                    reco.system.stored.upsert_recommendation(user, item, score=0.5)
        case "interest by hand", user, category:
            for reco in both:
                reco.system.stored.upsert_interest(user, category, score=0.5)
        case "similar", item:
            if item in known_items(shop):
                for reco in both:
                    reco.system.run_job("compute_item_similarities", item_id=item)


def known_items(shop: Shop) -> set[object]:
    everything = [ItemId(f"i{place:02}") for place in range(16)]
    return {*shop.reco.ports.catalog.cards(everything, at=shop.clock.now())}


def out_of_turn(reco: Recommender, user: str) -> None:
    """Compute and store a homepage as a request does."""
    scorer = reco._use_cases.events.list_reader.scorer
    market = scorer.market()
    profiles = scorer.profiles(market, IdIndex(IdColumn.of(reco.settings.ids.user, [user])))
    pages = scorer.homepages(market, profiles, keep=scorer.rankings.kept)
    store_one(reco.ports.lists, ListKind.PERSONAL, pages)


def goes_through(shop: Shop, history: list[tuple[list[Step], timedelta, list[str]]]) -> None:
    shop.run()
    shop.agree()
    for some, wait, jobs in history:
        for step in some:
            shop.clock.advance(MINUTE)
            happens(shop, step)
        shop.clock.advance(wait)
        shop.run(*jobs)
        shop.agree(*jobs)
    shop.run()
    shop.agree()


@settings(max_examples=250)
@given(ends=ends, history=runs)
def test_the_results_are_those_of_full_runs(
    ends: dict[int, float], history: list[tuple[list[Step], timedelta, list[str]]]
) -> None:
    goes_through(in_memory(ends=ends), history)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(ends=ends, history=runs)
def test_those_on_a_database_are(
    ends: dict[int, float], history: list[tuple[list[Step], timedelta, list[str]]]
) -> None:
    with on_sqlite(ends) as shop:
        goes_through(shop, history)
