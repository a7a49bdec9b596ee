"""What hosts use in their own tests works there."""

from datetime import timedelta

from angle_reco import ItemId, Recommender, UserId
from angle_reco.testing import Item, ManualClock, MemoryMarketplace, User
from angle_reco.testing.fixtures import clock, market, recommender

__all__ = ["clock", "market", "recommender"]


def test_a_recommender_starts_with_an_empty_marketplace(
    recommender: Recommender,
) -> None:
    assert len(recommender.anonymous.popular_items()) == 0


def test_it_shows_what_the_test_puts_in(
    recommender: Recommender,
    market: MemoryMarketplace,
) -> None:
    market.add_item(Item(item_id=ItemId("lamp")))

    assert recommender.anonymous.popular_items().ids == (ItemId("lamp"),)


def test_its_time_is_that_of_the_clock(
    recommender: Recommender,
    market: MemoryMarketplace,
    clock: ManualClock,
) -> None:
    market.users[UserId("ann")] = User(user_id=UserId("ann"))
    clock.advance(timedelta(days=3))

    recommender.signed_in("ann")

    found = recommender.as_user("ann").sign_ins()
    assert found is not None
    assert found.last_at == clock.now()
