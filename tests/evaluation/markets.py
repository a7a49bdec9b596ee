"""Small marketplaces in memory to evaluate rankings on."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import strategies as st

from angle_reco.adapters.memory.marketplace import MemoryMarketplace
from angle_reco.composition import memory_ports
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.ids import ItemId, UserId
from angle_reco.domain.items import Item
from angle_reco.domain.users import User
from angle_reco.evaluation.history import Evidence
from angle_reco.settings import Settings

START = datetime(2026, 1, 1, tzinfo=UTC)
USERS, ITEMS = 6, 8
DAYS = 40


def day(number: float) -> datetime:
    """Return the moment so many days after the start."""
    return START + timedelta(days=number)


def bid(user: str, item: str, at: float) -> Bid:
    return Bid(user_id=UserId(user), item_id=ItemId(item), placed_at=day(at))


def watch(user: str, item: str, at: float) -> Watch:
    return Watch(user_id=UserId(user), item_id=ItemId(item), watched_at=day(at))


def market_of(
    happened: Iterable[Bid | Watch], items: Iterable[Item] = (), *, users: Iterable[str] = ()
) -> MemoryMarketplace:
    """Return a marketplace with these rows, and whatever users and items they name besides."""
    happened, listed = list(happened), {item.item_id: item for item in items}
    for one in happened:
        listed.setdefault(one.item_id, Item(item_id=one.item_id))
    names = dict.fromkeys([*(one.user_id for one in happened), *map(UserId, users)])
    return MemoryMarketplace(
        users=[User(user_id=name) for name in names],
        items=listed.values(),
        bids=[one for one in happened if isinstance(one, Bid)],
        watches=[one for one in happened if isinstance(one, Watch)],
    )


def evidence_of(market: MemoryMarketplace, settings: Settings | None = None) -> Evidence:
    """Return a marketplace in memory as evidence."""
    ports = memory_ports(market)
    return Evidence(
        activity=ports.activity,
        catalog=ports.catalog,
        kernels=ports.kernels,
        settings=Settings() if settings is None else settings,
    )


def _money(price: int | None) -> Decimal | None:
    return None if price is None else Decimal(price)


def _day_or_none(number: int | None) -> datetime | None:
    return None if number is None else day(number)


_user = st.integers(0, USERS - 1).map(lambda one: f"u{one}")
_item = st.integers(0, ITEMS - 1).map(lambda one: f"i{one}")
_moment = st.integers(0, 4 * DAYS).map(lambda quarter: quarter / 4)

touches = st.lists(
    st.one_of(st.builds(bid, _user, _item, _moment), st.builds(watch, _user, _item, _moment)),
    min_size=5,
    max_size=60,
)
"""Bids and watches of a few users on a few items within `DAYS`."""

items = st.tuples(
    *(
        st.builds(
            Item,
            item_id=st.just(ItemId(f"i{number}")),
            category_id=st.sampled_from([None, "art", "books"]),
            seller_id=st.sampled_from([None, "u0", "zoe"]),
            starting_price=st.sampled_from([None, 10, 15, 100]).map(_money),
            ends_at=st.sampled_from([None, 5, 20, 60]).map(_day_or_none),
            listed_at=st.sampled_from([None, 0, 10]).map(_day_or_none),
        )
        for number in range(ITEMS)
    )
)
