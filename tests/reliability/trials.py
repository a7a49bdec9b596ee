"""What the tests of reliability have in common: their sizes, threads, and a small market."""

import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, TypeVar

import attrs
import numpy as np
import sqlalchemy as sa

from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.activity import Bid
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, UserId
from angle_reco.domain.lists import ListKind, Lists
from angle_reco.domain.scoring.interest import Interests, UserInterest
from angle_reco.domain.suggestions import Reason, Source
from angle_reco.domain.users import User
from angle_reco.testing.contracts import Sample
from angle_reco.testing.contracts.samples import RECIPE
from tests.adapters.databases import fill
from tests.application.shop import NOW, bid, lots, watch

SIZE_VARIABLE = "ANGLE_RECO_TEST_SIZE"

IS_FULL = os.environ.get(SIZE_VARIABLE) == "full"

GRACE = 0.5 if IS_FULL else 2.5
"""How many seconds later than its deadline a call may end: threads wait for a processor, too.

Small tests run on machines that others use, which at times stand still for a second or two.
"""

SAMPLE = Sample(IdKinds())

_A_LIST = 20
_PER_USER = 5
_T = TypeVar("_T")


def sized(small: int, full: int) -> int:
    """Return how large a test is: `make reliability` runs them in full."""
    return full if IS_FULL else small


def seeded() -> random.Random:
    """Return chance that can be had again: pytest shows the seed of a test that fails."""
    seed = int(os.environ.get("ANGLE_RECO_TEST_SEED", random.SystemRandom().randrange(10**9)))
    print(f"ANGLE_RECO_TEST_SEED={seed}")
    return random.Random(seed)


def together(count: int, work: Callable[[int], _T]) -> list[_T]:
    """Return what *work* returns in so many threads at once; the first error is raised."""
    with ThreadPoolExecutor(count) as pool:
        return [one.result() for one in [pool.submit(work, place) for place in range(count)]]


@contextmanager
def while_waiting(count: int, look: Callable[[], object]) -> Iterator[None]:
    """Look again and again in so many threads until the end of the block."""
    is_over = threading.Event()

    def looking(_: int) -> None:
        while not is_over.is_set():
            look()

    with ThreadPoolExecutor(count) as pool:
        looks = [pool.submit(looking, place) for place in range(count)]
        try:
            yield
        finally:
            is_over.set()
        for one in looks:
            one.result()


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


def lists_of(
    version: int,
    owners: Sequence[str],
    kind: ListKind = ListKind.PERSONAL,
    *,
    versions: Sequence[int] | None = None,
) -> Lists:
    """Return lists of which every line says which version it is of; later ones are newer.

    With *versions* each says its own, though they are all as new as *version*.
    """
    of_line = np.repeat(versions or [version] * len(owners), _A_LIST)
    place = np.tile(np.arange(_A_LIST), len(owners))
    return Lists(
        owners=IdColumn.of(IdKind.TEXT, owners),
        offsets=np.arange(len(owners) + 1) * _A_LIST,
        items=IdColumn.of(
            IdKind.TEXT, [f"{one}-{of}" for one, of in zip(of_line, place, strict=True)]
        ),
        scores=(of_line * 1_000 + place).astype(np.int32),
        parts=np.stack([of_line, place], axis=1).astype(np.int32),
        reasons=np.full(len(place), Reason.FAVOURITE_CATEGORY.code, np.int8),
        sources=np.full(len(place), Source.PERSONAL.code, np.int8),
        recipe=RECIPE,
        computed_at=_at(version),
    )


def versions_of_lists(
    url: str, kind: ListKind = ListKind.PERSONAL, like: str = "%"
) -> dict[str, set[int]]:
    """Return of which versions each list is, looked at from beside the code under test."""
    query = sa.text(
        f"SELECT owner, items, scores, parts FROM angle_reco_{kind}_lists WHERE owner LIKE :like"  # noqa: S608 — constant names
    )
    with looking_into(url) as connection:
        rows = connection.execute(query, {"like": like}).all()
    return {
        owner: {
            *(int(item.split("-")[0]) for item in items),
            *(score // 1_000 for score in scores),
            *parts[::2],
            *([] if len(items) == len(scores) == _A_LIST else [-1]),
        }
        for owner, items, scores, parts in rows
    }


def interests_of(version: int, users: Iterable[str]) -> Interests:
    """Return interests of which every row says which version it is of."""
    return SAMPLE.interests(
        [
            UserInterest(
                user_id=UserId(user),
                category_id=CategoryId(f"{version}-{place}"),
                score=version * 1_000,
                strength=version * 1_000,
                interaction_count=version + 1,
                last_interaction_at=_at(version),
            )
            for user in users
            for place in range(_PER_USER)
        ]
    )


def versions_of_interests(url: str, like: str = "%") -> dict[str, set[int]]:
    """Return of which versions each user's interests are, from beside the code under test."""
    query = sa.text(
        "SELECT user_id, array_agg(category_id), array_agg(score), array_agg(interaction_count)"
        " FROM angle_reco_user_interests WHERE user_id LIKE :like GROUP BY 1"
    )
    with looking_into(url) as connection:
        rows = connection.execute(query, {"like": like}).all()
    return {
        user: {
            *(int(category.split("-")[0]) for category in categories),
            *(score // 1_000 for score in scores),
            *(count - 1 for count in counts),
            *([] if len(scores) == _PER_USER else [-1]),
        }
        for user, categories, scores, counts in rows
    }


def _at(version: int) -> datetime:
    return NOW + timedelta(seconds=version)


@contextmanager
def looking_into(url: str) -> Iterator[sa.Connection]:
    """Give a connection that sees what is committed, from beside the code under test."""
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
