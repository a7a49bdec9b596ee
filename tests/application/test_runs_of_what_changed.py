"""A run leaves what cannot have changed, and stores what a full run would, to the bit."""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import repeat
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from angle_reco import Recommender, Settings
from angle_reco.adapters.memory.changes import MemoryChanges
from angle_reco.adapters.memory.ledger import MemoryRunLedger
from angle_reco.adapters.memory.stores import MemoryFences, MemoryInterestStore, MemoryListStore
from angle_reco.adapters.sql.storage import Storage
from angle_reco.application.jobs.single_lists import store_one
from angle_reco.application.scoring import Scorer
from angle_reco.composition import memory_ports
from angle_reco.domain.activity import Interactions
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.errors import StorageUnavailableError
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.items import Item
from angle_reco.domain.lists import ListKind
from angle_reco.domain.popular import popular_owner
from angle_reco.domain.scoring.components import INTEREST, Component
from angle_reco.domain.scoring.decay import HalfLife
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.popularity import BidCounting, PopularityRule
from angle_reco.domain.scoring.ranking import CLASSIC, Ranker
from angle_reco.testing import Bid, ManualClock, MemoryMarketplace, User, Watch
from tests.adapters.databases import emptied, fill, ports_on, put, storage_on
from tests.adapters.shops import Shop as Files
from tests.application.workers import Failing

START = datetime.fromisoformat("2026-06-01T02:30:00+00:00")
"""After the hour from which a run of the day computes everything."""

IS_FULL = os.environ.get("ANGLE_RECO_TEST_SIZE") == "full"

