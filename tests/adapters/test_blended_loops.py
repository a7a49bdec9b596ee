"""The compiled loop for homepages of `blended`: the pages of the plain rule and of numpy."""

from datetime import timedelta
from decimal import Decimal
from functools import cache
from random import Random
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.adapters.kernels import NumpyKernels, blended_pages, fast, fast_pages
from angle_reco.adapters.kernels.blended_loops import _at_share, rank_pages
from angle_reco.adapters.kernels.fast import FastKernels
from angle_reco.adapters.kernels.fast_pages import compiled_pages
from angle_reco.domain.activity import Watch
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.lists import Lists
from angle_reco.domain.scoring.blended.curves import STEPS, at_share, log_curve
from angle_reco.domain.scoring.blended.tastes import PER_UNIT
from angle_reco.domain.scoring.blended_ranker import BLENDED, SIMILAR_BLENDED, with_weights
from angle_reco.domain.scoring.blended_similar import profiles_of_items
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import Ranker
from angle_reco.ports.kernels import Kernels
from angle_reco.testing import plain
from angle_reco.testing.contracts.kernels import LearnedPagesContract
from angle_reco.testing.contracts.markets import NOW, lot
from angle_reco.testing.contracts.models import ModelCase

INTS = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.INT)
SIZE, USERS, OTHERS = 300, 24, 200
"""So many users have pages; with the others there are more than count as neighbours."""
FAST = FastKernels(threads=2, least_pages=0)


class TestLoopThatIsNotCompiled(LearnedPagesContract):
    @pytest.fixture
    def kernels(self, monkeypatch: pytest.MonkeyPatch) -> Kernels:
        monkeypatch.setattr(fast, "compiled_pages", lambda: rank_pages)
        return FastKernels(threads=1, least_pages=0)


class Case(NamedTuple):
    """The open items of a market with a model, and profiles of users."""

    market: OpenMarket
    profiles: Profiles


@cache
def shaped(shape: str) -> Case:
    """Return a market of a shape that is hard for the loop or for numpy."""
    random = Random(shape)
    categories: list[CategoryId | None] = [None, *map(CategoryId, range(9))]
    if shape in ("one category", "all equal"):
        categories = [CategoryId(1)]
    if shape == "nothing known of items":
        categories = [None]
    items = [
        lot(
            item,
            title=" ".join(
                random.choices(["red", "blue", "old", "lamp", "vase", "ring", "box", "cup"], k=4)
            ),
            category_id=random.choice(categories),
            seller_id=UserId(random.randrange(USERS)),
            starting_price=Decimal(2) ** random.randrange(14) + random.choice([0, 3, 8]),
            listed_at=NOW - timedelta(hours=random.randrange(900)),
            ends_at=NOW + timedelta(hours=1 + random.randrange(90)),
        )
        for item in range(SIZE)
    ]
    if shape == "nothing known of items":
        items = [lot(item) for item in range(SIZE)]
    if shape == "all equal":
        items = [
            lot(item, category_id=CategoryId(1), starting_price=Decimal(4), title="lamp")
            for item in range(SIZE)
        ]
    pairs = [(random.randrange(OTHERS), int(random.random() ** 2 * SIZE)) for _ in range(SIZE * 5)]
    if shape == "huge users":
        pairs += [(user, item) for user in (3, USERS - 1) for item in range(0, SIZE, 1 + user % 2)]
    if shape == "one huge item":
        pairs += [(user, 3) for user in range(USERS)]
    hours = range(-50, 2_500)
    if shape == "one huge item":
        hours = range(-50, 40_000)
    happened = [
        Watch(
            user_id=UserId(user),
            item_id=ItemId(item),
            watched_at=NOW - timedelta(hours=random.choice(hours)),
        )
        for user, item in pairs
        # A few users have touched nothing.
        if user % 8 != 5 or shape == "huge users"
    ]
    case = ModelCase(
        ids=INTS,
        market=plain.PlainMarket(items=items, happened=happened, now=NOW),
        known_items=[one for one in items if shape == "all equal" or random.random() < 0.8],
        known_acts=[one for one in happened if random.random() < 0.9],
        seed=7 if shape == "random coefficients" else None,
    )
    market = case.opened(case.model(NumpyKernels()))
    users = IdIndex(IdColumn.of(IdKind.INT, range(USERS)))
    return Case(market, case.profiles(market, users))


SHAPES = (
    "usual",
    "huge users",
    "one huge item",
    "one category",
    "all equal",
    "nothing known of items",
    "random coefficients",
)
RANKERS = (
    BLENDED,
    with_weights((("title", 1_000_000),)),
    with_weights(
        (("sequence", 400_000), ("alike", 200_000), ("seller", 200_000), ("urgency", 200_000))
    ),
)


