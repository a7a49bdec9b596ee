"""The compiled loops: the same lists as the plain rule and as numpy, whatever the shape."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import numba
import numpy as np
import pytest
from numba.core.errors import TypingError

from angle_reco import composition
from angle_reco.adapters.kernels import NumpyKernels, candidates, fast, loops
from angle_reco.adapters.kernels.fast import FastKernels, Loops, compiled_loops
from angle_reco.composition import own_kernels
from angle_reco.domain.activity import Bid
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.lists import Lists
from angle_reco.domain.scoring.similarity import SimilarityRule
from angle_reco.ports.kernels import Kernels
from angle_reco.testing import plain
from angle_reco.testing.contracts.kernels import SimilaritiesContract, lines_of
from angle_reco.testing.contracts.markets import NOW, engagement_of, lot, open_market

INTS = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.INT)
FAST = "angle_reco.adapters.kernels.fast"
SIZE, USERS = 700, 60


@pytest.fixture
def few_are_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the index by price be searched, although the markets of tests are small."""
    monkeypatch.setattr(candidates, "SCANNED", (1,))
    monkeypatch.setattr(fast, "SCANNED", (1,))


class TestCompiledLoops(SimilaritiesContract):
    @pytest.fixture
    def kernels(self) -> Kernels:
        return FastKernels(threads=2, least_pairs=0)


@pytest.mark.usefixtures("few_are_scanned")
class TestCompiledLoopsThatSearch(SimilaritiesContract):
    @pytest.fixture
    def kernels(self, monkeypatch: pytest.MonkeyPatch) -> Kernels:
        monkeypatch.setattr(fast, "_ROWS_AT_ONCE", 2)
        return FastKernels(threads=2, least_pairs=0)


@pytest.mark.usefixtures("few_are_scanned")
class TestLoopsThatAreNotCompiled(SimilaritiesContract):
    @pytest.fixture
    def kernels(self, monkeypatch: pytest.MonkeyPatch) -> Kernels:
        monkeypatch.setattr(fast, "compiled_loops", lambda: Loops(loops.fans_of, loops.rank))
        return FastKernels(threads=1, least_pairs=0)


@pytest.mark.usefixtures("few_are_scanned")
class TestNumpyThatSearches(SimilaritiesContract):
    @pytest.fixture
    def kernels(self) -> Kernels:
        return NumpyKernels()


def shaped(shape: str) -> plain.PlainMarket:
    """Return a market of a shape that is hard for the loops or for numpy."""
    random = Random(shape)
    categories: list[CategoryId | None] = [None, *map(CategoryId, range(9))]
    if shape == "one category":
        categories = [CategoryId(1)]
    if shape in ("no categories", "all unknown"):
        categories = [None]
    prices: list[Decimal | None] = [None]
    if shape not in ("unknown prices", "all unknown"):
        prices += [Decimal(0), Decimal(1)] * 2
        prices += [Decimal(2) ** random.randrange(12) + place for place in range(30)]
    if shape == "equal prices":
        prices = [Decimal(7)]
    items = [
        lot(
            item,
            category_id=random.choice(categories),
            price=random.choice(prices),
            listed_at=NOW - timedelta(days=random.randrange(5)),
        )
        for item in range(SIZE)
    ]
    pairs = [(random.randrange(USERS), int(random.random() ** 2 * SIZE)) for _ in range(SIZE * 4)]
    if shape == "one huge user":
        pairs += [(USERS, item) for item in range(SIZE)]
    if shape == "one huge item":
        pairs += [(user, 3) for user in range(USERS)]
    if shape == "no users":
        pairs = []
    happened = [
        Bid(user_id=UserId(user), item_id=ItemId(item), placed_at=NOW - timedelta(hours=place))
        for place, (user, item) in enumerate(pairs)
    ]
    return plain.PlainMarket(items=items, happened=happened, now=NOW)


SHAPES = (
    "usual",
    "one huge user",
    "one huge item",
    "one category",
    "no categories",
    "equal prices",
    "unknown prices",
    "all unknown",
    "no users",
)
RULES = (
    SimilarityRule(),
    SimilarityRule(history_length=20),
    # Prices alone qualify, and users alone do.
    SimilarityRule(threshold=100_000),
    SimilarityRule(category=0, price=0, shared=400_000, threshold=0),
    SimilarityRule(category=300_000, price=0, threshold=0, kept=7),
)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_the_lists_of_the_plain_rule(shape: str, rule: SimilarityRule) -> None:
    plainly = shaped(shape)
    market = open_market(plainly, INTS)
    users = IdIndex(IdColumn.of(IdKind.INT, range(USERS + 1)))
    engagement = engagement_of(
        plainly.counted, INTS, users, market.catalogue.items, rule.history_length
    )
    rows = np.arange(len(market))

    fast_lists, lists = (
        kernels.similarities(market, engagement, rule=rule, keep=rule.kept).of(rows)
        for kernels in (FastKernels(threads=2, least_pairs=0), NumpyKernels())
    )

    assert_same(fast_lists, lists)
    some = lines_of(lists.take(rows[::97]))
    assert some == [
        plain.similar_items(plainly, item, rule=rule, keep=rule.kept)
        for item in plainly.items[::97]
    ]


