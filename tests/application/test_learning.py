"""Homepages by a trained model: which ranker answers, and what changes an answer."""

from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import attrs
import numpy as np
import pytest

from angle_reco import Freshness, Recommender, Settings, Shelf
from angle_reco.adapters.memory.catalog import MemoryCatalog
from angle_reco.adapters.memory.models import MemoryModelStore
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.composition import sql_ports
from angle_reco.domain.activity import Bid
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.errors import ModelError, StorageUnavailableError
from angle_reco.domain.ids import IdKind, UserId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.scoring.blended.hashes import hash_of_user, hashes_of
from angle_reco.domain.scoring.blended.model import Model
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.ports.models import ModelHead, TunedWeights
from angle_reco.rules import Ranker
from angle_reco.testing import ManualClock, MemoryMarketplace
from tests.adapters.databases import emptied, fill, storage_on
from tests.application.shop import DAY, HOUR, NOW, clock_of, filled, ids_of, lot, opened
from tests.log_lines import breaks_rule

TRAIN, GENERATE = "train_models", "generate_recommendations"
USERS = [f"user-{n:02}" for n in range(60)]
"""The even ones like what has an even number, the odd ones the others."""


def market(events: int = 1_200) -> MemoryMarketplace:
    """Return 60 lots, and users of two tastes with so many bids."""
    random = Random(7)
    items = [lot(f"lot-{n:02}", ("art", "toys")[n % 2], ends=50) for n in range(60)]
    bids = []
    for place in range(events):
        user, item = random.randrange(60), 2 * random.randrange(28)
        bids.append(
            Bid(
                user_id=UserId(USERS[user]),
                item_id=items[item + user % 2].item_id,
                placed_at=NOW - (place % 1_000 + 1) * HOUR,
                amount=None,
            )
        )
    return filled(items, *bids, users=USERS)


@pytest.fixture(params=["cached", "uncached"])
def reco(request: pytest.FixtureRequest) -> Recommender:
    """Return a recommender without a model."""
    return opened(market(), Settings(cache_enabled=request.param == "cached"))


def learned(reco: Recommender) -> Recommender:
    """Return the recommender with a model, which it has read."""
    reco.system.run_job(TRAIN)
    look(reco)
    return reco


def look(reco: Recommender) -> None:
    """Have the open items read again, with what is stored now."""
    clock_of(reco).advance(HOUR / 30)
    reco.as_user(USERS[0]).homepage()
    reco._use_cases.settle()
    reco.as_user(USERS[0]).homepage()
    reco._use_cases.settle()


def page(reco: Recommender, user: str = USERS[0], limit: int = 20) -> Any:
    return reco.as_user(user).homepage(limit)