TICK = timedelta(microseconds=1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
JOBS = {
    "refresh_user_interests": None,
    "generate_popular_items": ListKind.POPULAR,
    "generate_recommendations": ListKind.PERSONAL,
    "compute_item_similarities": ListKind.SIMILAR,
}
USERS = [f"u{place}" for place in range(7)]
CATEGORIES = ["art", "books", "coins", "dolls"]
# Pages are shorter than the shop, so that many of them depend on a part of it alone.
SMALL = attrs.evolve(CLASSIC, name="small", kept=3, favourites=2, per_category=1)
RULES = Settings(presets=(SMALL,), ranker="small", cache_enabled=False)


def lot(place: int, category: str | None, **more: Any) -> Item:
    """Return an item, of which many are alike."""
    values = {
        "seller_id": UserId(USERS[place % 9]) if place % 9 < len(USERS) else None,
        "starting_price": Decimal(10 * (place % 5 + 1)),
        "listed_at": START - 20 * DAY,
    }
    return Item(
        item_id=ItemId(f"i{place:02}"),
        category_id=None if category is None else CategoryId(category),
        **(values | more),
    )


@attrs.frozen
class Shop:
    """A shop of which one recommender runs by what changed, and another one in full.

    *edit* stores an item. Lists of the owners *requested* were computed out of turn.
    """

    reco: Recommender
    full: Recommender
    clock: ManualClock
    edit: Callable[[Item], object]
    requested: set[object] = attrs.field(factory=set)

    @classmethod
    def of(cls, ports: Any, edit: Callable[[Item], object], rules: Settings = RULES) -> "Shop":
        clock, fences = ManualClock(START), MemoryFences()
        ports = attrs.evolve(ports, clock=clock)
        others = attrs.evolve(
            ports,
            interests=MemoryInterestStore(fences),
            lists=MemoryListStore(fences),
            ledger=MemoryRunLedger(clock, fences),
            changes=MemoryChanges(clock),
        )
        return cls(Recommender(ports, rules), Recommender(others, rules), clock, edit)

    def run(self, *jobs: str) -> dict[str, int]:
        """Run jobs both ways; return for how many owners each did nothing."""
        left = {}
        for job in jobs or JOBS:
            left[job] = self.reco.system.run_job(job).left
            assert self.full.system.run_job(job, full=True).left == 0
        return left

    def stored(self, reco: Recommender, kind: ListKind | None) -> dict[object, object]:
        """Return all results of a kind, whenever they were made."""
        ports = reco.ports
        if kind is None:
            interests = {one: ports.interests.of(UserId(one)) for one in USERS}
            return {
                one: (kept.interests, kept.recipe, kept.computed_at, kept.covered_at)
                for one, kept in interests.items()
                if kept is not None
            }
        owners: Sequence[object] = {
            ListKind.PERSONAL: USERS,
            ListKind.SIMILAR: [f"i{place:02}" for place in range(30)],
            ListKind.POPULAR: [popular_owner(None), *CATEGORIES],
        }[kind]
        return dict(ports.lists.read(kind, owners))

    def agree(self, *jobs: str) -> None:
        """Check that both have the same results."""
        for job in jobs or JOBS:
            kind = JOBS[job]
            ours, theirs = (self.stored(one, kind) for one in (self.reco, self.full))
            # A run that has nothing to compute leaves lists that requests stored for others:
            # for items that have ended, and for users who are not active.
            assert ours.keys() - theirs.keys() <= self.requested, job
            assert {one: ours.get(one) for one in theirs} == theirs, job


def first_items(ends: dict[int, float]) -> list[Item]:
    return [
        lot(
            place,
            [*CATEGORIES[:3], None][place % 4],
            ends_at=START + HOUR * ends[place] if place in ends else None,
        )
        for place in range(14)
    ]


def first_rows() -> tuple[list[User], list[Bid], list[Watch]]:
    """Return users of whom some become inactive soon, and activity that soon counts less."""
    users = [
        User(user_id=UserId(one), last_sign_in_at=START - 30 * DAY + HOUR * (2 + 5 * place))
        for place, one in enumerate(USERS)
    ]
    bids = [
        Bid(
            user_id=UserId(USERS[place % 6]),
            item_id=ItemId(f"i{(5 * place) % 14:02}"),
            amount=Decimal(20 + place),
            placed_at=START - days * DAY + HOUR * (place % 7),
        )
        for place, days in enumerate([8, 31, 90, 2, 8, 31, 90, 5, 8, 1, 40, 90])
    ]
    watches = [
        Watch(
            user_id=UserId(USERS[place]),
            item_id=ItemId(f"i{(3 * place + 1) % 14:02}"),
            watched_at=START - days * DAY + HOUR * place,
        )
        for place, days in enumerate([8, 31, 90, 3])
    ]
    return users, bids, watches


def in_memory(rules: Settings = RULES, ends: dict[int, float] | None = None) -> Shop:
    users, bids, watches = first_rows()
    market = MemoryMarketplace(
        users=users, items=first_items(ends or {}), bids=bids, watches=watches
    )
    return Shop.of(memory_ports(market), market.add_item, rules)


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    """Return a database in memory."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    storage = storage_on(engine)
    storage.migrate_up()
    yield storage
    engine.dispose()


def on_sqlite(storage: Storage, ends: dict[int, float]) -> Shop:
    users, bids, watches = first_rows()
    fill(emptied(storage), users=users, items=first_items(ends), bids=bids, watches=watches)
    return Shop.of(ports_on(storage), lambda item: put(storage, item))


Step: TypeAlias = tuple[Any, ...]

users = st.sampled_from(USERS)
items = st.integers(0, 15).map(lambda place: f"i{place:02}")
late = st.sampled_from([0, 1, 9]).map(lambda minutes: minutes * MINUTE)
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("bid"), users, items, late),
    st.tuples(st.just("watch"), users, items, late),
    st.tuples(st.just("unwatch"), users, items),
    st.tuples(st.just("withdraw"), users, items),
    st.tuples(st.just("sign in"), users),
    st.tuples(
        st.just("edit"),
        st.integers(0, 15),
        st.sampled_from([*CATEGORIES, None]),
        st.fixed_dictionaries(
            {},
            optional={
                "is_published": st.booleans(),
                "seller_id": st.sampled_from([*map(UserId, USERS), None]),
                "ends_at": st.integers(-1, 180).map(lambda hours: START + hours * HOUR),
                "starts_at": st.integers(-1, 8).map(lambda hours: START + hours * HOUR),
                "listed_at": st.integers(-9, 0).map(lambda hours: START + hours * HOUR),
            },
        ),
    ),
    st.tuples(st.just("out of turn"), users),
    st.tuples(st.just("by hand"), users, items),
    st.tuples(st.just("interest by hand"), users, st.sampled_from(CATEGORIES)),
    st.tuples(st.just("similar"), items),
)
waits = st.sampled_from([timedelta(0), MINUTE, 11 * MINUTE, HOUR, 3 * HOUR])
runs = st.lists(
    st.tuples(st.lists(steps, max_size=3), waits, st.lists(st.sampled_from([*JOBS]), max_size=3)),
    min_size=1,
    max_size=5,
)
ends = st.dictionaries(st.integers(0, 13), st.sampled_from([0.5, 1, 4, 169, 170.5]), max_size=4)


def happens(shop: Shop, step: Step) -> None:
    """Do a step; what is done to results is done to those of both."""
    both = (shop.reco, shop.full)
    match step:
        case "bid", user, item, ago:
            shop.reco.bid_placed(user, item, at=shop.clock.now() - ago)
        case "watch", user, item, ago:
            shop.reco.watched(user, item, at=shop.clock.now() - ago)
        case "unwatch", user, item:
            shop.reco.unwatched(user, item)
        case "withdraw", user, item:
            shop.reco.bid_withdrawn(user, item)
        case "sign in", user:
            shop.reco.signed_in(user)
        case "edit", place, category, values:
            shop.edit(lot(place, category, **values))
            shop.reco.items_changed([f"i{place:02}"])
        case "out of turn", user:
            shop.requested.add(user)
            for reco in both:
                out_of_turn(reco, user)
        case "by hand", user, item:
            if item in known_items(shop):
                shop.requested.add(user)
                for reco in both:
                    reco.system.stored.upsert_recommendation(user, item, score=0.5)
        case "interest by hand", user, category:
            for reco in both:
                reco.system.stored.upsert_interest(user, category, score=0.5)
        case "similar", item:
            if item in known_items(shop):
                shop.requested.add(item)
                for reco in both:
                    reco.system.run_job("compute_item_similarities", item_id=item)


def known_items(shop: Shop) -> set[object]:
    everything = [ItemId(f"i{place:02}") for place in range(16)]
    return {*shop.reco.ports.catalog.cards(everything, at=shop.clock.now())}


def out_of_turn(reco: Recommender, user: str) -> None:
    """Compute and store a homepage as a request does."""
    scorer = reco._use_cases.shelves.scorer
    market = scorer.market()
    profiles = scorer.profiles(market, IdIndex(IdColumn.of(reco.settings.ids.user, [user])))
    pages = scorer.homepages(market, profiles, keep=scorer.rankings.kept)
    store_one(reco.ports.lists, ListKind.PERSONAL, pages)


def goes_through(shop: Shop, history: list[tuple[list[Step], timedelta, list[str]]]) -> None:
    shop.run()
    shop.agree()
    for some, wait, jobs in history:
        for step in some:
            shop.clock.advance(MINUTE)
            happens(shop, step)
        shop.clock.advance(wait)
        shop.run(*jobs)
        shop.agree(*jobs)
    shop.run()
    shop.agree()


@settings(max_examples=600 if IS_FULL else 40)
@given(ends=ends, history=runs)
def test_the_results_are_those_of_full_runs(
    ends: dict[int, float], history: list[tuple[list[Step], timedelta, list[str]]]
) -> None:
    goes_through(in_memory(ends=ends), history)


@settings(max_examples=60 if IS_FULL else 4, suppress_health_check=[HealthCheck.too_slow])
@given(ends=ends, history=runs)
def test_those_on_a_database_are(
    storage: Storage,
    ends: dict[int, float],
    history: list[tuple[list[Step], timedelta, list[str]]],
) -> None:
    goes_through(on_sqlite(storage, ends), history)


@pytest.mark.parametrize(("job", "kind"), JOBS.items())
def test_where_nothing_has_changed_no_result_is_read_or_written(
    storage: Storage, job: str, kind: ListKind | None
) -> None:
    shop = on_sqlite(storage, {})
    shop.run()
    statements = list[str]()

    def note(*args: Any) -> None:
        statements.append(args[2])

    engine = storage.database.engine
    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        outcome = shop.reco.system.run_job(job)
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)

    assert outcome.left == outcome.scope > 0
    assert not any("lists" in one or "user_interests" in one for one in statements)
    written = {one.split()[2] for one in statements if one.startswith("INSERT")}
    written |= {one.split()[1] for one in statements if one.startswith("UPDATE")}
    assert written <= {f"angle_reco_{name}" for name in ("runs", "fences", "coverage", "keys")}
    reads = [one for one in statements if "FROM bids" in one or "FROM items" in one]
    assert len(reads) <= 3


def left_by(shop: Shop) -> dict[str, tuple[int, int]]:
    """Run all jobs by what changed; return for how many they did nothing, of how many."""
    outcomes = {job: shop.reco.system.run_job(job) for job in JOBS}
    return {job: (one.left, one.scope) for job, one in outcomes.items()}


class TestWhatIsComputed:
    @pytest.mark.parametrize("wait", [timedelta(0), 5 * MINUTE])
    def test_nothing_after_nothing(self, wait: timedelta) -> None:
        shop = quiet()
        shop.run()
        shop.clock.advance(wait)

        assert all(left == scope > 0 for left, scope in left_by(shop).values())
        assert all(left == scope > 0 for left, scope in left_by(shop).values())

    def test_what_stays_as_it_is_is_as_fresh_as_the_run(self) -> None:
        shop = quiet()
        shop.run()
        shop.clock.advance(3 * HOUR)
        left_by(shop)

        [page] = shop.reco.ports.lists.read(ListKind.PERSONAL, ["u1"]).values()
        assert (page.computed_at, page.covered_at) == (START, START + 3 * HOUR)

    def test_interests_of_who_bid_and_pages_where_it_counts(self) -> None:
        shop = quiet()
        shop.run()
        shop.reco.bid_placed("u1", "i04")

        assert left_by(shop) == {
            "refresh_user_interests": (4, 5),
            "generate_popular_items": (0, 4),
            # u2 and u3 like books, which the item is.
            "generate_recommendations": (2, 5),
            "compute_item_similarities": (0, 24),
        }
        assert all(left == scope for left, scope in left_by(shop).values())

    def test_interests_of_others_who_bid_on_an_item_only_if_it_was_edited(self) -> None:
        shop = quiet()
        shop.run()
        # On what u2 and u3 bid on, too.
        shop.reco.bid_placed("u1", "i01")
        after_a_bid = left_by(shop)["refresh_user_interests"]
        shop.reco.items_changed(["i01"])
        after_an_edit = left_by(shop)["refresh_user_interests"]

        assert (after_a_bid, after_an_edit) == ((4, 5), (2, 5))

    @pytest.mark.parametrize("job", JOBS)
    def test_the_progress_of_a_run_that_computes_nothing(self, job: str) -> None:
        shop = quiet()
        shop.run()
        reached = list[tuple[str, int, int]]()

        shop.reco.system.run_job(job, progress=lambda *step: reached.append(step))

        assert reached == [("changes since the last run", 1, 1)]

    def test_what_the_last_ten_minutes_showed_before_is_no_news(self) -> None:
        shop = quiet()
        shop.reco.bid_placed("u1", "i04", at=START - MINUTE)
        shop.reco.signed_in("u2")
        shop.run()
        shop.clock.advance(MINUTE)

        assert all(left == scope for left, scope in left_by(shop).values())

    @pytest.mark.parametrize(
        ("values", "wait", "jobs"),
        [
            ({"ends_at": START + HOUR}, HOUR, {"popular", "homepages", "similar"}),
            ({"starts_at": START + HOUR}, HOUR, {"popular", "homepages", "similar"}),
            ({"ends_at": START + HOUR + 7 * DAY}, HOUR, {"popular", "homepages", "similar"}),
            ({"ends_at": START + HOUR}, HOUR - TICK, set[str]()),
        ],
    )
    def test_time_alone(self, values: dict[str, datetime], wait: timedelta, jobs: set[str]) -> None:
        shop = quiet()
        shop.edit(lot(0, "art", seller_id=None, **values))
        shop.run()
        shop.clock.advance(wait)

        left = shop.run()

        names = ("interests", "popular", "homepages", "similar")
        some = {name for name, job in zip(names, JOBS, strict=True) if left[job] < SCOPES[job]}
        assert some == jobs
        shop.agree()

    @pytest.mark.parametrize("tick", [-1, 0, 1])
    @pytest.mark.parametrize(("days", "last"), [(8, -1), (31, -1), (90, 0), (30, None)])
    def test_an_interest_that_counts_less_from_now_on(
        self, days: int, last: int | None, tick: int
    ) -> None:
        """A step begins at its moment; the window includes its border."""
        at = START - days * DAY + tick * TICK
        shop = quiet(Bid(user_id=UserId("u3"), item_id=ItemId("i02"), placed_at=at))
        shop.clock.set(START - TICK)
        shop.run()
        left = list[int]()
        for _ in range(3):
            shop.clock.advance(TICK)
            left.append(shop.run()["refresh_user_interests"])
            shop.agree()

        changes_at = None if last is None else last + 1 + tick
        assert left == [4 if place == changes_at else 5 for place in range(3)]

    @pytest.mark.parametrize(
        "rules",
        [
            attrs.evolve(RULES, interest=InterestRule(decay=HalfLife(span=DAY))),
            attrs.evolve(RULES, popularity=PopularityRule(half_life=HalfLife(span=DAY))),
        ],
    )
    def test_everything_where_scores_fade_all_the_time(self, rules: Settings) -> None:
        shop = quiet(rules=rules)
        shop.run()
        shop.clock.advance(HOUR)

        assert shop.run()["generate_recommendations"] == 0
        shop.agree()

    def test_everything_if_a_component_of_the_host_may_read_anything(self) -> None:
        town = Component(
            name="town", data="towns", values=lambda market, profiles, users, rows: 0 * rows
        )
        ranker = Ranker.of("local", {INTEREST: 0.5, town: 0.5})
        shop = quiet(rules=Settings(presets=(ranker,), ranker="local", cache_enabled=False))
        shop.run()

        assert shop.run()["generate_recommendations"] == 0

    def test_pages_where_interests_are_not_refreshed(self) -> None:
        shop = quiet()
        shop.reco.system.run_job("generate_recommendations")
        shop.reco.bid_placed("u1", "i04")

        assert shop.reco.system.run_job("generate_recommendations").left == 0

    def test_whom_a_failure_left_out_is_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        shop = quiet()
        recent = Scorer.recent_activity

        def fails(scorer: Scorer, users: IdColumn) -> Interactions:
            if "u2" in users.to_list():
                raise ValueError
            return recent(scorer, users)

        with monkeypatch.context() as patch:
            patch.setattr(Scorer, "recent_activity", fails)
            assert shop.reco.system.run_job("refresh_user_interests").failed == 1

        shop.run()
        shop.agree()


class TestOtherProcesses:
    def test_a_run_that_computed_nothing_is_no_news(self) -> None:
        shop = quiet()
        shop.run()
        feed = shop.reco.ports.changes
        before = feed.now()
        left_by(shop)
        told = [feed.since(before).changes]
        shop.reco.system.run_job("generate_popular_items", full=True)
        told.append(feed.since(before).changes)

        assert [[one.job for one in some] for some in told] == [[], ["generate_popular_items"]]

    def test_one_that_only_removed_results_is(self) -> None:
        shop = quiet(rules=attrs.evolve(RULES, active_for=2 * DAY + 2 * HOUR))
        shop.reco.signed_in("u0")
        shop.run()
        before = shop.reco.ports.changes.now()
        shop.clock.advance(2 * HOUR)

        outcome = shop.reco.system.run_job("generate_recommendations")

        assert (outcome.scope, outcome.left, outcome.removed) == (1, 1, 4)
        assert len(shop.reco.ports.changes.since(before).changes) == 1


class TestWatermarks:
    @pytest.mark.parametrize("text", ["", "{", "[]", '{"at": 1}', '{"rules": 1, "at": 1e400}'])
    def test_one_that_is_lost_means_a_full_run(
        self, text: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        shop = quiet()
        shop.run()
        store = shop.reco.ports.interests
        store.retain(None, started_at=START, watermark=text)

        assert shop.reco.system.run_job("refresh_user_interests").left == 0
        assert "everything is computed: job=refresh_user_interests why=lost" in caplog.text
        assert shop.reco.system.run_job("refresh_user_interests").left == 5

    def test_one_of_the_future_does(self, caplog: pytest.LogCaptureFixture) -> None:
        shop = quiet()
        shop.clock.advance(HOUR)
        shop.run()
        shop.clock.set(START)

        assert set(shop.run().values()) == {0}
        said = "watermark of the future, everything is computed: job=compute_item_similarities"
        assert said in caplog.text
        shop.agree()

    def test_other_settings_do(self) -> None:
        shop = quiet()
        shop.run()
        others = attrs.evolve(
            RULES, active_for=29 * DAY, interest=InterestRule(window=60 * DAY), ranker="classic"
        )
        reco = Recommender(shop.reco.ports, others)

        left = {job: reco.system.run_job(job).left for job in JOBS}
        assert left["refresh_user_interests"] == left["generate_recommendations"] == 0
        counting = PopularityRule(counting=BidCounting.BIDDERS)
        reco = Recommender(shop.reco.ports, attrs.evolve(RULES, popularity=counting))
        assert [reco.system.run_job(job).left for job in JOBS][1:] == [0, 0, 0]

    @pytest.mark.parametrize(("hours", "is_full"), [(23, False), (23.5, True)])
    def test_the_first_run_after_two_in_the_morning_computes_everything(
        self, hours: float, is_full: bool
    ) -> None:
        shop = quiet()
        shop.run()
        shop.clock.advance(HOUR * hours)

        assert (set(shop.run().values()) == {0}) is is_full
        assert set(shop.run().values()) != {0}

    def test_an_erasure_does(self) -> None:
        shop = quiet()
        shop.run()
        shop.clock.advance(MINUTE)
        shop.reco.system.erase_user("u4")

        assert {left for left, _ in left_by(shop).values()} == {0}

    def test_a_gap_in_the_feed_does(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        shop = quiet()
        shop.run()
        shop.reco.items_changed(["i00"])
        shop.reco.ports.changes.prune(older_than=timedelta(0))

        assert {left for left, _ in left_by(shop).values()} == {0}
        assert "everything is computed: job=refresh_user_interests why=gap" in caplog.text

    def test_a_feed_that_does_not_answer_is_a_gap(self, caplog: pytest.LogCaptureFixture) -> None:
        shop = quiet()
        shop.run()
        caplog.set_level("INFO")
        deaf = Failing(
            Failing(shop.reco.ports.changes, "since", repeat(StorageUnavailableError(), 99)),
            *("now", repeat(StorageUnavailableError(), 99)),
        )
        reco = Recommender(attrs.evolve(shop.reco.ports, changes=deaf), RULES)

        assert [reco.system.run_job(job).left for job in JOBS] == [0] * 4
        assert "everything is computed: job=refresh_user_interests why=gap" in caplog.text
        assert [reco.system.run_job(job).left for job in JOBS] == [0] * 4

    def test_an_import_is_one(self, tmp_path: Path) -> None:
        """Its rows may be of any time."""
        shop = Files(tmp_path)
        shop.import_it()
        with shop.ports() as ports:
            reco = Recommender(attrs.evolve(ports, clock=ManualClock(START)), RULES)
            for job in JOBS:
                reco.system.run_job(job)
            before = {job: reco.system.run_job(job).left for job in JOBS}
            shop.rows["bids"].append("bob,lamp,20,2026-03-02T00:00:00Z")
            shop.write()
            shop.import_it()
            after = {job: reco.system.run_job(job).left for job in JOBS}
            shop.import_it()

            # Nothing was new: that is no news.
            again = {job: reco.system.run_job(job).left for job in JOBS}

        assert sum(before.values()) > 0
        assert sum(after.values()) == 0
        assert again == before

    def test_a_run_that_fails_leaves_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Some results may be those of the run that failed."""
        shop = quiet()
        shop.run()
        reco = Recommender(shop.reco.ports, attrs.evolve(RULES, ranker="classic"))
        with monkeypatch.context() as patch:
            patch.setattr(MemoryListStore, "retain", fails)
            with pytest.raises(ValueError, match="retain"):
                reco.system.run_job("generate_recommendations")

        assert shop.run()["generate_recommendations"] == 0
        shop.agree()

    @pytest.mark.parametrize("is_full", [False, True])
    @pytest.mark.parametrize("name", ["refresh_user_interests", "generate_recommendations"])
    def test_a_result_edited_during_a_run_is_computed_by_the_next(
        self, monkeypatch: pytest.MonkeyPatch, name: str, is_full: bool
    ) -> None:
        shop = quiet()
        shop.run()
        is_of_interests = name == "refresh_user_interests"
        store = MemoryInterestStore if is_of_interests else MemoryListStore
        retain, stored = store.retain, shop.reco.system.stored

        def edited_before(*args: Any, **more: Any) -> int:
            if is_of_interests:
                stored.upsert_interest("u1", "dolls", score=0.5)
            else:
                stored.upsert_recommendation("u1", "i02", score=0.5)
            return retain(*args, **more)

        with monkeypatch.context() as patch:
            patch.setattr(store, "retain", edited_before)
            shop.reco.system.run_job(name, full=is_full)

        assert shop.run(name)[name] == 0
        kind = JOBS[name]
        found: list[Any] = [shop.stored(one, kind)["u1"] for one in (shop.reco, shop.full)]
        ours, theirs = (one[0] if is_of_interests else one.ids for one in found)
        assert ours == theirs

    def test_an_edit_that_cannot_be_published_is_stored(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        shop = quiet()
        shop.run()
        mute = Failing(shop.reco.ports.changes, "publish", repeat(StorageUnavailableError(), 99))
        reco = Recommender(attrs.evolve(shop.reco.ports, changes=mute), RULES)

        reco.system.stored.upsert_interest("u1", "dolls", score=0.5)

        assert "edit not published: job=refresh_user_interests" in caplog.text
        assert reco.system.run_job("refresh_user_interests").left == 0

    @pytest.mark.parametrize("job", JOBS)
    def test_a_run_that_fails_before_it_writes_loses_no_watermark(self, job: str) -> None:
        shop = quiet()
        shop.run()

        def fail(*_: object) -> None:
            raise ValueError("progress")

        with pytest.raises(ValueError, match="progress"):
            shop.reco.system.run_job(job, progress=fail)

        assert shop.reco.system.run_job(job).left == SCOPES[job]

    def test_deleting_nothing_is_no_edit(self) -> None:
        shop = quiet()
        shop.run()
        stored = shop.reco.system.stored
        assert stored.delete_interest("u1", "dolls") is False
        assert stored.delete_recommendation("u1", "i03") is False

        assert all(left == scope for left, scope in left_by(shop).values())

    def test_a_run_as_of_a_moment_leaves_none(self) -> None:
        shop = quiet()
        shop.run()
        past = Recommender(shop.reco.ports, RULES, as_of=START - DAY)
        for job in JOBS:
            past.system.run_job(job)

        assert set(shop.run().values()) == {0}
        shop.agree()


SCOPES = {
    "refresh_user_interests": 5,
    "generate_popular_items": 4,
    "generate_recommendations": 5,
    "compute_item_similarities": 24,
}
"""How many owners the jobs of `quiet` have."""


def fails(*_: object, **__: object) -> int:
    raise ValueError("retain")


def quiet(*more: Bid, rules: Settings = RULES) -> Shop:
    """Return a shop where nothing changes by itself: each user likes one category."""
    categories = [CATEGORIES[place % 3] for place in range(24)]
    known = [lot(place, of, seller_id=None) for place, of in enumerate(categories)]
    at = START - timedelta(days=2, hours=1)
    bids = [
        Bid(user_id=UserId(f"u{place}"), item_id=ItemId(f"i{item:02}"), placed_at=at)
        for place, item in enumerate([0, 3, 1, 1, 2])
    ]
    users = [User(user_id=UserId(f"u{place}"), last_sign_in_at=at) for place in range(5)]
    market = MemoryMarketplace(users=users, items=known, bids=[*bids, *more])
    return Shop.of(memory_ports(market), market.add_item, rules)
