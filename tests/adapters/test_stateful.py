"""Memory, SQLite and PostgreSQL answer alike, whatever happened before.

At full size, with ANGLE_RECO_TEST_SIZE=full, a difference is looked for much longer.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from typing import Any, Protocol, TypeAlias
from zoneinfo import ZoneInfo

import attrs
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from angle_reco.adapters.memory.marketplace import MemoryMarketplace
from angle_reco.adapters.sql.storage import Storage
from angle_reco.composition import Ports, memory_ports
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import AngleRecoError
from angle_reco.domain.ids import IdKinds
from angle_reco.domain.items import Item
from angle_reco.domain.lists import ListKind
from angle_reco.domain.millionths import ONE, SCORE_TOLERANCE
from angle_reco.domain.runs import Fence
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.scoring.popularity import BidCounting
from angle_reco.domain.stored_list import Recipe, StoredLine
from angle_reco.domain.suggestions import Reason, Source
from angle_reco.domain.users import User
from angle_reco.ports.activity import ActivityRecorder
from angle_reco.testing.contracts import KINDS, Sample
from angle_reco.testing.contracts.activity_base import seen
from angle_reco.testing.contracts.catalog_base import category_of, open_items, seller_of
from angle_reco.testing.contracts.samples import (
    ELSEWHERE,
    NOW,
    RECIPE,
    SUMMER,
    TICK,
    WINTER,
    OwnedLines,
)
from tests.adapters.databases import emptied, fill, mirrored, ports_on, put, storage_on

IS_FULL = os.environ.get("ANGLE_RECO_TEST_SIZE") == "full"
RUNS, STEPS = (250, 30) if IS_FULL else (4, 15)
"""For each choice of id kinds."""

SOME = slice(4, 10)
"""These of the sample's ids: capitals, small letters, an umlaut and signs are among them."""

_DAY = timedelta(days=1)
_WEST = timezone(timedelta(hours=-9, minutes=-30))

moments = st.one_of(
    st.builds(
        lambda ticks, zone: (NOW + TICK * ticks).astimezone(zone),
        st.integers(-2, 2),
        st.sampled_from([UTC, ELSEWHERE, _WEST, ZoneInfo("Europe/Berlin")]),
    ),
    st.sampled_from(
        [
            SUMMER,
            WINTER,
            NOW - 400 * _DAY,
            NOW - _DAY,
            NOW + _DAY,
            datetime(1, 1, 2, tzinfo=UTC),
            datetime(9999, 12, 30, 23, 59, 59, 999_999, tzinfo=UTC),
        ]
    ),
)
maybe_moments = st.none() | moments
amounts = st.sampled_from([None, "0", "0.0001", "2.5", "2.50", "19.9", "99999999999999.9999"]).map(
    lambda text: None if text is None else Decimal(text)
)
odd_amounts = st.sampled_from([Decimal("0.00001"), Decimal("1e15")])
users = st.integers(0, 5)
items = st.integers(0, 5)
categories = st.integers(0, 3)
kinds = st.sampled_from(ListKind)
fences = st.none() | st.builds(Fence, job=st.sampled_from(["a", "A"]), number=st.integers(0, 4))
scores = st.sampled_from([0, 500_000, 500_000 + SCORE_TOLERANCE, 500_001 + SCORE_TOLERANCE, ONE])
recipes = st.sampled_from([RECIPE, Recipe(name="été", weights=(("a", 1), ("b", 2)), kept=2)])


@attrs.frozen(kw_only=True)
class Line:
    """A line of a list before it is known which kinds of ids there are."""

    item: int
    score: int
    part: int
    reason: Reason
    source: Source


lines = st.lists(
    st.builds(
        Line,
        item=items,
        score=scores,
        part=st.integers(0, 2),
        reason=st.sampled_from([Reason.TRENDING, Reason.FOR_YOU]),
        source=st.sampled_from(Source),
    ),
    max_size=3,
)


class Side(Protocol):
    """One of those that should answer alike, and how its host's tables are filled."""

    @property
    def name(self) -> str: ...

    @property
    def ports(self) -> Ports: ...

    def put(self, row: User | Item) -> None: ...

    def import_bids(self, bid: Bid, times: int) -> None: ...


@attrs.frozen
class MemorySide:
    """Everything in memory."""

    market: MemoryMarketplace
    ports: Ports
    name: str = "memory"

    def put(self, row: User | Item) -> None:
        if isinstance(row, User):
            self.market.add_user(row)
        else:
            self.market.add_item(row)

    def import_bids(self, bid: Bid, times: int) -> None:
        self.market.bids.setdefault(bid.item_id, []).extend([bid] * times)


