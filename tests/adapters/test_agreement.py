"""Memory and SQLite answer alike, whatever is in the marketplace."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from angle_reco.adapters.memory.activity import MemoryActivity
from angle_reco.adapters.memory.catalog import MemoryCatalog
from angle_reco.adapters.memory.marketplace import MemoryMarketplace
from angle_reco.adapters.memory.users import MemoryUsers
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.ids import CategoryId, UserId
from angle_reco.domain.items import Item
from angle_reco.domain.scoring.popularity import BidCounting
from angle_reco.domain.users import User
from angle_reco.ports.activity import ActivityQueries
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.users import UserQueries
from angle_reco.testing.contracts import KINDS, Sample
from angle_reco.testing.contracts.activity_base import seen
from angle_reco.testing.contracts.catalog_base import category_of, open_items, seller_of
from angle_reco.testing.contracts.samples import NOW, TICK
from tests.adapters.databases import fill, ports_on, storage_on

SAMPLE = Sample(KINDS[-1])

users = st.sampled_from(SAMPLE.users[:5])
items = st.sampled_from(SAMPLE.items[:5])
moments = st.integers(-2, 2).map(lambda ticks: NOW + TICK * ticks)
prices = st.sampled_from([Decimal(0), Decimal("0.5"), Decimal(7)])


@attrs.frozen(kw_only=True)
class Market:
    """The rows of a small marketplace."""

    users: list[User]
    items: list[Item]
    bids: list[Bid]
    watches: list[Watch]


@st.composite
def markets(draw: st.DrawFn) -> Market:
    def maybe(strategy: st.SearchStrategy[Any]) -> Any:
        return draw(st.none() | strategy)

    known_users = draw(st.lists(users, unique=True))
    known_items = draw(st.lists(items, unique=True))
    pairs = [(user_id, item_id) for user_id in known_users for item_id in known_items]
    some = st.lists(st.sampled_from(pairs), max_size=12) if pairs else st.just([])
    return Market(
        users=[
            User(
                user_id=one,
                created_at=maybe(moments),
                last_sign_in_at=maybe(moments),
                sign_in_count=draw(st.integers(0, 3)),
            )
            for one in known_users
        ],
        items=[
            Item(
                item_id=one,
                category_id=maybe(st.sampled_from(SAMPLE.categories[:3])),
                seller_id=maybe(users),
                starting_price=maybe(prices),
                is_published=draw(st.booleans()),
                status=maybe(st.sampled_from(AuctionStatus)),
                starts_at=maybe(moments),
                ends_at=maybe(moments),
                listed_at=maybe(moments),
            )
            for one in known_items
        ],
        bids=[
            Bid(user_id=user, item_id=item, amount=maybe(prices), placed_at=draw(moments))
            for user, item in draw(some)
        ],
        watches=[
            Watch(user_id=user, item_id=item, watched_at=draw(moments))
            for user, item in set(draw(some))
        ],
    )


@pytest.fixture
def storage() -> Iterator[Storage]:
    """Return a database that lives as long as its one connection."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    storage = storage_on(engine, SAMPLE.ids)
    storage.migrate_up()
    yield storage
    engine.dispose()


@given(market=markets(), at=moments, since=st.none() | moments, until=st.none() | moments)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_memory_and_sqlite_answer_alike(
    storage: Storage, market: Market, at: datetime, since: datetime | None, until: datetime | None
) -> None:
    rows = {field: getattr(market, field) for field in ("users", "items", "bids", "watches")}
    memory = MemoryMarketplace(ids=SAMPLE.ids, **rows)
    with storage.database.engine.begin() as connection:
        for table in storage.tables.reference.sorted_tables:
            connection.execute(sa.delete(table))
    fill(storage, **rows)
    ports = ports_on(storage)

    assert of_users(ports.users, at, until) == of_users(MemoryUsers(memory), at, until)
    assert of_activity(ports.activity, since, until) == of_activity(
        MemoryActivity(memory), since, until
    )
    assert of_catalog(ports.catalog, at, until) == of_catalog(MemoryCatalog(memory), at, until)


def of_users(port: UserQueries, at: datetime, until: datetime | None) -> list[object]:
    return [
        port.active_since(at, until=until).to_list(),
        [port.sign_ins(UserId(one), until=until) for one in SAMPLE.users[:6]],
        port.total(),
    ]


def of_activity(
    port: ActivityQueries, since: datetime | None, until: datetime | None
) -> list[object]:
    some_users = SAMPLE.user_column(SAMPLE.users[1:4])
    some_items = SAMPLE.item_column(SAMPLE.items[1:4])
    bids = [port.user_bids(one, since=since, until=until) for one in SAMPLE.users[:6]]
    return [
        seen(port.interactions(since=since, until=until)),
        seen(port.interactions(until=until, users=some_users)),
        seen(port.interactions(since=since, items=some_items, users=some_users)),
        [[(bid.placed_at, bid.item_id) for bid in one] for one in bids],
        [Counter(one) for one in bids],
        [port.user_watchlist(one, since=since, until=until) for one in SAMPLE.users[:6]],
        port.engaged_users(SAMPLE.items[:6], until=until),
        [port.touched_by(one, until=until) for one in SAMPLE.users[:6]],
        port.totals(),
    ]


def of_catalog(port: CatalogQueries, at: datetime, until: datetime | None) -> list[object]:
    answers: list[object] = [port.total()]
    for counting in BidCounting:
        found = open_items(port, at, until=until, counting=counting)
        answers += [
            found.items.ids.to_list(),
            [(category_of(found, row), seller_of(found, row)) for row in range(len(found))],
            [
                column.tolist()
                for column in (
                    found.prices,
                    found.status,
                    found.ends_at,
                    found.listed_at,
                    found.bids,
                    found.watchers,
                )
            ],
        ]
    for viewer in (None, SAMPLE.users[1]):
        answers.append(dict(port.cards(SAMPLE.items[:6], at=at, until=until, viewer=viewer)))
    found_categories = port.categories(SAMPLE.item_column(SAMPLE.items[:6]))
    answers.append(
        [
            None if code < 0 else CategoryId(found_categories.categories.ids[code])
            for code in found_categories.codes.tolist()
        ]
    )
    return answers
