from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.auction_status import OPEN_STATUSES, AuctionStatus
from angle_reco.domain.availability import is_open, may_be_shown, open_rows
from angle_reco.domain.ids import IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.testing import plain
from angle_reco.testing.contracts.markets import NOW, catalogue_of, lot, markets

ANNA, BEN = UserId("anna"), UserId("ben")
TICK = timedelta(microseconds=1)


@pytest.mark.parametrize("kind", IdKind)
@given(data=st.data())
def test_open_items_are_those_of_the_plain_rule(kind: IdKind, data: st.DataObject) -> None:
    ids = IdKinds(user=kind, item=kind, category=kind)
    market = data.draw(markets(ids))
    catalogue = catalogue_of(market, ids)

    found = catalogue.where(open_rows(catalogue, NOW)).items.ids

    plainly = {item.item_id for item in market.items if plain.is_open(item, NOW)}
    assert {ItemId(item_id) for item_id in found} == plainly
    assert {item.item_id for item in market.items if is_open(item, NOW)} == plainly


@pytest.mark.parametrize(
    ("item", "open_now"),
    [
        (lot("a"), True),
        (lot("a", status=AuctionStatus.SCHEDULED), True),
        (lot("a", is_published=False), False),
        (lot("a", ends_at=NOW + TICK), True),
        (lot("a", ends_at=NOW), False),
        (lot("a", ends_at=NOW - TICK), False),
        (lot("a", status=AuctionStatus.SCHEDULED, ends_at=NOW), False),
    ],
)
def test_an_item_is_open_until_it_ends(item: ItemCard, open_now: bool) -> None:
    assert is_open(item, NOW) is plain.is_open(item, NOW) is open_now


@pytest.mark.parametrize("status", AuctionStatus)
def test_only_active_and_scheduled_auctions_are_open(status: AuctionStatus) -> None:
    is_one = status.value in {"active", "scheduled"}

    assert is_open(lot("a", status=status), NOW) is is_one
    assert (status in OPEN_STATUSES) is is_one


@pytest.mark.parametrize("status", AuctionStatus)
@pytest.mark.parametrize("is_published", [True, False])
def test_what_is_listed_follows_from_the_rest_of_a_card(
    status: AuctionStatus, is_published: bool
) -> None:
    paused = lot("a", status=AuctionStatus.PAUSED, ends_at=NOW - TICK)

    card = attrs.evolve(paused, status=status, is_published=is_published)

    assert card.is_listed is (is_published and status in OPEN_STATUSES)
    assert attrs.evolve(card, status=AuctionStatus.PAUSED) == attrs.evolve(
        paused, is_published=is_published
    )
    assert "is_listed" not in repr(card)


@pytest.mark.parametrize("include_engaged", [True, False])
@pytest.mark.parametrize(
    ("item", "viewer", "shown"),
    [
        (lot("a"), ANNA, True),
        (lot("a"), None, True),
        (lot("a", seller_id=BEN), ANNA, True),
        (lot("a", seller_id=ANNA), ANNA, False),
        (lot("a", seller_id=ANNA), None, True),
        (lot("a", seller_id=None), None, True),
        (lot("a", is_published=False), ANNA, False),
    ],
)
def test_nobody_is_shown_their_own_items(
    item: ItemCard, viewer: UserId | None, shown: bool, include_engaged: bool
) -> None:
    assert may_be_shown(item, viewer=viewer, now=NOW, include_engaged=include_engaged) is shown


def test_what_somebody_engaged_with_is_shown_only_where_that_is_wanted() -> None:
    item = lot("a", engaged=True)

    assert may_be_shown(item, viewer=ANNA, now=NOW, include_engaged=True)
    assert not may_be_shown(item, viewer=ANNA, now=NOW, include_engaged=False)
