from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.ids import CategoryId, Id, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.lists import EVERYTHING, Lists
from angle_reco.domain.popular import (
    POPULAR_KEPT,
    POPULAR_RECIPE,
    rank_popular,
    rank_popular_by_category,
)
from angle_reco.domain.stored_list import StoredLine
from angle_reco.testing import plain
from angle_reco.testing.contracts.kernels import lines_of
from angle_reco.testing.contracts.markets import NOW, lot, markets, open_market

TEXTS = IdKinds()


@pytest.mark.parametrize("kind", IdKind)
@given(data=st.data(), keep=st.sampled_from([1, 3, POPULAR_KEPT]))
def test_lists_are_those_of_the_plain_rule(kind: IdKind, data: st.DataObject, keep: int) -> None:
    ids = IdKinds(user=kind, item=kind, category=kind)
    plainly = data.draw(markets(ids))
    market = open_market(plainly, ids)

    categories = [CategoryId(one) for one in market.catalogue.categories.ids]
    of_each = rank_popular_by_category(market, keep=keep)
    one_by_one = [rank_popular(market, keep=keep, category=one) for one in categories]
    over_all = rank_popular(market, keep=keep)

    assert owned_lines(over_all) == [(EVERYTHING, plain.popular_items(plainly, keep=keep))]
    found = [owned for one in one_by_one for owned in owned_lines(one)]
    # No list is made for a category without open items, unless it is asked for.
    assert owned_lines(of_each) == [(owner, lines) for owner, lines in found if lines]
    assert found == [
        (str(one), plain.popular_items(plainly, keep=keep, category_id=one)) for one in categories
    ]
    for lists in (over_all, of_each, *one_by_one):
        assert (lists.recipe, lists.computed_at) == (POPULAR_RECIPE, NOW)


def owned_lines(lists: Lists) -> list[tuple[Id, list[StoredLine]]]:
    return list(zip(lists.owners, lines_of(lists), strict=True))


def test_an_unknown_category_has_an_empty_list() -> None:
    items = [lot("a", category_id=None), lot("b")]
    market = open_market(plain.PlainMarket(items=items, happened=[], now=NOW), TEXTS)

    found = rank_popular(market, keep=3, category=CategoryId("unknown"))

    assert (found.owners.to_list(), lines_of(found)) == (["unknown"], [[]])


def order(items: list[ItemCard], happened: list[Bid | Watch]) -> list[Id]:
    plainly = plain.PlainMarket(items=items, happened=happened, now=NOW)
    return rank_popular(open_market(plainly, TEXTS), keep=50).items.to_list()


def bids(item: str, count: int) -> list[Bid | Watch]:
    return [Bid(user_id=UserId("anna"), item_id=ItemId(item), placed_at=NOW) for _ in range(count)]


def watches(item: str, count: int) -> list[Bid | Watch]:
    return [
        Watch(user_id=UserId(f"user {number}"), item_id=ItemId(item), watched_at=NOW)
        for number in range(count)
    ]


def test_bids_come_before_watchers_whatever_the_popularity() -> None:
    happened = [*bids("a", 1), *watches("a", 9), *bids("b", 2)]

    assert order([lot("a"), lot("b")], happened) == ["b", "a"]


def test_equal_bids_are_ordered_by_watchers() -> None:
    happened = [*bids("a", 2), *bids("b", 2), *watches("b", 1)]

    assert order([lot("a"), lot("b")], happened) == ["b", "a"]


def test_then_by_the_later_listing_an_unknown_one_being_the_earliest() -> None:
    items = [
        lot("a"),
        lot("b", listed_at=NOW - timedelta(days=1)),
        lot("c", listed_at=NOW),
        lot("d", listed_at=NOW - timedelta(days=20_000)),
    ]

    assert order(items, []) == ["c", "b", "d", "a"]


def test_then_by_the_smaller_id_as_code_points_have_it() -> None:
    items = [lot("\U0001f600"), lot("b"), lot("\uffff"), lot("B"), lot("é"), lot("10"), lot("9")]

    assert order(items, []) == ["10", "9", "B", "b", "é", "\uffff", "\U0001f600"]


def test_fifty_are_kept() -> None:
    assert POPULAR_KEPT == POPULAR_RECIPE.kept == 50
    assert POPULAR_RECIPE.components == ("popularity",)
