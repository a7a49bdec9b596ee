"""The compiled loop for homepages of favourite categories: the pages of numpy."""

from datetime import timedelta
from functools import cache
from random import Random

import attrs
import numpy as np
import pytest

from angle_reco.adapters.kernels import NumpyKernels, fast, favourite_pages
from angle_reco.adapters.kernels.fast import FastKernels
from angle_reco.adapters.kernels.favourite_loops import rank_favourites
from angle_reco.adapters.kernels.favourite_pages import compiled_favourites
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.lists import Lists
from angle_reco.domain.scoring.components import POPULARITY, RECENCY, DependsOn
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import CLASSIC, Ranker
from angle_reco.ports.kernels import Kernels
from angle_reco.testing import plain
from angle_reco.testing.contracts.kernels import PagesContract
from angle_reco.testing.contracts.markets import NOW, lot, open_market, profiles_of

INTS = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.INT)
SIZE, USERS = 400, 50
FAST = FastKernels(threads=2, least_of_favourites=0)


class TestLoopThatIsNotCompiled(PagesContract):
    @pytest.fixture
    def kernels(self, monkeypatch: pytest.MonkeyPatch) -> Kernels:
        monkeypatch.setattr(fast, "compiled_favourites", lambda: rank_favourites)
        return FastKernels(threads=1, least_of_favourites=0)


@cache
def shaped(shape: str) -> tuple[OpenMarket, Profiles]:
    """Return a market of a shape that is hard for the loop or for numpy."""
    random = Random(shape)
    categories: list[CategoryId | None] = [None, *map(CategoryId, range(9))]
    if shape == "one category":
        categories = [CategoryId(1)]
    if shape == "no categories":
        categories = [None]
    if shape == "many categories":
        categories = list(map(CategoryId, range(200)))
    items = [
        lot(
            item,
            category_id=random.choice(categories),
            seller_id=UserId(random.randrange(USERS)),
            listed_at=NOW - timedelta(hours=random.randrange(9)),
            ends_at=NOW + timedelta(hours=1 + random.randrange(900)),
        )
        for item in range(SIZE)
    ]
    pairs = [(random.randrange(USERS), int(random.random() ** 2 * SIZE)) for _ in range(SIZE * 4)]
    if shape == "huge users":
        pairs += [(user, item) for user in (3, USERS - 1) for item in range(0, SIZE, 1 + user % 2)]
    if shape == "no users":
        pairs = []
    happened: list[Bid | Watch] = []
    for place, (user, item) in enumerate(pairs):
        at, kind = NOW - timedelta(hours=random.randrange(2_500)), place % 3
        who, what = UserId(user), ItemId(item)
        happened.append(
            Watch(user_id=who, item_id=what, watched_at=at)
            if kind == 0
            else Bid(user_id=who, item_id=what, placed_at=at)
        )
    market = plain.PlainMarket(items=items, happened=happened, now=NOW)
    users = IdIndex(IdColumn.of(IdKind.INT, range(USERS)))
    return open_market(market, INTS), profiles_of(market, INTS, users, InterestRule())


SHAPES = (
    "usual",
    "huge users",
    "one category",
    "no categories",
    "many categories",
    "no users",
)
RANKERS = (
    (CLASSIC, 60),
    (CLASSIC, 1),
    (CLASSIC, SIZE + 1),
    (attrs.evolve(CLASSIC, favourites=1, per_category=50), 60),
    (attrs.evolve(CLASSIC, favourites=1_000, per_category=1), 20),
    (Ranker.of("items_alone", {POPULARITY: 0.5, RECENCY: 0.5}), 60),
    (Ranker.preset("weightless", interest=0, popularity=0, recency=0), 60),
)


def pages(kernels: Kernels, shape: str, ranker: Ranker = CLASSIC, keep: int = 60) -> Lists:
    market, profiles = shaped(shape)
    return kernels.homepages(market, profiles, ranker=ranker, keep=keep)


def assert_same(one: Lists, other: Lists, case: str = "") -> None:
    assert (one.owners, one.items, one.recipe) == (other.owners, other.items, other.recipe), case
    for name in ("offsets", "scores", "parts", "reasons", "sources"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=case)
        assert getattr(one, name).dtype == getattr(other, name).dtype, case


def test_compiled_pages_of_every_shape_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One test, so that one process compiles."""
    monkeypatch.setattr(favourite_pages, "_USERS_AT_ONCE", 3)

    for shape in SHAPES:
        for ranker, keep in RANKERS:
            assert_same(
                pages(FAST, shape, ranker, keep),
                pages(NumpyKernels(), shape, ranker, keep),
                f"{shape}, {ranker.name}, {keep}",
            )
    for threads in (1, 5):
        some = FastKernels(threads=threads, least_of_favourites=0)
        assert_same(pages(some, "usual"), pages(NumpyKernels(), "usual"))
    # Every call has the types that were compiled first.
    assert len(getattr(compiled_favourites(), "signatures", ())) == 1


def test_few_pages_are_not_worth_compiling_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "compiled_favourites", lambda: pytest.fail("compiles"))

    pages(FastKernels(), "usual")


def test_numpy_ranks_by_components_of_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "compiled_favourites", lambda: pytest.fail("compiles"))
    other = attrs.evolve(POPULARITY, name="other", depends_on=DependsOn.ITEM)

    pages(FAST, "usual", Ranker.of("mine", {other: 0.5, RECENCY: 0.5}))


def test_without_a_compiled_loop_numpy_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "compiled_favourites", lambda: None)

    assert_same(pages(FAST, "usual"), pages(NumpyKernels(), "usual"))