class TestWhichRanker:
    def test_classic_without_a_model(self, reco: Recommender) -> None:
        shelf = page(reco)

        assert (shelf.ranker, shelf.degraded_by) == ("classic", ())
        assert shelf.version == reco.settings.recipes().lists[ListKind.PERSONAL].rules

    def test_blended_with_one(self, reco: Recommender) -> None:
        shelf = page(learned(reco))

        model = reco.ports.models.trained().model
        assert model is not None
        assert (shelf.ranker, shelf.degraded_by) == ("blended", ())
        assert shelf.version.endswith(f"-{model.version}")
        assert shelf[0].components == tuple(component.name for component, _ in BLENDED.weights)
        # The even lots, which users of this taste want.
        assert {int(str(one)[-2:]) % 2 for one in ids_of(shelf)[:10]} == {0}

    def test_a_few_events_train_nothing_until_there_are_many(self) -> None:
        """And a model stays until there are clearly fewer."""
        models, found = opened(market(1)).ports.models, []
        for events in (999, 1_000, 800, 799, 999):
            reco = opened(market(events))
            reco = Recommender(attrs.evolve(reco.ports, models=models), reco.settings)
            outcome = reco.system.run_job(TRAIN)
            found.append((outcome.changed, outcome.removed, models.trained().model is not None))

        assert found == [
            (0, 0, False),
            (1, 0, True),
            (1, 0, True),
            (0, 1, False),
            (0, 0, False),
        ]

    def test_classic_and_presets_train_nothing(self) -> None:
        for settings in (Settings(ranker="classic"), Settings(ranker="own", presets=(OWN,))):
            reco = opened(market(), settings)

            assert reco.system.run_job(TRAIN).changed == 0
            assert reco.ports.models.trained().model is None
            assert page(reco).ranker == settings.ranker

    def test_a_model_that_is_not_wanted_any_more_is_removed(self, reco: Recommender) -> None:
        learned(reco)
        classic = Recommender(reco.ports, attrs.evolve(reco.settings, ranker="classic"))

        outcome = classic.system.run_job(TRAIN)

        assert outcome.removed == 1
        assert reco.ports.models.trained().model is None
        look(reco)
        assert page(reco).ranker == "classic"

    def test_blended_is_trained_on_little_and_says_when_it_cannot_be_used(self) -> None:
        reco = opened(market(20), Settings(ranker="blended"))
        before = page(reco)
        after = page(learned(reco))

        assert (before.ranker, before.degraded_by) == ("classic", ("model",))
        assert (after.ranker, after.degraded_by) == ("blended", ())

    def test_a_lot_of_a_minute_ago_is_among_the_first(self, reco: Recommender) -> None:
        """Though the model does not know it: its category and price count."""
        learned(reco)
        assert isinstance(reco.ports.catalog, MemoryCatalog)
        for category in ("art", "toys"):
            new = lot(f"new-{category}", category, ends=50)
            reco.ports.catalog.market.add_item(attrs.evolve(new, listed_at=clock_of(reco).now()))
        clock_of(reco).advance(HOUR / 60)
        look(reco)

        liking_art, liking_toys = (ids_of(page(reco, one)) for one in USERS[2:4])

        assert ("new-art" in liking_art, "new-toys" in liking_art) == (True, False)
        assert ("new-art" in liking_toys, "new-toys" in liking_toys) == (False, True)

    def test_stored_lists_are_those_of_the_ranker(self, reco: Recommender) -> None:
        learned(reco)
        reco.system.run_job(GENERATE)
        computed = page(reco)
        other = Recommender(reco.ports, reco.settings)

        shelf = page(other)

        assert shelf.ranker == "blended"
        assert ids_of(shelf) == ids_of(computed)
        [stored] = reco.ports.lists.read(ListKind.PERSONAL, [USERS[0]]).values()
        assert stored.recipe.name == "blended"
        assert stored.recipe.version == shelf.version

    def test_as_of_a_past_moment_there_is_no_model(self, reco: Recommender) -> None:
        learned(reco)

        past = Recommender(reco.ports, reco.settings, as_of=NOW - DAY)

        assert (page(past).ranker, page(past).degraded_by) == ("classic", ())

    def test_tuned_weights_count_with_auto_alone(self, reco: Recommender) -> None:
        learned(reco)
        reco.ports.models.write_weights(
            TunedWeights(version="1", weights={"title": 1_000_000}, tuned_at=NOW, figures={})
        )
        look(reco)
        fixed = Recommender(reco.ports, attrs.evolve(reco.settings, ranker="blended"))

        # All titles have the word "lot" alone, and their number.
        assert {name for one in page(reco) for name, part in one.contributions.items() if part} <= {
            "title"
        }
        assert any(one.contributions["taste"] for one in page(fixed))

        reco.ports.models.write_weights(None)
        look(reco)
        assert any(one.contributions["taste"] for one in page(reco))


NONSENSE: list[Any] = [
    {"magic": 1_000_000},
    {"taste": -1},
    {"taste": 0},
    {},
    {"taste": 900_000, "heat": 900_000},
    {"taste": "much"},
    {"taste": True},
    {"taste": None, "heat": [1]},
]


