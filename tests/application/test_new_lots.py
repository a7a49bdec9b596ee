"""Lots that were listed after the last training are on pages by a model that lacks them."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import attrs
import pytest

from angle_reco import Recommender, Settings, Shelf
from angle_reco.adapters.kernels import NumpyKernels, fast
from angle_reco.adapters.kernels.blended_loops import rank_pages
from angle_reco.adapters.kernels.fast import FastKernels
from angle_reco.adapters.sql.core.engine import open_engine
from angle_reco.composition import Ports, memory_ports, sql_ports
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKind, UserId
from angle_reco.domain.items import Item
from angle_reco.domain.lists import ListKind
from angle_reco.domain.scoring.blended.hashes import hashes_of
from angle_reco.ports.kernels import Kernels
from angle_reco.testing import ManualClock
from tests.adapters.databases import emptied, fill, put, storage_on
from tests.application.shop import HOUR, NOW, clock_of, lot
from tests.application.test_learning import GENERATE, TRAIN, USERS, look, market

BY_KIND, BY_TITLE, BY_PRICE = "new-kind", "new-title", "new-price"
MINUTE = HOUR / 60
USER = UserId(USERS[2])
"""This user likes lots with even numbers, all of which are art."""


def new_lots() -> list[Item]:
    """Return lots that each have one thing in common with what the user bid on."""
    shop = market()
    of_user = [bid for bids in shop.bids.values() for bid in bids if bid.user_id == USER]
    newest = max(of_user, key=lambda bid: bid.placed_at).item_id
    lots = [
        attrs.evolve(lot(BY_KIND, "art", ends=50), title=""),
        attrs.evolve(lot(BY_TITLE, None, price=None, ends=50), title=shop.items[newest].title),
        attrs.evolve(lot(BY_PRICE, None, ends=50), title=""),
    ]
    return [attrs.evolve(one, listed_at=NOW + 2 * MINUTE) for one in lots]


@attrs.frozen
class Site:
    """A recommender of the market, and what lists a lot on it."""

    reco: Recommender
    add: Callable[[Item], None]


def site_on(
    ports: Ports, add: Callable[[Item], None], kernels: Kernels, settings: Settings
) -> Site:
    ports = attrs.evolve(ports, clock=ManualClock(NOW), kernels=kernels)
    return Site(Recommender(ports, settings), add)


@pytest.fixture
def every_kernels(monkeypatch: pytest.MonkeyPatch) -> tuple[Kernels, ...]:
    """Return numpy's kernels and those of `[fast]`, whose loop is not compiled here."""
    monkeypatch.setattr(fast, "compiled_pages", lambda: rank_pages)
    return NumpyKernels(), FastKernels(threads=1, least_pages=0)


@pytest.fixture(params=["cached", "uncached"])
def sites(
    request: pytest.FixtureRequest, tmp_path: Path, every_kernels: tuple[Kernels, ...]
) -> Iterator[list[Site]]:
    """Return the market in memory and on SQLite, with either kernels."""
    found, engines = [], []
    for place, kernels in enumerate(every_kernels):
        settings = Settings(
            cache_enabled=request.param == "cached",
            deadline=timedelta(seconds=20),
            model_folder=tmp_path / f"models-{place}",
        )
        shop = market()
        found.append(site_on(memory_ports(shop), shop.add_item, kernels, settings))
        engine = open_engine(f"sqlite:///{tmp_path / f'shop-{place}.db'}")
        engines.append(engine)
        storage = storage_on(engine)
        storage.migrate_up()
        fill(
            emptied(storage),
            users=shop.users.values(),
            items=shop.items.values(),
            bids=[one for bids in shop.bids.values() for one in bids],
        )
        ports = sql_ports(engine, settings, check=False)
        found.append(site_on(ports, partial(put, storage), kernels, settings))
    yield found
    for engine in engines:
        engine.dispose()


def listed_after_training(site: Site) -> Shelf:
    """Return a user's page, a few minutes after lots were listed that the model lacks."""
    reco = site.reco
    reco.system.run_job(TRAIN)
    look(reco)
    clock_of(reco).advance(MINUTE)
    for one in new_lots():
        site.add(one)
    clock_of(reco).advance(MINUTE)
    look(reco)
    return reco.as_user(USER).homepage(60)


def test_a_new_lot_counts_by_its_kind_its_title_and_its_price(sites: list[Site]) -> None:
    pages = [listed_after_training(site) for site in sites]

    for page in pages:
        parts = {str(one.item_id): one.contributions for one in page}
        assert page.ranker == "blended"
        assert parts[BY_KIND]["taste"] > 0
        assert parts[BY_KIND]["category"] > 0
        assert (parts[BY_KIND]["title"], parts[BY_TITLE]["title"] > 0) == (0, True)
        assert (parts[BY_TITLE]["price"], parts[BY_PRICE]["price"] > 0) == (0, True)
        for name in ("taste", "follow", "alike", "category", "heat"):
            assert (parts[BY_TITLE][name], parts[BY_PRICE][name]) == (0, 0)
        assert BY_KIND in list(parts)[:20]
    lines = [[(one.item_id, one.parts, one.reason) for one in page] for page in pages]
    assert lines == [lines[0]] * len(lines)


def test_a_stored_page_that_is_computed_after_the_listing_has_the_lot(sites: list[Site]) -> None:
    for site in sites:
        page = listed_after_training(site)
        site.reco.system.run_job(GENERATE)

        [stored] = site.reco.ports.lists.read(ListKind.PERSONAL, [USER]).values()

        assert list(stored.ids) == list(page.ids)
        assert {BY_KIND, BY_TITLE, BY_PRICE} <= set(stored.ids)
        head = site.reco.ports.models.trained().model
        assert head is not None
        [new] = hashes_of(IdColumn.of(IdKind.TEXT, [BY_KIND])).tolist()
        assert new not in site.reco.ports.models.read(head).items.ids.hashes
