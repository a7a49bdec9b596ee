from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.ids import IdKind, IdKinds, ItemId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.scoring.market import ENDING_SOON
from angle_reco.testing import plain
from angle_reco.testing.contracts.markets import NOW, lot, markets, open_market

TICK = timedelta(microseconds=1)


@pytest.mark.parametrize("kind", IdKind)
@given(data=st.data())
def test_recency_is_that_of_the_plain_rule(kind: IdKind, data: st.DataObject) -> None:
    ids = IdKinds(user=kind, item=kind, category=kind)
    plainly = data.draw(markets(ids))

    market = open_market(plainly, ids)

    items = {item.item_id: item for item in plainly.items}
    assert market.recency.tolist() == [
        plain.recency_of(items[ItemId(item_id)], NOW) for item_id in market.catalogue.items.ids
    ]


@pytest.mark.parametrize(
    ("item", "recency"),
    [
        (lot("a"), 100_000),
        (lot("a", status=AuctionStatus.SCHEDULED), 0),
        (lot("a", ends_at=NOW + TICK), 200_000),
        (lot("a", ends_at=NOW + ENDING_SOON), 200_000),
        (lot("a", ends_at=NOW + ENDING_SOON + TICK), 100_000),
        (lot("a", ends_at=NOW + ENDING_SOON, status=AuctionStatus.SCHEDULED), 100_000),
    ],
)
def test_ending_within_seven_times_24_hours_is_soon(item: ItemCard, recency: int) -> None:
    market = plain.PlainMarket(items=[item], happened=[], now=NOW)

    assert open_market(market, IdKinds()).recency.tolist() == [recency]


def test_seven_days_are_soon() -> None:
    assert timedelta(hours=7 * 24) == ENDING_SOON


@given(data=st.data())
def test_the_rank_of_a_row_is_its_place_in_the_order_of_ties(data: st.DataObject) -> None:
    market = open_market(data.draw(markets(IdKinds())), IdKinds())

    assert market.tie_order[market.tie_rank].tolist() == list(range(len(market)))