class TestUnusable:
    def test_a_model_that_is_too_large_is_not_used(self, reco: Recommender) -> None:
        learned(reco)
        head = reco.ports.models.trained().model
        assert head is not None
        reco.ports.models._stored = (  # type: ignore[attr-defined]  # in memory
            attrs.evolve(head, version="0" * 32, size=10**9),
            reco.ports.models.read(head),
        )
        other = Recommender(reco.ports, reco.settings)

        shelf = page(other, USERS[1])

        assert (shelf.ranker, shelf.degraded_by) == ("classic", ("model",))
        other._use_cases.settle()
        # It would be shown once there is a model again.
        assert dict(other.ports.lists.read(ListKind.PERSONAL, [USERS[1]])) == {}
        with pytest.raises(ModelError, match="model_bytes"):
            other.system.run_job(GENERATE)

    def test_training_reports_its_steps(self) -> None:
        steps = list[tuple[str, int, int]]()

        opened(market()).system.run_job(TRAIN, progress=lambda *step: steps.append(step))

        assert steps == [("activity", 0, 3), ("items", 1, 3), ("model", 2, 3), ("model", 3, 3)]

    def test_training_refuses_one(self) -> None:
        reco = opened(market(), Settings(model_bytes=1_000_000))
        learned(reco)
        first = reco.ports.models.trained().model
        small = Recommender(reco.ports, reco.settings)
        object.__setattr__(small.settings, "model_bytes", 1_000)

        with pytest.raises(ModelError, match="but model_bytes is 1000"):
            small.system.run_job(TRAIN)

        assert reco.ports.models.trained().model == first

    def test_weights_that_are_nonsense_leave_the_shipped_ones(
        self, reco: Recommender, caplog: pytest.LogCaptureFixture
    ) -> None:
        """And one line of the log says so, however often they are looked up."""
        shipped = page(learned(reco))
        models = reco.ports.models
        for version, weights in enumerate(NONSENSE):
            caplog.clear()
            models.write_weights(
                TunedWeights(version=str(version), weights=weights, tuned_at=NOW, figures={})
            )

            for _ in range(3):
                look(reco)

            found = page(reco)
            assert (found.ranker, found.degraded_by) == ("blended", ()), weights
            assert found[0].contributions == shipped[0].contributions
            assert ids_of(found) == ids_of(shipped)
            [line] = [one for one in caplog.records if one.msg.startswith("tuned weights not used")]
            assert breaks_rule(line) is None
        # A new process and the jobs answer, too.
        other = Recommender(reco.ports, reco.settings)
        assert ids_of(page(other)) == ids_of(shipped)
        assert other.system.run_job(GENERATE).failed == 0

    def test_weights_that_are_mended_count_again(self, reco: Recommender) -> None:
        learned(reco)
        models = reco.ports.models
        for weights in ({"magic": 1}, {"title": 1_000_000}):
            tuned = TunedWeights(version="1", weights=weights, tuned_at=NOW, figures={})
            models.write_weights(tuned)
            look(reco)

        assert not any(one.contributions["taste"] for one in page(reco))

    def test_a_store_that_does_not_answer_changes_nothing(self, reco: Recommender) -> None:
        learned(reco)
        before = ids_of(page(reco))

        def down() -> Any:
            raise StorageUnavailableError("down")

        reco.ports.models.trained = down  # type: ignore[method-assign]  # of this store alone
        clock_of(reco).advance(HOUR / 30)
        if reco.settings.cache_enabled:
            assert ids_of(page(reco)) == before


OWN = Ranker.preset("own", popularity=1)


