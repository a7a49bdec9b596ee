from datetime import timedelta
from decimal import Decimal
from functools import cache
from random import Random
from typing import NamedTuple

import numpy as np
import pytest

from angle_reco.adapters.kernels import NumpyKernels, similar
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.lists import Lists
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.ranking import CLASSIC
from angle_reco.domain.scoring.similarity import Engagement, SimilarityRule
from angle_reco.ports.kernels import Kernels
from angle_reco.testing import plain
from angle_reco.testing.contracts.kernels import KernelsContract, lines_of
from angle_reco.testing.contracts.markets import NOW, engagement_of, open_market, profiles_of

SIMILAR = "angle_reco.adapters.kernels.similar"
HOMEPAGES = "angle_reco.adapters.kernels.homepages"
INTS = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.INT)


class TestNumpyKernels(KernelsContract):
    @pytest.fixture
    def kernels(self) -> Kernels:
        return NumpyKernels()


class TestNumpyKernelsInTinyChunks(KernelsContract):
    @pytest.fixture
    def kernels(self, monkeypatch: pytest.MonkeyPatch) -> Kernels:
        monkeypatch.setattr(f"{SIMILAR}._PAIRS_AT_ONCE", 3)
        monkeypatch.setattr(f"{SIMILAR}._ROWS_AT_ONCE", 2)
        monkeypatch.setattr(f"{SIMILAR}._LARGEST_KEY", 1)
        monkeypatch.setattr(f"{HOMEPAGES}._USERS_AT_ONCE", 2)
        return NumpyKernels()


class Large(NamedTuple):
    """A market of more pairs and more users than are computed at once."""

    plainly: plain.PlainMarket
    market: OpenMarket
    engagement: Engagement
    users: IdIndex
    profiles: Profiles


@cache
def large() -> Large:
    random = Random(20_260_131)
    items = [
        ItemCard(
            item_id=ItemId(item),
            title="",
            category_id=random.choice([None, *map(CategoryId, range(12))]),
            seller_id=UserId(random.randrange(500)),
            price=random.choice([None, *(Decimal(random.randrange(1, 5_000)) for _ in range(5))]),
            is_published=True,
            status=random.choice([AuctionStatus.ACTIVE, AuctionStatus.SCHEDULED]),
            ends_at=random.choice([None, *(NOW + timedelta(days=days) for days in (1, 7, 8))]),
            listed_at=NOW - timedelta(days=random.randrange(30)),
        )
        for item in range(3_000)
    ]
    happened: list[Bid | Watch] = []
    for _ in range(60_000):
        user, item = UserId(random.randrange(2_500)), ItemId(int(random.random() ** 2 * 3_000))
        at = NOW - timedelta(days=random.randrange(100))
        if random.random() < 0.5:
            happened.append(Bid(user_id=user, item_id=item, placed_at=at))
        else:
            happened.append(Watch(user_id=user, item_id=item, watched_at=at))
    plainly = plain.PlainMarket(items=items, happened=happened, now=NOW)
    market = open_market(plainly, INTS)
    users = IdIndex.of(IdKind.INT, IdColumn.of(IdKind.INT, range(2_500)))
    return Large(
        plainly,
        market,
        engagement_of(plainly.counted, INTS, users, market.catalogue.items),
        users,
        profiles_of(plainly, INTS, users, InterestRule()),
    )


@cache
def usual_similar() -> Lists:
    return similar_to_all(large())


@cache
def usual_homepages() -> Lists:
    return homepages_of_all(large())


def similar_to_all(large: Large) -> Lists:
    similarities = NumpyKernels().similarities(
        large.market, large.engagement, rule=SimilarityRule(), keep=40
    )
    return similarities.of(np.arange(len(large.market)))


def homepages_of_all(large: Large) -> Lists:
    return NumpyKernels().homepages(large.market, large.profiles, ranker=CLASSIC, keep=60)


def same(one: Lists, other: Lists) -> bool:
    columns = ("offsets", "scores", "parts", "reasons", "sources")
    return (one.owners, one.items) == (other.owners, other.items) and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in columns
    )


def test_a_large_market_has_the_similar_items_of_the_plain_rule() -> None:
    some = range(0, 3_000, 200)

    found = lines_of(usual_similar())

    plainly = large().plainly
    assert [found[place] for place in some] == [
        plain.similar_items(plainly, plainly.items[place], rule=SimilarityRule(), keep=40)
        for place in some
    ]


def test_a_large_market_has_the_homepages_of_the_plain_rule() -> None:
    some = [UserId(user) for user in (*range(0, 2_500, 200), 1_999, 2_000)]

    found = lines_of(usual_homepages())

    plainly = large().plainly
    assert [found[large().users.code(user)] for user in some] == [
        plain.homepage(
            plainly,
            user,
            plain.interests_of(
                user, plainly.happened, plainly.categories, now=NOW, rule=InterestRule()
            ),
            ranker=CLASSIC,
            keep=60,
        )
        for user in some
    ]


@pytest.mark.parametrize("pairs", [50_000, 10**9])
def test_similar_items_do_not_depend_on_how_many_are_computed_at_once(
    monkeypatch: pytest.MonkeyPatch, pairs: int
) -> None:
    usual = usual_similar()

    monkeypatch.setattr(f"{SIMILAR}._PAIRS_AT_ONCE", pairs)

    assert same(similar_to_all(large()), usual)


@pytest.mark.parametrize("users", [701, 10**9])
def test_homepages_do_not_depend_on_how_many_are_computed_at_once(
    monkeypatch: pytest.MonkeyPatch, users: int
) -> None:
    usual = usual_homepages()

    monkeypatch.setattr(f"{HOMEPAGES}._USERS_AT_ONCE", users)

    assert same(homepages_of_all(large()), usual)


@pytest.mark.parametrize("scale", [1, 10_000_000])
def test_lines_are_in_the_same_order_where_one_number_cannot_hold_a_key(scale: int) -> None:
    random = np.random.default_rng(7)
    # Many of them are equal.
    line, users, places = (random.integers(0, 4, 500) * scale for _ in range(3))
    scores = random.integers(0, 3, 500) * 500_000

    order = similar._order(line, scores, users, places)

    keys = [column[order].tolist() for column in (line, -scores, -users, places)]
    assert list(zip(*keys, strict=True)) == sorted(zip(*keys, strict=True))
