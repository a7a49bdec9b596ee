"""What is answered while something fails: the failure table, row by row, and what is told of it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic

import attrs
import pytest

from angle_reco import (
    AccessDeniedError,
    Freshness,
    InvalidValueError,
    ItemNotFoundError,
    Settings,
    Shelf,
    StorageUnavailableError,
)
from angle_reco.rules import Ranker
from tests.application.memories import ASK, MINUTE, CachingShop, settle, shop, warm
from tests.application.shop import HOUR, TICK, bid, filled, ids_of, lot, lots
from tests.application.workers import Hands

FRESH, STALE, ON_ERROR = Freshness.FRESH, Freshness.STALE, Freshness.STALE_ON_ERROR
SECOND = timedelta(seconds=1)
QUICK = Settings(deadline=timedelta(milliseconds=100))
DOWN = StorageUnavailableError

LISTS = ("homepage", "similar_items")
SURFACES = tuple(ASK)


@attrs.frozen
class Reply:
    """What a shelf has to be: its lines, those of the *list*, *popular* ones, or *nothing*."""

    lines: str
    freshness: Freshness
    degraded_by: tuple[str, ...] = ()


NOTHING = Reply("nothing", ON_ERROR, ("list", "popular"))
ITEMS, INTERESTS = ("items",), ("interests",)


def all_alike(reply: Reply) -> dict[str, Reply]:
    return dict.fromkeys(SURFACES, reply)


def shelves_of(freshness: Freshness, *failed: str) -> dict[str, Reply]:
    """Return that lists are shown, and that what failed is said; after a bid, interests too."""
    return {
        "homepage": Reply("list", freshness, failed),
        "similar_items": Reply("list", FRESH if freshness is STALE else freshness, failed),
        "after_bid": Reply(
            "list", FRESH if freshness is STALE else freshness, (*INTERESTS, *failed)
        ),
        "popular_items": Reply("list", FRESH if not failed else ON_ERROR, failed),
    }


def fails(error: Exception) -> Callable[[CachingShop], AbstractContextManager[object]]:
    @contextmanager
    def while_failing(one: CachingShop) -> Iterator[None]:
        one.fails(error)
        yield
        one.fails(None)

    return while_failing


def hangs(one: CachingShop) -> AbstractContextManager[object]:
    return one.hangs()


def at_age(age: timedelta) -> Callable[[CachingShop], None]:
    def kept(one: CachingShop) -> None:
        warm(one)
        one.passes(age)

    return kept


def only_live(one: CachingShop) -> None:
    warm(one, "popular_items")


def refreshes_fail_at(age: timedelta) -> Callable[[CachingShop], None]:
    """Return how to have lists so old that were tried to be recomputed when they were stale."""

    def kept(one: CachingShop) -> None:
        warm(one)
        one.passes(31 * HOUR)
        one.fails(DOWN())
        for surface in SURFACES:
            ASK[surface](one.reco)
        settle(one.reco)
        one.passes(age - 31 * HOUR)

    return kept


def left_alone(one: CachingShop) -> None:
    """Do nothing before: nothing is kept."""


ROWS: dict[
    str,
    tuple[
        Callable[[CachingShop], None],
        Callable[[CachingShop], AbstractContextManager[object]],
        dict[str, Reply],
    ],
] = {
    "down, fresh in memory": (at_age(MINUTE), fails(DOWN()), shelves_of(FRESH)),
    "down, fresh lists and old items": (
        at_age(23 * HOUR),
        fails(DOWN()),
        {
            **shelves_of(FRESH, "items"),
            "after_bid": Reply("list", FRESH, (*INTERESTS, "items")),
            "popular_items": Reply("list", ON_ERROR, ("list", *ITEMS)),
        },
    ),
    "down, stale in memory": (
        at_age(24 * HOUR + TICK),
        fails(DOWN()),
        {
            **shelves_of(STALE, "items"),
            "popular_items": Reply("list", ON_ERROR, ("list", *ITEMS)),
        },
    ),
    "down, nothing in memory": (left_alone, fails(DOWN()), all_alike(NOTHING)),
    "down, no list in memory": (
        only_live,
        fails(DOWN()),
        {
            **all_alike(Reply("popular", FRESH, ("list",))),
            "popular_items": Reply("list", FRESH),
        },
    ),
    "slow, fresh in memory": (at_age(MINUTE), hangs, shelves_of(FRESH)),
    "slow, nothing in memory": (left_alone, hangs, all_alike(NOTHING)),
    "slow, no list in memory": (
        only_live,
        hangs,
        {
            **all_alike(Reply("popular", FRESH, ("list",))),
            "popular_items": Reply("list", FRESH),
        },
    ),
    "refresh fails, within what is stale": (
        refreshes_fail_at(47 * HOUR),
        fails(DOWN()),
        {
            "homepage": Reply("list", STALE, ITEMS),
            "similar_items": Reply("list", STALE, ITEMS),
            "after_bid": Reply("list", STALE, (*INTERESTS, *ITEMS)),
            "popular_items": Reply("list", ON_ERROR, ("list", *ITEMS)),
        },
    ),
    "refresh fails, beyond that": (
        refreshes_fail_at(71 * HOUR),
        fails(DOWN()),
        {
            "homepage": Reply("list", ON_ERROR, ("list", *ITEMS)),
            "similar_items": Reply("list", ON_ERROR, ("list", *ITEMS)),
            "after_bid": Reply("list", ON_ERROR, ("list", *INTERESTS, *ITEMS)),
            "popular_items": Reply("list", ON_ERROR, ("list", *ITEMS)),
        },
    ),
    "refresh fails, beyond all": (
        refreshes_fail_at(127 * HOUR),
        fails(DOWN()),
        all_alike(NOTHING),
    ),
}
"""What is failing, and what was before; and the reply of each surface."""

OTHER_ROWS = {
    "process killed": "tests/reliability/test_workers.py",
    "no owner or wrong owner": "test_a_denial_is_one_whatever_fails",
    "bad argument": "test_a_bad_argument_is_one_whatever_fails",
    "unknown item": "test_an_unknown_item_is_one",
    "refresh hangs": "tests/application/test_refreshing.py",
    "refresh raises a defect": "tests/application/test_refreshing.py",
    "clock jump": "tests/application/test_process_memory.py",
    "scheduler cannot start": "test_a_scheduler_that_cannot_start",
}
"""Rows that say the same of every surface, and where they are tested."""

CELLS = [(row, surface) for row in ROWS for surface in SURFACES]


def lines_of(one: CachingShop, surface: str, shelf: Shelf, before: dict[str, list[object]]) -> str:
    """Return what the lines of a shelf are."""
    ids = ids_of(shelf)
    if not ids:
        return "nothing"
    if ids == before[surface]:
        return "list"
    without = {"liked"} if surface in ("similar_items", "after_bid") else set()
    popular = [one for one in before["all popular"] if one not in without]
    return "popular" if ids == popular[: len(ids)] else f"something else: {ids}"


@pytest.mark.parametrize(("row", "surface"), CELLS)
def test_what_is_answered(row: str, surface: str) -> None:
    prepare, failing, replies = ROWS[row]
    one = shop(QUICK)
    before = {name: ids_of(ask(one.plain())) for name, ask in ASK.items()}
    before["all popular"] = ids_of(one.plain().anonymous.popular_items(40))
    prepare(one)

    with failing(one):
        started = monotonic()
        shelf = ASK[surface](one.reco)
        took = monotonic() - started
    settle(one.reco)

    lines = lines_of(one, surface, shelf, before)
    assert Reply(lines, shelf.freshness, shelf.degraded_by) == replies[surface]
    # A call of 100 ms; on a busy machine threads are late.
    assert took < 2


@pytest.mark.parametrize("row", ROWS)
def test_afterwards_all_is_as_before(row: str) -> None:
    prepare, failing, _ = ROWS[row]
    one = shop(QUICK)
    prepare(one)
    with failing(one):
        for surface in SURFACES:
            ASK[surface](one.reco)
    settle(one.reco)

    for _ in range(5):
        one.passes(SECOND)
        for surface in SURFACES:
            ASK[surface](one.reco)
        settle(one.reco)

    for surface in SURFACES:
        shelf, plain = ASK[surface](one.reco), ASK[surface](one.plain())
        assert (shelf.freshness, shelf.degraded_by) == (FRESH, ())
        assert ids_of(shelf) == ids_of(plain)


def test_every_cell_of_the_table_is_tested() -> None:
    assert all(set(replies) == set(SURFACES) for _, _, replies in ROWS.values())
    here = {name for name in globals() if name.startswith("test_")}
    elsewhere = {where for where in OTHER_ROWS.values() if "/" in where}
    assert set(OTHER_ROWS.values()) - elsewhere <= here
    assert all(Path(where).is_file() for where in elsewhere)


FAILING = pytest.mark.parametrize("error", [None, DOWN(), ValueError("ours")])


@FAILING
def test_a_denial_is_one_whatever_fails(error: Exception | None) -> None:
    one = shop()
    warm(one)
    one.fails(error)
    ann, visitor = one.reco.as_user("ann"), one.reco.anonymous

    for owner in ("bob", "nobody"):
        for ask in (ann.homepage, lambda of: ann.after_bid("liked", of=of), visitor.homepage):
            with pytest.raises(AccessDeniedError, match="not allowed"):
                ask(of=owner)
    with pytest.raises(AccessDeniedError):
        visitor.after_bid("liked")
    with pytest.raises(AccessDeniedError):
        ann.forget_cached()
    assert visitor.homepage().freshness is FRESH
    assert visitor.similar_items("liked").freshness is FRESH
    assert one.events == []


@FAILING
def test_a_bad_argument_is_one_whatever_fails(error: Exception | None) -> None:
    one = shop()
    warm(one)
    one.fails(error)

    for limit in (0, -1, True, 1.5, None):
        for ask in (one.reco.as_user("ann").homepage, one.reco.anonymous.popular_items):
            with pytest.raises(InvalidValueError, match="limit"):
                ask(limit)  # type: ignore[arg-type]  # that is what is tested
    with pytest.raises(InvalidValueError):
        one.reco.anonymous.similar_items("")
    assert sum(one.calls().values()) == 0


def test_an_unknown_item_is_one() -> None:
    one = shop()
    warm(one)

    for _ in range(2):
        for ask in (one.reco.anonymous.similar_items, one.reco.as_user("ann").after_bid):
            with pytest.raises(ItemNotFoundError, match="later"):
                ask("later")
    one.market.add_item(lot("later"))

    assert len(one.reco.anonymous.similar_items("later")) == 8
    assert one.events == []
    settle(one.reco)


def test_an_item_that_is_gone_is_unknown_once_its_list_is_read_again() -> None:
    one = shop()
    warm(one)
    del one.market.items[lot("liked").item_id]
    one.passes(30 * HOUR + TICK)

    for _ in range(2):
        one.reco.anonymous.popular_items()
        settle(one.reco)
    assert len(ASK["similar_items"](one.reco)) > 0
    settle(one.reco)
    with pytest.raises(ItemNotFoundError):
        ASK["similar_items"](one.reco)


def test_a_scheduler_that_cannot_start() -> None:
    class Unable(Hands):
        def start(self, *_: object, **__: object) -> None:
            raise RuntimeError("no threads")

    one = shop()
    with pytest.raises(RuntimeError, match="no threads"):
        one.reco.start(Unable())
    settle(one.reco)

    health = one.reco.system.health()
    assert (health.is_ok, health.jobs, health.database) == (False, "failed: RuntimeError", "ok")
    for ask in ASK.values():
        assert len(ask(one.reco)) > 0
    settle(one.reco)

    one.reco.start(Hands())
    one.reco.stop()
    assert one.reco.system.health().jobs == "not started"


@pytest.mark.parametrize("surface", SURFACES)
def test_without_memory_what_fails_is_raised(surface: str) -> None:
    one = shop()
    one.fails(DOWN())

    with pytest.raises(StorageUnavailableError):
        ASK[surface](one.plain())
    assert one.events == []


@pytest.mark.parametrize("surface", SURFACES)
def test_nobody_waits_longer_than_the_deadline(surface: str) -> None:
    one = shop(Settings(deadline=timedelta(milliseconds=300)))
    with one.hangs():
        started = monotonic()
        shelf = ASK[surface](one.reco)
        took = monotonic() - started
    settle(one.reco)

    assert 0.25 < took < 2
    assert (ids_of(shelf), shelf.degraded_by) == ([], ("list", "popular"))


def test_an_event_that_cannot_be_stored_forgets_nothing() -> None:
    one = shop()
    warm(one)
    one.fails(DOWN())
    assert not one.reco.signed_in("ann")
    one.fails(None)

    assert ASK["homepage"](one.reco).freshness is FRESH
    assert one.calls()["lists.read"] == 0


@pytest.mark.parametrize("surface", ["homepage", "after_bid"])
def test_in_place_of_a_list_what_was_bid_on_within_a_minute_is_left_out_and_no_more(
    surface: str,
) -> None:
    market = filled(lots("art", 5), bid("ann", "art-03"), users=["ann", "bob"])
    one = CachingShop.of(market)
    one.reco.as_user("bob").homepage()
    one.reco.anonymous.popular_items()
    settle(one.reco)
    one.fails(StorageUnavailableError())
    one.reco.bid_placed("ann", "art-04")
    ann = one.reco.as_user("ann")

    shelf = ann.homepage() if surface == "homepage" else ann.after_bid("art-04")

    assert shelf.degraded_by
    # The tables alone have the earlier bid.
    assert set(ids_of(shelf)) == {"art-01", "art-02", "art-03", "art-05"}


def test_a_page_that_became_short_is_shown_while_it_cannot_be_recomputed() -> None:
    short = attrs.evolve(Ranker.preset("short", interest=1.0), kept=10)
    one = shop(Settings(ranker="short", presets=(short,)))
    warm(one)
    before = ids_of(one.reco.as_user("ann").homepage(10))
    for item_id in before[:4]:
        one.change(str(item_id), is_published=False)
    one.passes(MINUTE + TICK)
    warm(one, "popular_items")
    one.fails(DOWN())

    page = one.reco.as_user("ann").homepage(8)

    assert ids_of(page) == before[4:]
    assert page.degraded_by == ("list",)
    assert len(one.events) == 1
    one.fails(None)
    one.passes(SECOND + TICK)
    assert len(one.reco.as_user("ann").homepage(8)) == 8