class TestInTheRequest:
    """An event changes the next answer, and the model stays as it is."""

    @pytest.fixture
    def reco(self, request: pytest.FixtureRequest) -> Recommender:
        """Return a recommender whose lists are stored, so that a request would not compute one."""
        reco = learned(opened(market()))
        reco.system.run_job(GENERATE)
        look(reco)
        return reco

    def test_a_bid_on_something_else(self, reco: Recommender) -> None:
        before = page(reco)
        others = [f"lot-{n:02}" for n in range(1, 40, 2)]

        for item in others:
            reco.bid_placed(USERS[0], item, at=clock_of(reco).now())
        after = page(reco)

        assert after.freshness is Freshness.COMPUTED
        assert toys_in(before) < toys_in(after)
        assert not set(others) & set(ids_of(after))

    def test_a_watch_and_its_end(self, reco: Recommender) -> None:
        before = page(reco)
        watched = [f"lot-{n:02}" for n in range(1, 40, 2)]

        for item in watched:
            reco.watched(USERS[0], item, at=clock_of(reco).now())
        during = page(reco)
        for item in watched:
            reco.unwatched(USERS[0], item)
        after = page(reco)

        assert toys_in(before) < toys_in(during)
        assert toys_in(after) == toys_in(before)
        assert [one.score for one in after] == [one.score for one in before]

    def test_of_others_changes_nothing(self, reco: Recommender) -> None:
        before = page(reco)

        reco.bid_placed(USERS[1], "lot-02", at=clock_of(reco).now())

        assert page(reco).suggestions == before.suggestions


class TestInTheRequestByFormula(TestInTheRequest):
    """The same with `classic`: the stored list is one of before the event."""

    @pytest.fixture
    def reco(self, request: pytest.FixtureRequest) -> Recommender:
        """Return a recommender whose lists are stored."""
        reco = opened(market(), Settings(ranker="classic", cache_enabled=False))
        reco.system.run_job(GENERATE)
        return reco


def toys_in(shelf: Shelf) -> int:
    return sum(one.card.category_id == "toys" for one in shelf[:20])


class TestErasure:
    def test_nothing_of_a_user_is_left_in_memory_after_a_minute(self, reco: Recommender) -> None:
        learned(reco)
        [gone] = hash_of_user(UserId(USERS[0])).tolist()
        models = reco._use_cases.shelves.list_reader.models
        assert models.newest is not None
        assert gone in models.newest.users.hashes

        reco.system.erase_user(USERS[0])
        clock_of(reco).advance(HOUR / 60)
        for user in USERS[1:3]:
            reco.as_user(user).homepage()
            reco._use_cases.settle()

        assert models.newest is not None
        assert gone not in models.newest.users.hashes
        assert page(reco, USERS[1]).ranker == "blended"

    def test_a_model_learns_nothing_from_erased_users(self, reco: Recommender) -> None:
        """Even if the host has kept their bids."""
        before = learned(reco).ports.models.trained().model
        reco.system.erase_user(USERS[0])

        reco.system.run_job(TRAIN)

        after = reco.ports.models.trained().model
        assert before is not None
        assert after is not None
        found = reco.ports.models.read(after)
        activity = list(reco._use_cases.shelves.scorer.everything().users)
        assert USERS[0] in activity
        happened = reco._use_cases.shelves.scorer.everything()
        others = happened.where(np.array([one != USERS[0] for one in activity]))
        scorer = reco._use_cases.shelves.scorer
        expected = scorer.trained(others, scorer.touched_items(others))
        assert found.taste.values.tolist() == expected.taste.values.tolist()


