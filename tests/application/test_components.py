"""A component of the host in answers, jobs, exports, and when it fails."""

import logging
from itertools import count

import attrs
import numpy as np
import pytest

from angle_reco import Freshness, ItemId, Recommender, Settings
from angle_reco.components import INTEREST, Component, DependsOn, OpenMarket, Profiles
from angle_reco.domain.arrays import Int64s
from angle_reco.domain.millionths import ONE
from angle_reco.errors import ComponentError
from angle_reco.rules import Candidates, Ranker
from tests.application.shop import bid, filled, ids_of, lots, opened

TOWNS = {"ann": 3, "bob": 5}
"""Each user lives in the town of the item with this number."""


def same_town(market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s) -> Int64s:
    town_of_user = np.array([TOWNS.get(str(one), -1) for one in profiles.users.to_list()])
    items = market.catalogue.items.ids.to_list()
    town_of_item = np.array([int(str(one)[-2:]) for one in items])
    return np.where(town_of_user[users] == town_of_item[rows], ONE, 0)


SAME_TOWN = Component(
    name="same_town",
    sentence="Sold in your town",
    data="the addresses of users and items",
    values=same_town,
)
LOCAL = Ranker.of("local", {INTEREST: 0.5, SAME_TOWN: 0.3})


def shop(component: Component = SAME_TOWN, *, is_cached: bool = False) -> Recommender:
    local = Ranker.of("local", {INTEREST: 0.5, component: 0.3})
    did = [bid(user, "liked-09") for user in ("ann", "bob", "cleo")]
    return opened(
        filled([*lots("liked", 9), *lots("other", 9, "toys")], *did),
        Settings(cache_enabled=is_cached, presets=(local,), ranker="local"),
    )


def test_it_orders_a_category_differently_for_each_user() -> None:
    reco = shop()

    tops = {user: str(reco.as_user(user).homepage()[0].item_id) for user in ("ann", "bob", "cleo")}

    assert tops == {"ann": "liked-03", "bob": "liked-05", "cleo": "liked-01"}


def test_jobs_store_what_a_call_computes() -> None:
    reco = shop()
    computed = reco.as_user("ann").homepage()

    reco.system.run_job("generate_recommendations")
    stored = reco.as_user("ann").homepage()

    assert (computed.freshness, stored.freshness) == (Freshness.COMPUTED, Freshness.FRESH)
    assert list(stored) == list(computed)


def test_it_is_in_explanations_and_exports() -> None:
    reco = shop()
    reco.system.run_job("generate_recommendations")

    top, second = reco.as_user("ann").homepage()[:2]

    assert top.contributions == {"interest": 500_000, "same_town": 300_000}
    assert top.explanation == "interest 0.50, same town 0.30"
    assert second.contributions == {"interest": 500_000, "same_town": 0}
    exported = reco.system.export_user("ann").to_json()
    assert "'same_town': 0.3" in repr(exported)


def test_its_sentence_is_said_where_it_adds_most() -> None:
    reco = shop()

    page = reco.as_user("cleo").homepage()
    assert all("town" not in one.sentence for one in page)
    [elsewhere] = [
        one for one in reco.as_user("ann").homepage() if one.item_id == ItemId("other-03")
    ]
    assert elsewhere.sentence == "Sold in your town"


def failing(market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s) -> Int64s:
    raise KeyError("town")


BROKEN = Component(name="same_town", data="addresses", values=failing)


def test_a_page_falls_back_on_popular_items(caplog: pytest.LogCaptureFixture) -> None:
    with shop(BROKEN, is_cached=True) as reco, caplog.at_level(logging.WARNING, "angle_reco"):
        shelf = reco.as_user("ann").homepage(3)
        reco.as_user("bob").homepage(3)

    assert caplog.text.count("component failed") == 1
    assert (len(shelf), shelf.degraded_by) == (3, ("list",))
    assert "component failed: component=same_town problem=raised KeyError" in caplog.text
    assert "answer degraded: surface=homepage error=ComponentError" in caplog.text


def test_without_a_cache_the_error_is_raised() -> None:
    with pytest.raises(ComponentError, match="the component same_town raised KeyError"):
        shop(BROKEN).as_user("ann").homepage()


def test_a_component_that_fails_for_one_user_costs_the_others_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def values(market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s) -> Int64s:
        if "bob" in profiles.users.to_list():
            raise KeyError("bob")
        return same_town(market, profiles, users, rows)

    reco = shop(Component(name="same_town", data="addresses", values=values))

    outcome = reco.system.run_job("generate_recommendations")

    assert caplog.text.count("component failed: component=same_town problem=raised KeyError") == 1
    assert outcome.failed == 1
    assert ids_of(reco.as_user("ann").homepage(1)) == ["liked-03"]


@pytest.mark.parametrize("declared", [DependsOn.ITEM, DependsOn.CATEGORY])
def test_a_component_that_depends_on_more_than_it_declares_is_found(
    declared: DependsOn, caplog: pytest.LogCaptureFixture
) -> None:
    lying = Component(name="same_town", data="towns", depends_on=declared, values=same_town)

    shop(lying).system.run_job("generate_recommendations")

    assert "component=same_town problem=depends on more than its depends_on declares" in caplog.text


def test_values_that_differ_from_call_to_call_are_found() -> None:
    calls = count()

    def values(market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s) -> Int64s:
        return np.full(len(rows), 1_000 * next(calls))

    reco = shop(Component(name="moody", data="the time", values=values))

    with pytest.raises(ComponentError, match=r"^the component moody .* differs from call to call$"):
        reco.as_user("ann").homepage()


def halving(market: OpenMarket, profiles: Profiles, users: Int64s, rows: Int64s) -> Int64s:
    halved = market.popularity
    halved //= 2
    return halved[rows]


def test_a_component_cannot_change_what_all_answers_share() -> None:
    """As a slip would: `//=` on a column changes it for all users of the process."""
    lazy = Component(name="half", data="bids", depends_on=DependsOn.ITEM, values=halving)

    with pytest.raises(
        ComponentError, match=r"^the component half raised ValueError in test_components"
    ):
        shop(lazy).as_user("ann").homepage()


def test_what_it_declares_is_checked_among_all_items_too(caplog: pytest.LogCaptureFixture) -> None:
    lying = Component(name="same_town", data="towns", depends_on=DependsOn.ITEM, values=same_town)
    local = attrs.evolve(Ranker.of("local", {lying: 0.3}), candidates=Candidates.ALL)
    reco = opened(
        filled(lots("liked", 9), *(bid(user, "liked-09") for user in ("ann", "bob"))),
        Settings(cache_enabled=False, presets=(local,), ranker="local"),
    )

    reco.system.run_job("generate_recommendations")

    assert "component=same_town problem=depends on more than its depends_on declares" in caplog.text


def test_the_scores_of_a_page_descend_and_add_up() -> None:
    page = shop().as_user("ann").homepage()

    assert all(one.score == sum(one.parts) for one in page)
    assert ids_of(page)[:4] == ["liked-03", "liked-01", "liked-02", "liked-04"]