@attrs.frozen
class SqlSide:
    """Everything in a database."""

    storage: Storage
    ports: Ports

    @classmethod
    def of(cls, storage: Storage) -> "SqlSide":
        """Return one with nothing in it."""
        return cls(emptied(storage), ports_on(storage))

    @property
    def name(self) -> str:
        return self.storage.database.dialect

    def put(self, row: User | Item) -> None:
        put(self.storage, row)

    def import_bids(self, bid: Bid, times: int) -> None:
        fill(self.storage, bids=[bid] * times)


Ask: TypeAlias = Callable[[Ports], object]


class Sides(RuleBasedStateMachine):
    """Does the same to each side, and compares all that they answer."""

    def __init__(self, sample: Sample, storages: Iterable[Storage], host: Storage) -> None:
        super().__init__()
        self.sample = sample
        self.users, self.items = sample.users[SOME], sample.items[SOME]
        self.categories = sample.categories[SOME]
        self.market = MemoryMarketplace(ids=sample.ids)
        self.sides: list[Side] = [
            MemorySide(self.market, memory_ports(self.market)),
            *(SqlSide.of(storage) for storage in storages),
        ]
        self.host = ports_on(host)
        self.is_alike = True

    def same(self, ask: Ask, *, with_host: bool = False) -> object:
        """Return what all sides answer, which has to be the same."""
        answers = {side.name: answer(ask, side.ports) for side in self.sides}
        if with_host:
            answers["a host's"] = answer(ask, self.host)
        expected = answers.pop("memory")
        self.is_alike = all(other == expected for other in answers.values())
        assert answers == dict.fromkeys(answers, expected)
        return expected

    @initialize()
    def some_are_there(self) -> None:
        for side in self.sides:
            for user_id, item_id in zip(self.users[:3], self.items[:3], strict=True):
                side.put(User(user_id=user_id))
                side.put(Item(item_id=item_id))

    @rule(user=users, created_at=maybe_moments, last_at=maybe_moments, count=st.integers(0, 3))
    def user_comes_or_changes(
        self, user: int, created_at: datetime | None, last_at: datetime | None, count: int
    ) -> None:
        for side in self.sides:
            side.put(
                User(
                    user_id=self.users[user],
                    created_at=created_at,
                    last_sign_in_at=last_at,
                    sign_in_count=count,
                )
            )

    @rule(
        item=items,
        category=st.none() | categories,
        seller=st.none() | users,
        title=st.sampled_from(["", "Ärmel", "a\n\tb\\", "😀 '"]),
        price=amounts,
        is_published=st.sampled_from([True, True, False]),
        status=st.none() | st.sampled_from(AuctionStatus),
        starts_at=maybe_moments,
        ends_at=maybe_moments,
        listed_at=maybe_moments,
    )
    def item_comes_or_changes(
        self,
        item: int,
        category: int | None,
        seller: int | None,
        price: Decimal | None,
        **rest: Any,
    ) -> None:
        for side in self.sides:
            side.put(
                Item(
                    item_id=self.items[item],
                    category_id=None if category is None else self.categories[category],
                    seller_id=None if seller is None else self.users[seller],
                    starting_price=price,
                    **rest,
                )
            )

    @rule(
        some=st.lists(
            st.tuples(users, items, amounts | odd_amounts, moments), min_size=1, max_size=4
        )
    )
    def bids_are_placed(self, some: list[tuple[int, int, Decimal | None, datetime]]) -> None:
        for user, item, amount, at in some:
            bid = Bid(
                user_id=self.users[user], item_id=self.items[item], amount=amount, placed_at=at
            )
            self.same(partial(record_bid, bid))

    @rule(user=users, item=items, amount=amounts, at=moments, times=st.integers(1, 3))
    def equal_bids_are_imported(
        self, user: int, item: int, amount: Decimal | None, at: datetime, times: int
    ) -> None:
        one = Bid(
            user_id=self.users[user],
            item_id=self.items[item],
            amount=amount,
            placed_at=at.astimezone(UTC),
        )
        is_known = one in self.market.bids.get(one.item_id, ())

        if self.market.knows(one.user_id, one.item_id) and not is_known:
            for side in self.sides:
                side.import_bids(one, times)

    @rule(some=st.lists(st.tuples(users, items, moments), min_size=1, max_size=4))
    def items_are_watched(self, some: list[tuple[int, int, datetime]]) -> None:
        for user, item, at in some:
            watch = Watch(user_id=self.users[user], item_id=self.items[item], watched_at=at)
            self.same(partial(record_watch, watch))

    @rule(user=users, item=items)
    def unwatch(self, user: int, item: int) -> None:
        self.same(lambda ports: recorder_of(ports).remove_watch(self.users[user], self.items[item]))

    @rule(user=users, at=moments)
    def sign_in(self, user: int, at: datetime) -> None:
        self.same(lambda ports: ports.users.record_sign_in(self.users[user], at))

    @rule(
        rows=st.dictionaries(
            st.tuples(users, categories),
            st.tuples(scores, scores, st.integers(1, 2), moments),
            max_size=8,
        ),
        named=st.lists(users, max_size=8),
        recipe=st.sampled_from(["", "été"]),
        at=moments,
        fence=fences,
    )
    def interests_are_written(
        self,
        rows: Mapping[tuple[int, int], tuple[int, int, int, datetime]],
        named: list[int],
        recipe: str,
        at: datetime,
        fence: Fence | None,
    ) -> None:
        interests = self.sample.interests(
            [
                UserInterest(
                    user_id=self.users[user],
                    category_id=self.categories[category],
                    score=score,
                    strength=strength,
                    interaction_count=count,
                    last_interaction_at=last_at,
                )
                for (user, category), (score, strength, count, last_at) in rows.items()
            ],
            recipe=recipe,
        )
        of = self.sample.user_column(self.users[user] for user in named)

        self.same(
            lambda ports: ports.interests.write(interests, users=of, computed_at=at, fence=fence)
        )

    @rule(named=st.lists(users, max_size=8), at=moments, fence=fences)
    def interests_are_retained(self, named: list[int], at: datetime, fence: Fence | None) -> None:
        of = self.sample.user_column(self.users[user] for user in named)

        self.same(lambda ports: ports.interests.retain(of, started_at=at, fence=fence))

    @rule(
        kind=kinds,
        some=st.lists(st.tuples(st.integers(0, 5), lines), max_size=6),
        recipe=recipes,
        at=moments,
        fence=fences,
    )
    def lists_are_written(
        self,
        kind: ListKind,
        some: list[tuple[int, list[Line]]],
        recipe: Recipe,
        at: datetime,
        fence: Fence | None,
    ) -> None:
        owners = self.owners(kind)
        owned: list[OwnedLines] = [
            (
                owners[place],
                [
                    StoredLine(
                        item_id=self.items[line.item],
                        score=line.score,
                        parts=(line.score - line.part, line.part),
                        reason=line.reason,
                        source=line.source,
                    )
                    for line in of_owner
                ],
            )
            for place, of_owner in some
        ]
        lists = self.sample.lists(kind, owned, at=at, recipe=recipe)

        self.same(lambda ports: ports.lists.write(kind, lists, fence=fence))

    @rule(kind=kinds, places=st.lists(st.integers(0, 5), max_size=8), at=moments, fence=fences)
    def lists_are_retained(
        self, kind: ListKind, places: list[int], at: datetime, fence: Fence | None
    ) -> None:
        owners = self.owners(kind)
        stay = self.sample.owner_column(kind, [owners[place] for place in places])

        self.same(lambda ports: ports.lists.retain(kind, stay, started_at=at, fence=fence))

    @rule(since=moments, until=maybe_moments)
    def users_are_read(self, since: datetime, until: datetime | None) -> None:
        self.same(lambda ports: ports.users.active_since(since, until=until).to_list())
        self.same(lambda ports: [ports.users.sign_ins(one, until=until) for one in self.users])
        self.same(lambda ports: ports.users.total(until=until))

    @rule(
        since=maybe_moments,
        until=maybe_moments,
        some_users=st.lists(users, max_size=4),
        some_items=st.lists(items, max_size=4),
    )
    def activity_is_read(
        self,
        since: datetime | None,
        until: datetime | None,
        some_users: list[int],
        some_items: list[int],
    ) -> None:
        span: dict[str, Any] = {"since": since, "until": until}  # arguments of any type
        of = self.sample.user_column(self.users[user] for user in some_users)
        some = [self.items[item] for item in some_items]
        on = self.sample.item_column(some)
        asked: list[Ask] = [
            lambda ports: seen(ports.activity.interactions(**span)),
            lambda ports: seen(ports.activity.interactions(**span, users=of)),
            lambda ports: seen(ports.activity.interactions(until=until, items=on)),
            lambda ports: seen(ports.activity.interactions(since=since, users=of, items=on)),
            lambda ports: [list(ports.activity.user_bids(one, **span)) for one in self.users],
            lambda ports: [list(ports.activity.user_watchlist(one, **span)) for one in self.users],
            lambda ports: dict(ports.activity.engaged_users(some, until=until)),
            lambda ports: [ports.activity.touched_by(one, until=until) for one in self.users],
            lambda ports: ports.activity.totals(until=until),
        ]

        for ask in asked:
            self.same(ask, with_host=True)

    @rule(
        at=moments,
        until=maybe_moments,
        counting=st.sampled_from(BidCounting),
        viewer=st.none() | users,
        some=st.lists(items, max_size=4),
    )
    def catalog_is_read(
        self,
        at: datetime,
        until: datetime | None,
        counting: BidCounting,
        viewer: int | None,
        some: list[int],
    ) -> None:
        on = self.sample.item_column(self.items[item] for item in some)
        who = None if viewer is None else self.users[viewer]
        asked: list[Ask] = [
            lambda ports: opened(ports, at, until, counting),
            lambda ports: dict(ports.catalog.cards(self.items, at=at, until=until, viewer=who)),
            lambda ports: categories_of(ports, on),
            lambda ports: ports.catalog.total(until=until),
        ]

        for ask in asked:
            self.same(ask, with_host=True)

    @rule(limit=st.none() | st.integers(1, 3))
    def interests_are_read(self, limit: int | None) -> None:
        self.same(lambda ports: [ports.interests.of(one, limit=limit) for one in self.users])
        self.same(lambda ports: ports.interests.totals())

    @rule(kind=kinds, moment=moments)
    def lists_are_read(self, kind: ListKind, moment: datetime) -> None:
        self.same(lambda ports: dict(ports.lists.read(kind, self.owners(kind))))
        self.same(lambda ports: list(ports.lists.older_than(kind, moment)))
        self.same(lambda ports: ports.lists.totals(kind))

    def teardown(self) -> None:
        """Compare everything once more, whatever was asked for before."""
        if not self.is_alike:
            return
        self.users_are_read(NOW - _DAY, None)
        self.activity_is_read(None, None, [0, 1], [0, 1])
        self.catalog_is_read(NOW, None, BidCounting.BIDS, 0, [0, 1, 2])
        self.interests_are_read(None)
        for kind in ListKind:
            self.lists_are_read(kind, NOW + _DAY)

    def owners(self, kind: ListKind) -> list[object]:
        """Return owners of lists, some of whom have one."""
        return self.sample.owners(kind)[SOME]