class TestRuns:
    def test_a_run_reads_the_model_that_replaced_the_one_it_was_reading(
        self, reco: Recommender, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It stores no list of another ranker in place of those of the model."""
        learned(reco)
        fresh = Recommender(reco.ports, reco.settings)
        read, erased = MemoryModelStore.read, list[str]()

        def interrupted(self: MemoryModelStore, head: ModelHead) -> Model:
            if not erased:
                erased.append(USERS[5])
                reco.system.erase_user(USERS[5])
            return read(self, head)

        monkeypatch.setattr(MemoryModelStore, "read", interrupted)
        fresh.system.run_job(GENERATE)

        lists = reco.ports.lists.read(ListKind.PERSONAL, USERS)
        assert erased
        assert {one.recipe.name for one in lists.values()} == {"blended"}

    def test_only_those_who_were_active_and_old_homepages_are_computed(self) -> None:
        reco = learned(opened(market()))
        first = reco.system.run_job(GENERATE)
        clock_of(reco).advance(HOUR)
        again = reco.system.run_job(GENERATE)
        reco.bid_placed(USERS[3], "lot-59", at=clock_of(reco).now())
        clock_of(reco).advance(HOUR)
        after_a_bid = reco.system.run_job(GENERATE)
        clock_of(reco).advance(DAY)
        a_day_later = reco.system.run_job(GENERATE)

        computed = [one.changed + one.unchanged for one in (first, again, after_a_bid, a_day_later)]
        # Who bid in between has a homepage that is a day old, and not older.
        assert computed == [60, 0, 1, 59]
        assert first.scope == a_day_later.scope == 60

    def test_other_weights_are_a_reason_to_compute_all(self) -> None:
        reco = learned(opened(market()))
        reco.system.run_job(GENERATE)
        reco.ports.models.write_weights(
            TunedWeights(version="1", weights={"heat": 1_000_000}, tuned_at=NOW, figures={})
        )

        outcome = reco.system.run_job(GENERATE)

        assert outcome.changed + outcome.unchanged == 60

    def test_touches_are_counted_again(self) -> None:
        reco = learned(opened(market()))
        before = reco.ports.models.trained().model
        clock_of(reco).advance(HOUR)
        reco.bid_placed(USERS[3], "lot-59", at=clock_of(reco).now())

        reco.system.run_job(GENERATE)

        after = reco.ports.models.trained().model
        assert before is not None
        assert after is not None
        assert (after.version, after.counted_at) == (before.version, clock_of(reco).now())
        counted = reco.ports.models.read(after).touches
        [last] = hashes_of(IdColumn.of(IdKind.TEXT, ["lot-59"])).tolist()
        assert last in counted.ids.hashes

    def test_pages_of_a_run_are_those_computed_for_a_call(self) -> None:
        """To the bit, in every adapter and for a batch as for one user."""
        reco = learned(opened(market(), Settings(cache_enabled=False)))
        reco.system.run_job(GENERATE)
        stored = reco.ports.lists.read(ListKind.PERSONAL, USERS)
        model = reco.ports.models.trained().model
        assert model is not None

        scorer = reco._use_cases.shelves.scorer
        market_now = scorer.market(reco.ports.models.read(model))
        for user in USERS[:10]:
            users = IdIndex(IdColumn.of(IdKind.TEXT, [user]))
            made = scorer.homepages(market_now, scorer.profiles(market_now, users), keep=60)
            assert made.stored(0).lines == stored[user].lines


def test_every_adapter_gives_the_same_page(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    storage = storage_on(engine)
    storage.migrate_up()
    shop = market()
    fill(
        emptied(storage),
        users=shop.users.values(),
        items=shop.items.values(),
        bids=[one for bids in shop.bids.values() for one in bids],
    )
    chosen = Settings(
        cache_enabled=False, deadline=timedelta(seconds=20), model_folder=tmp_path / "models"
    )
    ports = sql_ports(engine, chosen, check=False)
    on_sqlite = Recommender(attrs.evolve(ports, clock=ManualClock(NOW)), chosen)
    in_memory = opened(market(), chosen)
    pages = []
    for reco in (on_sqlite, in_memory):
        reco.system.run_job(TRAIN)
        look(reco)
        pages.append([(one.item_id, one.parts, one.reason) for one in page(reco, limit=60)])

    assert page(on_sqlite).ranker == "blended"
    assert len(list((tmp_path / "models").rglob("*.model"))) == 1
    assert pages[0] == pages[1]
    engine.dispose()
