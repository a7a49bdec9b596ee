"""Sample data of the contract suites: ids that are hard to handle, and rows with these ids."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Protocol, TypeAlias, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import numpy as np
import pytest

from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.items import Item
from angle_reco.domain.lists import ListKind, Lists
from angle_reco.domain.moments import to_micros
from angle_reco.domain.scoring.interest import Interests, UserInterest
from angle_reco.domain.stored_list import Recipe, StoredLine
from angle_reco.domain.users import User

NOW = datetime(2026, 3, 1, 12, 30, 15, 123_456, tzinfo=UTC)
"""The current moment in the contract suites."""

TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

ELSEWHERE = timezone(timedelta(hours=5, minutes=45))
"""A time zone other than UTC."""

_BERLIN = ZoneInfo("Europe/Berlin")
SUMMER = datetime(2026, 10, 25, 2, 30, tzinfo=_BERLIN)
WINTER = datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=_BERLIN)
"""Two moments of equal local time, an hour apart: at the end of summer time."""

RECIPE = Recipe(name="classic", weights=(("interest", 600_000), ("popularity", 400_000)), kept=60)
"""The recipe of sample lists, unless a promise is about recipes."""

_IDS: dict[IdKind, tuple[object, ...]] = {
    IdKind.INT: (
        -(2**63),
        -(2**53) - 1,
        -10,
        -9,
        -1,
        0,
        1,
        9,
        10,
        2**31,
        2**53 + 1,
        2**63 - 2,
        2**63 - 1,
    ),
    IdKind.UUID: (
        UUID(int=0),
        UUID(int=1),
        UUID("00000000-0000-0001-0000-000000000000"),
        UUID("01000000-0000-0000-0000-000000000000"),
        UUID("0a000000-0000-0000-0000-000000000000"),
        UUID("20202020-2020-2020-2020-202020202020"),
        UUID("7fffffff-ffff-ffff-ffff-ffffffffff00"),
        UUID("80000000-0000-0000-0000-000000000000"),
        UUID("80000000-0000-0000-0000-000000000100"),
        UUID("a0000000-0000-4000-8000-000000000000"),
        UUID("abcdef01-2345-6789-abcd-ef0123456700"),
        UUID("ff000000-0000-0000-0000-000000000000"),
        UUID(int=2**128 - 1),
    ),
    # In the order of code points; the last two are swapped in the order of UTF-16 units.
    IdKind.TEXT: (
        " a ",
        "%",
        "'; DROP TABLE users; --",
        "--help",
        "007",
        "10",
        "7",
        "A",
        "Z",
        "_",
        "a",
        'a,"b"\\',
        "z",
        "Ä",
        "é",
        "\uff5e",
        "😀",
    ),
}

_UNKNOWN: dict[IdKind, object] = {
    IdKind.INT: 8,
    IdKind.UUID: UUID("00000000-0000-0000-0000-000000000100"),
    IdKind.TEXT: "a\u0301",
}

KINDS = (
    IdKinds(user=IdKind.TEXT, item=IdKind.TEXT, category=IdKind.TEXT),
    IdKinds(user=IdKind.INT, item=IdKind.UUID, category=IdKind.INT),
    IdKinds(user=IdKind.UUID, item=IdKind.INT, category=IdKind.UUID),
)
"""The combinations of id kinds each promise is tested with: every kind for every entity."""


OwnedLines: TypeAlias = tuple[object, Sequence[StoredLine]]


@attrs.frozen
class Sample:
    """Users, items and categories with ids of the given kinds, by position in id order."""

    ids: IdKinds

    @property
    def users(self) -> list[UserId]:
        """Return the ids of users, in id order."""
        return [UserId(one) for one in _IDS[self.ids.user]]

    @property
    def items(self) -> list[ItemId]:
        """Return the ids of items, in id order."""
        return [ItemId(one) for one in _IDS[self.ids.item]]

    @property
    def categories(self) -> list[CategoryId]:
        """Return the ids of categories, in id order."""
        return [CategoryId(one) for one in _IDS[self.ids.category]]

    @property
    def unknown_user(self) -> UserId:
        """Return an id that no user has."""
        return UserId(_UNKNOWN[self.ids.user])

    @property
    def unknown_item(self) -> ItemId:
        """Return an id that no item has."""
        return ItemId(_UNKNOWN[self.ids.item])

    @property
    def everyone(self) -> list[User]:
        """Return all users, with an id and no other data."""
        return [User(user_id=one) for one in self.users]

    @property
    def everything(self) -> list[Item]:
        """Return all items, with an id and no other data."""
        return [Item(item_id=one) for one in self.items]

    def user(
        self,
        place: int,
        *,
        created_at: datetime | None = None,
        last_sign_in_at: datetime | None = None,
        sign_in_count: int = 0,
    ) -> User:
        """Return the user at *place*."""
        return User(
            user_id=self.users[place],
            created_at=created_at,
            last_sign_in_at=last_sign_in_at,
            sign_in_count=sign_in_count,
        )

    def item(self, place: int) -> Item:
        """Return the item at *place*, without other data; use `attrs.evolve` to add some."""
        return Item(item_id=self.items[place])

    def bid(
        self, user: int, item: int, at: datetime = NOW, amount: Decimal | str | None = None
    ) -> Bid:
        """Return a bid; *user* and *item* are places."""
        return Bid(
            user_id=self.users[user],
            item_id=self.items[item],
            amount=None if amount is None else Decimal(amount),
            placed_at=at,
        )

    def watch(self, user: int, item: int, at: datetime = NOW) -> Watch:
        """Return a watch; *user* and *item* are places."""
        return Watch(user_id=self.users[user], item_id=self.items[item], watched_at=at)

    def owners(self, kind: ListKind) -> list[object]:
        """Return owners of lists, in id order."""
        match kind:
            case ListKind.SIMILAR:
                return list(self.items)
            case ListKind.PERSONAL:
                return list(self.users)
            case ListKind.POPULAR:
                return ["", *sorted(str(one) for one in self.categories)]

    def owner_column(self, kind: ListKind, owners: Iterable[object]) -> IdColumn:
        """Return owners of lists as a column."""
        match kind:
            case ListKind.SIMILAR:
                return IdColumn.of(self.ids.item, owners)
            case ListKind.PERSONAL:
                return IdColumn.of(self.ids.user, owners)
            case ListKind.POPULAR:
                return IdColumn.of(IdKind.TEXT, owners)

    def user_column(self, users: Iterable[UserId]) -> IdColumn:
        """Return users as a column."""
        return IdColumn.of(self.ids.user, users)

    def item_column(self, items: Iterable[ItemId]) -> IdColumn:
        """Return items as a column."""
        return IdColumn.of(self.ids.item, items)

    def interests(self, rows: Sequence[UserInterest], *, recipe: str = "") -> Interests:
        """Return interests as columns."""
        users, user = IdIndex.of_nullable(self.ids.user, [row.user_id for row in rows])
        categories, category = IdIndex.of_nullable(
            self.ids.category, [row.category_id for row in rows]
        )
        return Interests(
            users=users,
            user=user,
            categories=categories,
            category=category,
            scores=np.array([row.score for row in rows], np.int64),
            strengths=np.array([row.strength for row in rows], np.int64),
            counts=np.array([row.interaction_count for row in rows], np.int64),
            last_at=np.array([to_micros(row.last_interaction_at) for row in rows], np.int64),
            recipe=recipe,
        )

    def lists(
        self,
        kind: ListKind,
        lists: Mapping[object, Sequence[StoredLine]] | Sequence[OwnedLines],
        *,
        at: datetime = NOW,
        recipe: Recipe = RECIPE,
    ) -> Lists:
        """Return lists as columns; a sequence may hold several lists of one owner."""
        owned = list(lists.items()) if isinstance(lists, Mapping) else lists
        lines = [line for _, one in owned for line in one]
        parts = np.array([line.parts for line in lines], np.int32)
        return Lists(
            owners=self.owner_column(kind, [owner for owner, _ in owned]),
            offsets=np.cumsum([0, *(len(one) for _, one in owned)], dtype=np.int64),
            items=self.item_column(line.item_id for line in lines),
            scores=np.array([line.score for line in lines], np.int32),
            parts=parts.reshape(len(lines), len(recipe.weights)),
            reasons=np.array([line.reason.code for line in lines], np.int8),
            sources=np.array([line.source.code for line in lines], np.int8),
            recipe=recipe,
            computed_at=at,
        )


Port_co = TypeVar("Port_co", covariant=True)


class Make(Protocol[Port_co]):
    """A factory of the port under test, over a marketplace of exactly these rows.

    Bids and watches refer to the given users and items. Equal bids are separate bids; a
    user watches an item at most once. A test calls the factory once.
    """

    def __call__(
        self,
        *,
        users: Iterable[User] = (),
        items: Iterable[Item] = (),
        bids: Iterable[Bid] = (),
        watches: Iterable[Watch] = (),
    ) -> Port_co:
        """Return the port under test."""
        ...


class EveryIdKind:
    """Runs each test with each combination of id kinds in `KINDS`."""

    @pytest.fixture(params=KINDS, ids=lambda ids: f"{ids.user}-{ids.item}-{ids.category}")
    def sample(self, request: pytest.FixtureRequest) -> Sample:
        """Return the users, items and categories that tests store."""
        return Sample(request.param)
