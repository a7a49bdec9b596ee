"""Looking back: as of a moment nothing later exists, and nothing of it weighs on an answer."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from hypothesis import given, settings

from angle_reco import InvalidValueError, ItemNotFoundError, Recommender, UserId
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.testing import Bid, Item, MemoryMarketplace, User, Watch
from tests.application.markets import USERS, everything_said, marketplaces, stored_of
from tests.application.shop import DAY, NOW, TICK, bid, filled, ids_of, lot, lots, watch

THEN = NOW - 10 * DAY


def back(market: MemoryMarketplace, at: datetime = THEN) -> Recommender:
    """Return a recommender that looks back."""
    return Recommender.in_memory(market, as_of=at)


def test_later_bids_and_watches_do_not_exist() -> None:
    market = filled(
        lots("art", 3),
        *(bid("ann", "art-01", days=10), bid("bob", "art-02", days=9.999)),
        *(watch("ann", "art-02", days=10), watch("bob", "art-03", days=9.999)),
    )

    shelf = back(market).anonymous.popular_items()

    assert [(str(one.item_id), one.score) for one in shelf] == [
        ("art-01", 100_000),
        ("art-02", 200_000),
        ("art-03", 0),
    ]
    assert ids_of(back(market).as_user("bob").homepage()) == ["art-01", "art-02", "art-03"]


def test_later_items_do_not_exist() -> None:
    market = filled([lot("now", listed=10), lot("later", listed=9.999), lot("old", listed=None)])

    assert ids_of(back(market).anonymous.popular_items()) == ["now", "old"]
    with pytest.raises(ItemNotFoundError):
        back(market).anonymous.similar_items("later")
    with pytest.raises(ItemNotFoundError):
        back(market).system.run_job("compute_item_similarities", item_id="later")


def test_what_came_later_is_not_counted() -> None:
    market = filled(
        [lot("now", listed=10), lot("later", listed=9.999)],
        *(bid("ann", "now", days=10), bid("ann", "now", days=9.999)),
        *(watch("ann", "now", days=10), watch("bob", "now", days=9.999)),
    )
    market.users[UserId("ann")] = User(user_id=UserId("ann"), created_at=THEN)
    market.users[UserId("bob")] = User(user_id=UserId("bob"), created_at=THEN + TICK)

    stats = back(market).system.stats()

    assert (stats.users, stats.items, stats.bids, stats.watches) == (1, 1, 1, 1)


def test_later_users_do_not_exist() -> None:
    market = filled(lots("art", 2))
    for name, created_at in (("then", THEN), ("later", THEN + TICK)):
        market.users[UserId(name)] = User(user_id=UserId(name), created_at=created_at)

    assert back(market).system.sign_ins(of="then") is not None
    assert back(market).system.sign_ins(of="later") is None
    assert back(market).system.run_job("generate_recommendations").scope == 1


def test_where_only_a_later_sign_in_is_known_the_newest_bid_or_watch_stands_for_it() -> None:
    market = filled(
        lots("art", 2),
        *(bid("ann", "art-01", days=30), watch("ann", "art-02", days=39.9), bid("ann", "art-01")),
        bid("bob", "art-01", days=40),
    )

    reco = back(market)

    sign_ins = reco.system.sign_ins(of="ann")
    assert sign_ins is not None
    assert sign_ins.last_at == NOW - 30 * DAY
    assert reco.system.run_job("refresh_user_interests").scope == 1  # bob: 30 days, no more


def test_an_item_is_open_by_its_times_then() -> None:
    market = filled(
        [lot("ended-since", ends=-5), lot("ended", ends=-10), lot("ended-later", ends=-9.999)]
    )

    assert ids_of(back(market).anonymous.popular_items()) == ["ended-later", "ended-since"]


def test_the_price_follows_from_the_bids_until_then() -> None:
    market = filled([lot("vase", price=10)], bid("ann", "vase", 10, 50), bid("bob", "vase", 9, 90))

    assert back(market).anonymous.popular_items()[0].card.price == 50
    assert back(market, NOW - 11 * DAY).anonymous.popular_items()[0].card.price == 10


def test_ages_count_from_then() -> None:
    market = filled([lot("vase")], bid("ann", "vase", days=20))

    assert [one.strength for one in back(market).as_user("ann").interests()] == [2_100_000]
    assert back(market, NOW - 21 * DAY).as_user("ann").interests() == ()


def test_an_assumed_bid_is_one_of_then() -> None:
    shelf = back(filled(lots("art", 2))).as_user("ann").after_bid("art-01", assume_bid=True)

    assert [dict(one.contributions) for one in shelf] == [
        {"similarity": 400_000, "interest": 400_000}
    ]


def test_what_was_stored_later_is_not_used() -> None:
    market = filled(lots("art", 3), bid("ann", "art-01", days=1))
    now = Recommender.in_memory(market, as_of=NOW)
    for job in BATCH_JOBS:
        now.system.run_job(job)

    then = Recommender(now.ports, as_of=THEN)

    assert then.as_user("ann").interests() == ()
    assert ids_of(then.as_user("ann").homepage()) == ["art-01", "art-02", "art-03"]


def test_a_moment_of_any_zone_is_the_same_moment() -> None:
    market = filled(lots("art", 2), bid("ann", "art-02", days=10))
    elsewhere = THEN.astimezone(timezone(timedelta(hours=-7)))

    assert back(market, elsewhere).as_of == THEN
    assert ids_of(back(market, elsewhere).anonymous.popular_items()) == ["art-02", "art-01"]


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 6, 1),  # noqa: DTZ001 — what is to be refused
        datetime(1899, 12, 31, tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=1))),
        NOW.date(),
        "2026-06-01T12:00:00Z",
        0,
    ],
)
def test_what_is_no_moment_with_a_zone_is_refused(at: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"^as_of is "):
        Recommender.in_memory(as_of=at)


@pytest.mark.parametrize("year", [1900, 1970, 9999])
def test_every_call_answers_at_the_ends_of_the_calendar(year: int) -> None:
    market = filled([lot("vase", listed=None), lot("bowl", listed=None)], bid("ann", "vase"))
    reco = back(market, datetime(year, 12, 31, tzinfo=UTC))

    assert "bowl" in ids_of(reco.as_user("ann").homepage())
    assert ids_of(reco.as_user("ann").after_bid("vase")) == ["bowl"]
    assert reco.as_user("ann").interests() == ()
    assert [reco.system.run_job(job).removed for job in BATCH_JOBS] == [0] * len(BATCH_JOBS)
    assert list(reco.system.stored.find_stale_recommendations()) == []


def until(market: MemoryMarketplace, at: datetime) -> MemoryMarketplace:
    """Return a marketplace that only holds what was there at a moment."""

    def exists(one: User | Item | Bid | Watch) -> bool:
        match one:
            case User(created_at=moment) | Item(listed_at=moment):
                return moment is None or moment <= at
            case Bid(placed_at=placed_at):
                return placed_at <= at
            case Watch(watched_at=watched_at):
                return watched_at <= at

    bids = [bid for of_item in market.bids.values() for bid in of_item if exists(bid)]
    watches = [watch for watch in market.watches.values() if exists(watch)]
    moments = [(one.user_id, one.placed_at) for one in bids]
    moments += [(one.user_id, one.watched_at) for one in watches]

    def known_then(user: User) -> User:
        if user.last_sign_in_at is None or user.last_sign_in_at <= at:
            return user
        newest = max((moment for one, moment in moments if one == user.user_id), default=None)
        return attrs.evolve(user, last_sign_in_at=newest)

    return MemoryMarketplace(
        users=[known_then(user) for user in market.users.values() if exists(user)],
        items=[item for item in market.items.values() if exists(item)],
        bids=bids,
        watches=watches,
    )


@settings(settings.get_profile("slow"))
@given(market=marketplaces())
def test_answers_are_those_of_a_marketplace_that_holds_only_what_was_there(
    market: MemoryMarketplace,
) -> None:
    whole, only = back(market), Recommender.in_memory(until(market, THEN), as_of=THEN)

    assert everything_said(whole) == everything_said(only)
    for job in BATCH_JOBS:
        outcomes = [reco.system.run_job(job) for reco in (whole, only)]
        assert len({(one.scope, one.changed, one.unchanged) for one in outcomes}) == 1
    assert stored_of(whole) == stored_of(only)
    for user in USERS:
        assert whole.system.sign_ins(of=user) == only.system.sign_ins(of=user)