def answer(ask: Ask, ports: Ports) -> object:
    """Return what somebody answers, or the error that they refuse with."""
    try:
        return ask(ports)
    except AngleRecoError as error:
        return type(error), str(error)


def recorder_of(ports: Ports) -> ActivityRecorder:
    """Return where bids and watches are written."""
    assert ports.recorder is not None
    return ports.recorder


def record_bid(bid: Bid, ports: Ports) -> bool:
    """Place a bid, and return whether that changed anything."""
    return recorder_of(ports).record_bid(bid)


def record_watch(watch: Watch, ports: Ports) -> bool:
    """Watch an item, and return whether that changed anything."""
    return recorder_of(ports).record_watch(watch)


def opened(
    ports: Ports, at: datetime, until: datetime | None, counting: BidCounting
) -> list[object]:
    """Return all that a catalogue says of the items that are open."""
    found = open_items(ports.catalog, at, until=until, counting=counting)
    return [
        found.items.ids.to_list(),
        [(category_of(found, row), seller_of(found, row)) for row in range(len(found))],
        *(
            column.tolist()
            for column in (
                found.prices,
                found.status,
                found.ends_at,
                found.listed_at,
                found.bids,
                found.watchers,
            )
        ),
    ]


def categories_of(ports: Ports, items: IdColumn) -> list[object]:
    """Return the category of each item, None for one that has none."""
    found = ports.catalog.categories(items)
    return [None if code < 0 else found.categories.ids[code] for code in found.codes.tolist()]


@pytest.fixture
def sqlite_engine() -> Iterator[sa.Engine]:
    """Return a database that lives as long as its one connection."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("ids", KINDS, ids=str)
def test_all_answer_alike(
    sqlite_engine: sa.Engine, postgres_storages: Mapping[IdKinds, Storage], ids: IdKinds
) -> None:
    on_sqlite, on_postgres = storage_on(sqlite_engine, ids), postgres_storages[ids]
    on_sqlite.migrate_up()
    host = storage_on(
        on_postgres.database.engine,
        ids,
        schema=on_postgres.tables.schema,
        host=mirrored(on_postgres),
    )

    class Here(Sides):
        def __init__(self) -> None:
            super().__init__(Sample(ids), [on_sqlite, on_postgres], host)

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )
