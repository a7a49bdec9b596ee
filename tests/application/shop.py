"""A small shop for tests: short ways to fill it, and a recommender whose clock stands still."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import attrs

from angle_reco import CategoryId, IdKinds, ItemId, Recommender, Settings, Shelf, UserId
from angle_reco.composition import Ports, memory_ports
from angle_reco.ports.clock import Clock
from angle_reco.testing import AuctionStatus, Bid, Item, ManualClock, MemoryMarketplace, User, Watch

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

MANAGE = "manage_recommendations"
INSPECT = "inspect_users"


def lot(
    item_id: object,
    category: object | None = "art",
    *,
    price: int | None = 100,
    seller: object | None = None,
    listed: float | None = 20,
    ends: float | None = None,
    starts: float | None = None,
    status: AuctionStatus | None = None,
    is_published: bool = True,
) -> Item:
    """Return an item, listed so many days ago, that ends and starts in so many days."""
    return Item(
        item_id=ItemId(item_id),
        category_id=None if category is None else CategoryId(category),
        seller_id=None if seller is None else UserId(seller),
        title=f"the lot {item_id}",
        starting_price=None if price is None else Decimal(price),
        is_published=is_published,
        status=status,
        listed_at=None if listed is None else NOW - timedelta(days=listed),
        ends_at=None if ends is None else NOW + timedelta(days=ends),
        starts_at=None if starts is None else NOW + timedelta(days=starts),
    )


def lots(name: str, count: int, category: object | None = "art") -> list[Item]:
    """Return items that are alike: name-01, name-02, …"""
    return [lot(f"{name}-{place:02}", category) for place in range(1, count + 1)]


def bid(user: object, item: object, days: float = 1, amount: int | None = None) -> Bid:
    """Return a bid of so many days ago."""
    return Bid(
        user_id=UserId(user),
        item_id=ItemId(item),
        amount=None if amount is None else Decimal(amount),
        placed_at=NOW - timedelta(days=days),
    )


def watch(user: object, item: object, days: float = 1) -> Watch:
    """Return a watch since so many days ago."""
    return Watch(user_id=UserId(user), item_id=ItemId(item), watched_at=NOW - timedelta(days=days))


def filled(
    items: Iterable[Item],
    *happened: Bid | Watch,
    users: Iterable[object] = (),
    ids: IdKinds | None = None,
) -> MemoryMarketplace:
    """Return a marketplace with *items*, what happened, and who did it; all signed in today."""
    everybody = dict.fromkeys([*users, *(one.user_id for one in happened)])
    return MemoryMarketplace(
        users=[User(user_id=UserId(one), last_sign_in_at=NOW) for one in everybody],
        items=items,
        bids=[one for one in happened if isinstance(one, Bid)],
        watches=[one for one in happened if isinstance(one, Watch)],
        ids=ids,
    )


def opened(
    market: MemoryMarketplace | None = None,
    settings: Settings | None = None,
    *,
    clock: Clock | None = None,
    permissions: Callable[[UserId, str], bool] | None = None,
) -> Recommender:
    """Return a recommender of *market* whose clock stands at NOW."""
    ports = memory_ports(market, permissions=permissions)
    settings = settings or Settings(cache_enabled=False)
    return Recommender(attrs.evolve(ports, clock=clock or ManualClock(NOW)), settings)


def again(ports: Ports, settings: Settings | None = None, **changes: Any) -> Recommender:
    """Return another recommender on the same data and stores."""
    settings = settings or Settings(cache_enabled=False)
    return Recommender(attrs.evolve(ports, **changes), settings)


def clock_of(reco: Recommender) -> ManualClock:
    """Return the clock of a recommender, to be moved."""
    assert isinstance(reco.ports.clock, ManualClock)
    return reco.ports.clock


def ids_of(shelf: Shelf) -> list[object]:
    """Return which items a shelf shows, in order."""
    return list(shelf.ids)


def scores_of(shelf: Shelf) -> list[int]:
    """Return the scores of a shelf, in order."""
    return [one.score for one in shelf]
