from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.activity import Activity, Bid, Interactions, Watch, is_own_bid
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.moments import to_micros
from angle_reco.testing import plain
from angle_reco.testing.contracts.markets import markets

every_kind = pytest.mark.parametrize("kind", IdKind)
Row = tuple[object, object, int, int]


def rows(interactions: Interactions) -> list[Row]:
    return list(
        zip(
            interactions.users,
            interactions.items,
            interactions.kinds.tolist(),
            interactions.moments.tolist(),
            strict=True,
        )
    )


def row(one: Bid | Watch) -> Row:
    kind = Activity.BID if isinstance(one, Bid) else Activity.WATCH
    return one.user_id, one.item_id, kind, to_micros(plain.moment_of(one))


@every_kind
@given(data=st.data(), cut=st.integers(0, 60))
def test_columns_hold_a_row_for_each_bid_and_watch(
    kind: IdKind, data: st.DataObject, cut: int
) -> None:
    ids = IdKinds(user=kind, item=kind, category=kind)
    happened = list(data.draw(markets(ids)).happened)

    batches = [Interactions.of(ids, happened[:cut]), Interactions.of(ids, happened[cut:])]
    joined = Interactions.joined(ids, batches)

    assert rows(joined) == [row(one) for one in happened]
    assert rows(joined.where(joined.kinds == Activity.BID)) == [
        row(one) for one in happened if isinstance(one, Bid)
    ]
    assert len(joined) == len(happened)


@every_kind
def test_nothing_happened_in_no_batches(kind: IdKind) -> None:
    ids = IdKinds(user=kind, item=kind, category=kind)

    assert rows(Interactions.joined(ids, [])) == rows(Interactions.of(ids, [])) == []


def test_codes_are_stored_and_so_never_change() -> None:
    assert (Activity.BID, Activity.WATCH) == (0, 1)


def test_moments_without_a_time_zone_are_refused() -> None:
    naive = datetime(2026, 1, 31)  # noqa: DTZ001 — naive on purpose

    with pytest.raises(InvalidValueError, match="placed_at is"):
        Bid(user_id=UserId("anna"), item_id=ItemId("a"), placed_at=naive)
    with pytest.raises(InvalidValueError, match="watched_at is"):
        Watch(user_id=UserId("anna"), item_id=ItemId("a"), watched_at=naive)


def test_how_much_was_bid_need_not_be_known() -> None:
    at = datetime(2026, 1, 31, tzinfo=UTC)

    assert Bid(user_id=UserId("anna"), item_id=ItemId("a"), placed_at=at).amount is None


def test_columns_of_different_lengths_are_refused() -> None:
    ids = IdColumn.of(IdKind.INT, [1])

    with pytest.raises(ValueError, match="Interactions differ in length"):
        Interactions(users=ids, items=ids, kinds=np.zeros(2, np.int8), moments=np.zeros(1))


@pytest.mark.parametrize(
    ("seller", "is_own"), [("ann", True), ("Ann", False), ("bob", False), (None, False)]
)
def test_a_bid_is_own_where_its_user_is_the_seller(seller: str | None, is_own: bool) -> None:
    bid = Bid(
        user_id=UserId("ann"), item_id=ItemId("a"), placed_at=datetime(2026, 1, 1, tzinfo=UTC)
    )

    assert is_own_bid(bid, None if seller is None else UserId(seller)) is is_own