SIZES = (60, 1, SIZE + 1)
"""Of the pages of each ranker."""


def pages(kernels: Kernels, case: Case, ranker: Ranker = BLENDED, keep: int = 60) -> Lists:
    return kernels.homepages(case.market, case.profiles, ranker=ranker, keep=keep)


def assert_same(one: Lists, other: Lists, case: str = "") -> None:
    assert (one.owners, one.items, one.recipe) == (other.owners, other.items, other.recipe), case
    for name in ("offsets", "scores", "parts", "reasons", "sources"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=case)
        assert getattr(one, name).dtype == getattr(other, name).dtype, case


def test_compiled_pages_of_every_shape_are_those_of_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One test, so that one process compiles."""
    monkeypatch.setattr(fast_pages, "_USERS_AT_ONCE", 3)

    for shape in SHAPES:
        for place, ranker in enumerate(RANKERS):
            case, keep = shaped(shape), SIZES[place]
            numpy_pages = pages(NumpyKernels(), case, ranker, keep)
            assert_same(pages(FAST, case, ranker, keep), numpy_pages, f"{shape}, {place}")
    usual = pages(NumpyKernels(), shaped("usual"))
    for threads in (1, 5):
        assert_same(pages(FastKernels(threads=threads, least_pages=0), shaped("usual")), usual)
    assert_same(similar_by(FAST), similar_by(NumpyKernels()))
    # Every call has the types that were compiled first.
    assert len(getattr(compiled_pages(), "signatures", ())) == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_the_loop_without_its_compiler_has_the_pages_of_numpy(
    monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    """Each line of the loop runs as Python, where a sum that is too large does not wrap around."""
    monkeypatch.setattr(fast, "compiled_pages", lambda: rank_pages)
    case, loop = shaped(shape), FastKernels(threads=1, least_pages=0)

    for place, ranker in enumerate(RANKERS):
        pages_of_loop = pages(loop, case, ranker, SIZES[place])
        assert_same(pages_of_loop, pages(NumpyKernels(), case, ranker, SIZES[place]))


@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_the_loop_reads_curves_as_numpy_does(one: int, other: int) -> None:
    curve, (value, largest) = log_curve(PER_UNIT), sorted((one, other))

    assert _at_share(curve, value, largest) == at_share(curve, np.array([value]), largest)[0]


@pytest.mark.parametrize("largest", [0, 1, 2, 10])
def test_the_loop_reads_the_start_of_a_curve_as_numpy_does(largest: int) -> None:
    curve = log_curve(PER_UNIT)

    for value in range(-1, largest + 1):
        assert _at_share(curve, value, largest) == at_share(curve, np.array([value]), largest)[0]


@pytest.mark.parametrize("bits", range(45, 63))
def test_the_loop_drops_as_many_bits_as_numpy_does(bits: int) -> None:
    """The smallest value of a step is in the step before it if other bits are dropped."""
    # The identity shows the step itself.
    steps, random = np.arange(STEPS + 1), Random(bits)

    for _ in range(100):
        largest = random.randrange(2 ** (bits - 1), 2**bits)
        value = -(-random.randrange(1, STEPS) * largest // STEPS)
        assert _at_share(steps, value, largest) == at_share(steps, np.array([value]), largest)[0]


def similar_by(kernels: Kernels) -> Lists:
    market = shaped("usual").market
    assert market.signals is not None
    known = market.signals.item != NONE
    items = market.catalogue.items.ids.take(known)
    profiles = profiles_of_items(items, market.signals.item[known], market)
    return pages(kernels, Case(market, profiles), SIMILAR_BLENDED)


@pytest.mark.parametrize("shape", SHAPES)
def test_candidates_by_estimates_contain_the_best_of_all_rows(
    monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    case = shaped(shape)
    by_estimates = pages(NumpyKernels(), case)

    monkeypatch.setattr(blended_pages, "_least", lambda *_: -1.0)
    assert_same(by_estimates, pages(NumpyKernels(), case))


def test_many_pages_are_worth_compiling_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(fast, "compiled_pages", lambda: asked.append("the loop"))

    pages(FAST, shaped("usual"))

    assert asked == ["the loop"]


def test_few_pages_are_not_worth_compiling_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "compiled_pages", lambda: pytest.fail("compiles"))

    pages(FastKernels(), shaped("usual"))


def test_without_a_compiled_loop_numpy_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "compiled_pages", lambda: None)

    assert_same(pages(FAST, shaped("usual")), pages(NumpyKernels(), shaped("usual")))