def assert_same(one: Lists, other: Lists) -> None:
    assert (one.owners, one.items) == (other.owners, other.items)
    assert (one.recipe, one.computed_at) == (other.recipe, other.computed_at)
    for name in ("offsets", "scores", "parts", "reasons", "sources"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype


def lists_of(kernels: Kernels, shape: str = "usual") -> Lists:
    market = open_market(shaped(shape), INTS)
    users = IdIndex(IdColumn.of(IdKind.INT, range(USERS + 1)))
    engagement = engagement_of(shaped(shape).counted, INTS, users, market.catalogue.items)
    similarities = kernels.similarities(market, engagement, rule=SimilarityRule(), keep=40)
    return similarities.of(np.arange(len(market)))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    assert_same(lists_of(FastKernels(threads=threads, least_pairs=0)), lists_of(NumpyKernels()))


@pytest.mark.parametrize("threads", [0, 1_001, True, "2", 1.0])
def test_a_number_of_threads_that_cannot_be_is_refused(threads: Any) -> None:
    with pytest.raises(InvalidValueError, match="threads"):
        FastKernels(threads=threads)
    assert FastKernels(threads=1_000).threads == 1_000


@pytest.mark.parametrize("name", ["least_pairs", "least_pages", "least_of_favourites"])
def test_a_bound_of_what_is_compiled_is_no_negative_number(name: str) -> None:
    for possible in (0, 2**31 - 1):
        assert getattr(FastKernels(**{name: possible}), name) == possible
    for impossible in (-1, 2**31):
        with pytest.raises(InvalidValueError, match=name):
            FastKernels(**{name: impossible})


def test_every_call_has_the_types_that_were_compiled_first() -> None:
    lists_of(FastKernels(least_pairs=0), "one category")

    loops = compiled_loops()
    assert loops is not None
    assert [len(getattr(one, "signatures", ())) for one in loops] == [1, 1]


@pytest.fixture
def before_the_first_job() -> Iterator[None]:
    """Let the process compile as if it had not yet, and forget what came of it."""
    compiled_loops.cache_clear()
    yield
    compiled_loops.cache_clear()


def compiling(
    monkeypatch: pytest.MonkeyPatch, *, cached: Exception | None, plain: Exception | None
) -> None:
    """Let numba raise these exceptions, or call the loops without compiling them."""

    def njit(*, nogil: bool, cache: bool) -> Callable[[object], object]:
        failure = cached if cache else plain
        if failure is not None:
            raise failure
        return lambda function: function

    monkeypatch.setattr(numba, "njit", njit)


NO_FOLDER = RuntimeError("cannot cache function 'rank': no locator available")


@pytest.mark.usefixtures("before_the_first_job")
@pytest.mark.parametrize("failure", [NO_FOLDER, OSError(28, "full"), EOFError()], ids=repr)
def test_where_no_folder_can_be_written_the_loops_are_compiled_without_a_cache(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    compiling(monkeypatch, cached=failure, plain=None)
    kernels = FastKernels(least_pairs=0)

    found = [lists_of(kernels), lists_of(kernels)]

    assert [one.getMessage() for one in caplog.records] == [
        f"compiled loops not cached: error={type(failure).__name__}"
    ]
    assert not kernels.is_degraded
    assert_same(found[1], lists_of(NumpyKernels()))


@pytest.mark.usefixtures("before_the_first_job")
@pytest.mark.parametrize("failure", [TypingError("a type"), RuntimeError("LLVM")], ids=repr)
def test_where_the_loops_cannot_be_compiled_numpy_ranks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failure: Exception
) -> None:
    compiling(monkeypatch, cached=failure, plain=failure)
    kernels = FastKernels(least_pairs=0)
    assert not kernels.is_degraded

    found = [lists_of(kernels), lists_of(kernels)]

    error = type(failure).__name__
    assert [one.getMessage() for one in caplog.records] == [
        f"compiled loops not cached: error={error}",
        f"loops not compiled: error={error}",
    ]
    assert kernels.is_degraded
    assert_same(found[1], lists_of(NumpyKernels()))


@pytest.mark.usefixtures("before_the_first_job")
def test_a_numba_that_cannot_be_imported_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "numba.core.errors", None)
    kernels = FastKernels(least_pairs=0)

    assert_same(lists_of(kernels), lists_of(NumpyKernels()))

    assert kernels.is_degraded
    assert [one.getMessage() for one in caplog.records] == [
        "loops not compiled: error=ModuleNotFoundError"
    ]


@pytest.mark.usefixtures("before_the_first_job")
def test_little_is_not_worth_compiling_for(monkeypatch: pytest.MonkeyPatch) -> None:
    compiling(monkeypatch, cached=NO_FOLDER, plain=NO_FOLDER)

    assert_same(lists_of(FastKernels()), lists_of(NumpyKernels()))

    assert compiled_loops.cache_info().currsize == 0


def test_keys_that_do_not_fit_are_ranked_by_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "_BITS", 30)
    monkeypatch.setattr(fast, "compiled_loops", lambda: pytest.fail("keys are too long"))

    assert_same(lists_of(FastKernels(least_pairs=0)), lists_of(NumpyKernels()))


def test_a_process_that_only_serves_never_imports_numba() -> None:
    program = """
import sys
from angle_reco import Recommender
from angle_reco.testing import Bid, Item, MemoryMarketplace, User
from datetime import UTC, datetime

items = [Item(item_id=f"i{n}", category_id="c") for n in range(20)]
bids = [Bid(user_id="u", item_id=f"i{n}", placed_at=datetime.now(UTC)) for n in range(9)]
market = MemoryMarketplace(users=[User(user_id="u")], items=items, bids=bids)
reco = Recommender.in_memory(market)
assert type(reco.ports.kernels).__name__ == "FastKernels"
assert len(reco.anonymous.similar_items("i1", 5)) == 5
reco.as_user("u").homepage()
reco.system.run_job("compute_item_similarities")
print("numba" in sys.modules)
"""

    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert said.stdout == "False\n"


def test_without_the_extra_numpy_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(own_kernels()) is FastKernels

    monkeypatch.setattr(composition, "find_spec", lambda name: None)

    assert type(own_kernels()) is NumpyKernels
