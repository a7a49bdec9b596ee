"""Nothing later than a cut reaches a ranking; a planted leak is found."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import attrs
import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from angle_reco.adapters.sql.core.engine import close_engine, open_engine
from angle_reco.application.scoring import Scorer
from angle_reco.composition import memory_ports
from angle_reco.domain.activity import Activity, Bid, Interactions, Watch
from angle_reco.domain.arrays import Int32s
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.ids import CategoryId, Id, IdKinds, ItemId, UserId
from angle_reco.domain.items import Item, ItemCard
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.domain.scoring.decay import HalfLife
from angle_reco.domain.scoring.popularity import PopularityRule
from angle_reco.evaluation.baselines import BASELINES
from angle_reco.evaluation.cuts import Cut, CutRule, cuts_of
from angle_reco.evaluation.evaluate import Plan, evaluate
from angle_reco.evaluation.harness import judge
from angle_reco.evaluation.history import Evidence, read_history
from angle_reco.evaluation.rankings import Past, Point, Ranking
from angle_reco.evaluation.settings_rankings import SettingsRanking
from angle_reco.ports.activity import ActivityQueries
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.settings import Settings
from tests.adapters.databases import fill, storage_on
from tests.evaluation.markets import DAYS, bid, day, evidence_of, items, market_of, watch

CUT = day(10)
RULES = {
    "counts": Settings(),
    "half-life": Settings(popularity=PopularityRule(half_life=HalfLife(span=timedelta(days=7)))),
}

_user = st.integers(0, 5).map(lambda one: f"u{one}")
_item = st.integers(0, 7).map(lambda one: f"i{one}")


def _touches(first: int, last: int, least: int) -> st.SearchStrategy[list[Bid | Watch]]:
    moment = st.integers(24 * first, 24 * last).map(lambda hour: hour / 24)
    one = st.one_of(st.builds(bid, _user, _item, moment), st.builds(watch, _user, _item, moment))
    return st.lists(one, min_size=least, max_size=30)


PAST: list[Bid | Watch] = [
    *(bid(f"u{n}", f"i{n % 3}", 1 + n) for n in range(6)),
    watch("u0", "i4", 3),
]
FUTURE: list[Bid | Watch] = [
    *(bid(f"u{n}", "i5", 10.5 + n) for n in range(6)),
    *(watch(f"u{n}", "i6", 11) for n in range(6)),
    bid("u0", "i7", 12),
]
LISTED = tuple(
    Item(item_id=ItemId(f"i{n}"), category_id=CategoryId("ab"[n % 2]), listed_at=day(n % 4))
    for n in range(8)
)
LATER = Item(item_id=ItemId("new"), category_id=CategoryId("a"), listed_at=day(11))


def _ports_in_memory(
    happened: list[Bid | Watch], listed: tuple[Item, ...]
) -> tuple[ActivityQueries, CatalogQueries]:
    ports = memory_ports(market_of(happened, listed, users=[f"u{n}" for n in range(6)]))
    return ports.activity, ports.catalog


PortsOf = Callable[[list[Bid | Watch], tuple[Item, ...]], tuple[ActivityQueries, CatalogQueries]]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def ports_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PortsOf]:
    """Return how to get ports on rows, in memory and in databases."""
    if request.param == "memory":
        yield _ports_in_memory
        return
    is_postgres, opened = request.param == "postgres", ExitStack()
    url = request.getfixturevalue("postgres_url") if is_postgres else None

    def in_sql(
        happened: list[Bid | Watch], listed: tuple[Item, ...]
    ) -> tuple[ActivityQueries, CatalogQueries]:
        market = market_of(happened, listed, users=[f"u{n}" for n in range(6)])
        name = f"of_{len(happened)}"
        engine = open_engine(url or f"sqlite:///{tmp_path}/{name}.db")
        opened.callback(close_engine, engine)
        schema = name if is_postgres else None
        if schema is not None:
            with engine.begin() as connection:
                connection.execute(sa.schema.CreateSchema(schema))
        storage = storage_on(engine, IdKinds(), schema=schema)
        storage.migrate_up()
        fill(
            storage,
            users=market.users.values(),
            items=market.items.values(),
            bids=[one for bids in market.bids.values() for one in bids],
            watches=market.watches.values(),
        )
        ports = storage.ports()
        return ports.activity, ports.catalog

    with opened:
        yield in_sql


def _seen_by(activity: ActivityQueries, catalog: CatalogQueries, chosen: Settings) -> list[object]:
    """Return all that a scorer computes as of the cut."""
    kernels = memory_ports().kernels
    clock = evidence_of(market_of([])).scorer(CUT).clock
    scorer = Scorer(
        activity=activity,
        catalog=catalog,
        kernels=kernels,
        clock=clock,
        settings=chosen,
        as_of=CUT,
    )
    market = scorer.market()
    users = IdIndex(IdColumn.of(chosen.ids.user, [f"u{n}" for n in range(6)]))
    profiles = scorer.profiles(market, users)
    columns: list[object] = [
        market.catalogue.items.ids.to_list(),
        market.catalogue.prices.tolist(),
        market.catalogue.bids.tolist(),
        market.catalogue.watchers.tolist(),
        market.demand.bids.tolist(),
        market.demand.watchers.tolist(),
        market.popularity.tolist(),
    ]
    everything = scorer.everything()
    model = scorer.trained(everything, scorer.touched_items(everything))
    columns += [model.items.ids.hashes.tolist(), model.touches.hours.tolist()]
    signalled = scorer.with_signals(market, model)
    all_lists = (
        kernels.homepages(signalled, scorer.profiles(signalled, users), ranker=BLENDED, keep=10),
        scorer.homepages(market, profiles, keep=10),
        scorer.popular(market, keep=10),
        scorer.similar_to_rows(
            scorer.similarities(market, scorer.engagement(market)), np.arange(len(market))
        ),
        *(scorer.similar_to_one(market, card) for card in _cards(catalog)),
    )
    columns += [
        [lists.items.to_list(), lists.scores.tolist(), lists.offsets.tolist()]
        for lists in all_lists
    ]
    columns.append(scorer.interests(users.ids).values())
    columns.append([scorer.of_user(UserId(f"u{n}"))[1] for n in range(6)])
    return columns


def _cards(catalog: CatalogQueries) -> list[ItemCard]:
    return list(catalog.cards([ItemId("i0"), ItemId("i5")], at=CUT, until=CUT).values())


def test_a_scorer_as_of_a_cut_sees_no_later_bid_watch_item_or_count(ports_of: PortsOf) -> None:
    without = ports_of(PAST, LISTED)
    with_future = ports_of([*PAST, *FUTURE], (*LISTED, LATER))

    for chosen in RULES.values():
        assert _seen_by(*with_future, chosen) == _seen_by(*without, chosen)


@attrs.frozen(kw_only=True)
class Leaky:
    """A ranking that reads the bids after the cut, too."""

    evidence: Evidence
    name: str = "leaky"
    grid: tuple[Point, ...] = ({},)

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        happened = Interactions.joined(
            self.evidence.settings.ids, self.evidence.activity.interactions()
        )
        codes = past.item_ids.codes(happened.items)
        moments = np.maximum(happened.moments, past.now)
        everything = attrs.evolve(
            past.touches,
            users=past.user_ids.codes(happened.users),
            items=codes,
            kinds=np.full(len(codes), Activity.BID, np.int8),
            moments=moments,
        )
        [popular, *_] = BASELINES
        seeing = attrs.evolve(past, touches=everything)
        return popular.ranked(seeing, users, point=point, keep=keep)


def _rankings(evidence: Evidence) -> list[Ranking]:
    return [*BASELINES, SettingsRanking(evidence=evidence, name="classic")]


def _pages(
    happened: list[Bid | Watch],
    listed: tuple[Item, ...],
    rankings_of: Callable[[Evidence], list[Ranking]],
) -> list[dict[Id, list[Id]]]:
    """Return the pages of each ranking, point by point, by ids of users and items."""
    evidence = evidence_of(market_of(happened, listed))
    history = read_history(evidence, until=day(DAYS))
    # A question for a user after the cut, so that there is a cut.
    [cut] = cuts_of(evidence, history, CutRule(moments=(CUT,)))
    everybody = np.unique(cut.past.touches.users)
    pages: list[dict[Id, list[Id]]] = []
    for ranking in rankings_of(evidence):
        for point in ranking.grid:
            ranked = ranking.ranked(cut.past, everybody, point=point, keep=10)
            users = cut.past.user_ids.ids.take(everybody)
            pages.append(
                {
                    user: cut.past.catalogue.ids_at(line[line >= 0]).to_list()
                    for user, line in zip(users, ranked, strict=True)
                }
            )
    return pages


# One that asks a question, and is the same in both futures.
ASKS: list[Bid | Watch] = [bid("asked", "q0", 0), bid("other", "q1", 0), bid("asked", "q1", 10.5)]


@given(_touches(0, 10, 0), _touches(11, 30, 0), items)
@settings(settings.get_profile("slow"))
def test_no_ranking_depends_on_what_happens_after_the_cut(
    past: list[Bid | Watch], future: list[Bid | Watch], listed: tuple[Item, ...]
) -> None:
    listed = tuple(attrs.evolve(one, ends_at=None, listed_at=None) for one in listed)

    without = _pages([*ASKS, *past], listed, _rankings)
    with_future = _pages([*ASKS, *past, *future], (*listed, LATER), _rankings)

    assert with_future == without


@pytest.mark.parametrize("later", [AuctionStatus.SOLD, AuctionStatus.ENDED])
def test_no_ranking_depends_on_how_an_item_ended_after_the_cut(later: AuctionStatus) -> None:
    then = [attrs.evolve(one, ends_at=day(15)) for one in LISTED]
    now = [attrs.evolve(one, status=later) for one in then]

    pages = [_pages([*ASKS, *PAST], tuple(listed), _rankings) for listed in (then, now)]

    assert any(len(page["asked"]) > 1 for page in pages[0])
    assert pages[1] == pages[0]


def test_a_planted_leak_is_found() -> None:
    def leaky(evidence: Evidence) -> list[Ranking]:
        return [Leaky(evidence=evidence)]

    without = _pages([*ASKS, *PAST], LISTED, leaky)
    with_future = _pages([*ASKS, *PAST, *FUTURE], LISTED, leaky)

    assert with_future != without


def test_an_item_that_only_future_bids_make_popular_is_not_popular() -> None:
    # All users touch i7 after the cut, none before it; thirty others were listed
    # later and come first by id.
    past = [bid(f"u{n}", "i0", 1) for n in range(6)]
    crowd = [bid(f"u{n}", "i7", 12 + n) for n in range(6)]
    listed = tuple(Item(item_id=ItemId(f"a{n}"), listed_at=day(5)) for n in range(30))
    evidence = evidence_of(market_of([*past, *crowd], (*LISTED, *listed)))
    history = read_history(evidence, until=day(DAYS))
    cuts: tuple[Cut, ...] = cuts_of(evidence, history, CutRule(moments=(CUT,)))

    rule = evidence.settings.similarity
    judged = judge(cuts, [*_rankings(evidence), Leaky(evidence=evidence)], rule=rule)
    hits = {one.name: one.answers[0].values["hit"].mean() for one in judged}

    assert hits == {
        "popular": 0,
        "recent popular": 0,
        "popular in categories": 0,
        "ending soonest": 0,
        "classic": 0,
        "leaky": 1,
    }


def test_the_report_is_the_same_however_much_happens_after_the_last_window() -> None:
    happened = [*PAST, *FUTURE]
    plan = Plan(rule=CutRule(moments=(CUT,), window=timedelta(days=5)))
    later = [bid(f"u{n}", f"i{n}", 35) for n in range(6)]

    reports = [
        evaluate(evidence_of(market_of(rows, LISTED)), plan, until=day(DAYS), source="test")
        for rows in (happened, [*happened, *later])
    ]

    assert reports[0].to_json() == reports[1].to_json()
