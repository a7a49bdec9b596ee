"""What hosts use in their own tests works there."""

from datetime import UTC, datetime, timedelta

from angle_reco import ItemId, Recommender, Settings, UserId
from angle_reco.testing import Item, ManualClock, MemoryMarketplace, User
from angle_reco.testing.fixtures import reco, reco_application, reco_clock, reco_market

__all__ = ["reco", "reco_application", "reco_clock", "reco_market"]


def test_a_recommender_starts_with_an_empty_marketplace(reco: Recommender) -> None:
    assert len(reco.anonymous.popular_items()) == 0


def test_it_shows_what_the_test_puts_in(reco: Recommender, reco_market: MemoryMarketplace) -> None:
    reco_market.add_item(Item(item_id=ItemId("lamp")))

    assert reco.anonymous.popular_items().ids == (ItemId("lamp"),)


def test_its_time_is_that_of_the_clock(
    reco: Recommender, reco_market: MemoryMarketplace, reco_clock: ManualClock
) -> None:
    reco_market.users[UserId("ann")] = User(user_id=UserId("ann"))
    assert abs(reco_clock.now() - datetime.now(UTC)) < timedelta(minutes=5)
    reco_clock.advance(timedelta(days=3))

    reco.signed_in("ann")

    found = reco.as_user("ann").sign_ins()
    assert found is not None
    assert found.last_at == reco_clock.now()


def test_the_recommender_of_an_application_forgets_what_a_test_did(
    reco_market: MemoryMarketplace,
) -> None:
    reco_market.add_user(User(user_id=UserId("ann")))
    reco_market.add_item(Item(item_id=ItemId("lamp")))
    application = Recommender.in_memory(reco_market, settings=Settings())
    test = reco.__wrapped__(application, ManualClock())  # type: ignore[attr-defined]  # of a fixture
    both: list[Recommender] = [next(test), application]
    for one in both:
        one.bid_placed("ann", "lamp")
        reco_market.bids.clear()  # the test is rolled back
        assert one.as_user("ann").homepage().ids == ()

    assert next(test, None) is None

    for one in both:
        assert one.as_user("ann").homepage().ids == (ItemId("lamp"),)
