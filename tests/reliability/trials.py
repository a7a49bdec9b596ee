"""What the tests of reliability have in common: their sizes, threads, and a small market."""

import os
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import Any, TypeVar

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql import Storage
from angle_reco.domain import Bid, User, UserId
from tests.adapters.databases import fill
from tests.application.shop import NOW, bid, lots, watch

SIZE_VARIABLE = "ANGLE_RECO_TEST_SIZE"

GRACE = 0.5
"""How many seconds later than its deadline a call may end: threads wait for a processor, too."""

_T = TypeVar("_T")


def sized(small: int, full: int) -> int:
    """Return how large a test is: `make reliability` runs them in full."""
    return full if os.environ.get(SIZE_VARIABLE) == "full" else small


def seeded() -> random.Random:
    """Return chance that can be had again: pytest shows the seed of a test that fails."""
    seed = int(os.environ.get("ANGLE_RECO_TEST_SEED", random.SystemRandom().randrange(10**9)))
    print(f"ANGLE_RECO_TEST_SEED={seed}")
    return random.Random(seed)


def together(count: int, work: Callable[[int], _T]) -> list[_T]:
    """Return what *work* returns in so many threads at once; the first error is raised."""
    with ThreadPoolExecutor(count) as pool:
        return [one.result() for one in [pool.submit(work, place) for place in range(count)]]


@attrs.frozen
class Ended:
    """How something ended, and after how many seconds."""

    result: Any
    error: Exception | None
    seconds: float


def ended(work: Callable[[], object]) -> Ended:
    """Return how *work* ended."""
    began = monotonic()
    try:
        result, error = work(), None
    except Exception as raised:  # noqa: BLE001 — which it may be is what the tests look at
        result, error = None, raised
    return Ended(result, error, monotonic() - began)


def fill_market(storage: Storage) -> None:
    """Put a market into the reference schema: 30 users, 300 items, and what happened."""
    items = [*lots("art", 99, "art"), *lots("toy", 99, "toy"), *lots("car", 99, "car")]
    users = [f"user-{place:02}" for place in range(30)]
    bids: list[Bid] = [
        bid(user, items[(place * 7 + number * 13) % len(items)].item_id, days=1 + number, amount=5)
        for place, user in enumerate(users)
        for number in range(20)
    ]
    fill(
        storage,
        users=[User(user_id=UserId(user), last_sign_in_at=NOW) for user in users],
        items=items,
        bids=bids,
        watches=[watch(user, items[place].item_id) for place, user in enumerate(users)],
    )


@contextmanager
def looking_into(url: str) -> Iterator[sa.Connection]:
    """Give a connection that sees what is committed, from beside the code under test."""
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
