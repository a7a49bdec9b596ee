"""What hosts use in their own tests works there."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from angle_reco import ItemId, Recommender, UserId
from angle_reco.testing import Item, ManualClock, MemoryMarketplace, User
from angle_reco.testing.fixtures import reco, reco_application, reco_clock, reco_market

__all__ = ["reco", "reco_application", "reco_clock", "reco_market"]

HOST = """
import pytest

from angle_reco import Recommender, Settings
from angle_reco.testing import Item, MemoryMarketplace, User

pytest_plugins = ["angle_reco.testing.fixtures"]

market = MemoryMarketplace(users=[User(user_id="ann")], items=[Item(item_id="lamp")])
application = Recommender.in_memory(market, settings=Settings())


@pytest.fixture
def reco_application():
    return application


@pytest.mark.parametrize("turn", [1, 2])
def test_a_bid_is_forgotten_after_a_test(reco, turn):
    for one in (reco, application):
        assert one.as_user("ann").homepage().ids == ("lamp",)
        one.bid_placed("ann", "lamp")
        market.bids.clear()  # the test is rolled back
        assert one.as_user("ann").homepage().ids == ()
"""


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


def test_the_recommender_of_an_application_forgets_what_a_test_did(tmp_path: Path) -> None:
    (tmp_path / "test_host.py").write_text(HOST, "utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_host.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
