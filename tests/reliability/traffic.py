"""Visitors who come at a steady rate, however long each is kept waiting, and what they got."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import NamedTuple

import attrs

from angle_reco import ItemId, Recommender, Shelf, UserId
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.testing import Bid, User, Watch
from tests.adapters.databases import fill
from tests.application.shop import lot

PER_SECOND = 200
_MOST_AT_ONCE = 300

KNOWN = [f"user-{number:03}" for number in range(100)]
"""Whose homepages are in memory."""

STRANGERS = [f"user-{number:03}" for number in range(100, 300)]
"""Whose homepages are stored, and not in memory."""

SEEN = [f"item-{number:03}" for number in range(100)]
"""The items whose similar ones are in memory."""

_CATEGORIES = ("art", "toy", "car", "map")


def fill_todays_market(reco: Recommender) -> None:
    """Put 300 users, 300 items and what happened lately into a database, and run the jobs."""
    now = datetime.now(UTC)
    items = [
        attrs.evolve(
            lot(f"item-{number:03}", _CATEGORIES[number % 4]), listed_at=now - timedelta(days=20)
        )
        for number in range(300)
    ]
    users = [UserId(one) for one in (*KNOWN, *STRANGERS)]

    def item_of(user: int, number: int) -> ItemId:
        return items[(user * 7 + number * 28 + user % 4) % len(items)].item_id

    assert reco.storage is not None
    fill(
        reco.storage,
        users=[User(user_id=user, last_sign_in_at=now) for user in users],
        items=items,
        bids=[
            Bid(user_id=user, item_id=item_of(place, number), placed_at=now - timedelta(days=1))
            for place, user in enumerate(users)
            for number in range(5)
        ],
        watches=[
            Watch(user_id=user, item_id=item_of(place, 9), watched_at=now - timedelta(days=2))
            for place, user in enumerate(users)
        ],
    )
    for job in BATCH_JOBS:
        reco.system.run_job(job)


class Visit(NamedTuple):
    """What a visitor asks for; *is_new* says that no list for it is in memory."""

    surface: str
    ask: Callable[[], Shelf]
    is_new: bool = False


@attrs.frozen
class Got:
    """How a visit went."""

    surface: str
    is_new: bool
    began: float
    seconds: float
    shelf: Shelf | None
    error: Exception | None

    @property
    def is_degraded(self) -> bool:
        """Return whether the answer says that something failed."""
        return self.shelf is not None and bool(self.shelf.degraded_by)


@attrs.define
class Visitors:
    """Those of one recommender: with *strangers* there are some of whom memory has nothing."""

    reco: Recommender
    strangers: bool = False
    got: list[Got] = attrs.field(factory=list)

    def warm(self) -> None:
        """Have in memory what the visitors ask for, but for the strangers."""
        for user in KNOWN:
            self.reco.as_user(user).homepage()
        for item in SEEN:
            self.reco.anonymous.similar_items(item)
        for user in STRANGERS:
            self.reco.system.forget_cached(user_id=user)

    def visit(self, number: int) -> Visit:
        """Return what the next of them asks for."""
        turn, place = number % 8, number // 8
        known = self.reco.as_user(KNOWN[place % len(KNOWN)])
        item = SEEN[place % len(SEEN)]
        if turn == 0 and self.strangers:
            stranger = self.reco.as_user(STRANGERS[place % len(STRANGERS)])
            return Visit("homepage", stranger.homepage, is_new=True)
        match turn:
            case 0 | 1 | 2:
                return Visit("homepage", known.homepage)
            case 3 | 4:
                return Visit("similar_items", lambda: known.similar_items(item))
            case 5:
                return Visit("popular_items", known.popular_items)
            case 6:
                return Visit("popular_items", lambda: known.popular_items(category="art"))
            case _:
                return Visit("after_bid", lambda: known.after_bid(item))

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Have them come until the end of the block, and until all were answered."""
        is_over = threading.Event()
        with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:

            def come() -> None:
                number, began = 0, monotonic()
                while not is_over.is_set():
                    sleep(max(began + number / PER_SECOND - monotonic(), 0))
                    pool.submit(self._answered, self.visit(number))
                    number += 1

            coming = threading.Thread(target=come)
            coming.start()
            try:
                yield
            finally:
                is_over.set()
                coming.join()

    def during(self, since: float, until: float) -> list[Got]:
        """Return how those visits went that began and ended within."""
        return [
            one for one in list(self.got) if since <= one.began and one.began + one.seconds <= until
        ]

    def _answered(self, visit: Visit) -> None:
        began, shelf, error = monotonic(), None, None
        try:
            shelf = visit.ask()
        except Exception as raised:  # noqa: BLE001 — that there is none is what the tests look at
            error = raised
        seconds = monotonic() - began
        self.got.append(Got(visit.surface, visit.is_new, began, seconds, shelf, error))


def percentile(seconds: Sequence[float], share: float) -> float:
    """Return what so large a share of them does not exceed."""
    return sorted(seconds)[int(share * (len(seconds) - 1))]
