"""The second protocol: the last items of each user are held back, and not seen."""

from typing import Any

import pytest
from hypothesis import example, given

from angle_reco.adapters.memory.marketplace import MemoryMarketplace
from angle_reco.composition import memory_ports
from angle_reco.domain.activity import Bid, Interactions, Watch
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import NotMeasurableError
from angle_reco.domain.ids import IdKinds, ItemId, UserId
from angle_reco.domain.items import Item
from angle_reco.evaluation.cuts import CutRule
from angle_reco.evaluation.evaluate import Plan, evaluate
from angle_reco.evaluation.history import read_history
from angle_reco.evaluation.order import split_by_order
from angle_reco.evaluation.touched_activity import TouchedActivity
from angle_reco.ports.activity import ActivityQueries
from tests.evaluation.markets import DAYS, bid, day, evidence_of, market_of, touches, watch

IDS = IdKinds()

MARKET: list[Bid | Watch] = [
    *(bid("u0", f"i{n}", n) for n in range(10)),
    bid("u0", "i9", 11),  # again: it is held back as a whole
    *(bid("u1", f"i{n}", n) for n in range(4)),  # too few
    *(watch("u2", f"i{9 - n}", n) for n in range(5)),
]


def test_the_last_fifth_of_the_items_of_a_user_is_asked_for() -> None:
    evidence = evidence_of(market_of(MARKET))

    _, cut = split_by_order(evidence, read_history(evidence, until=day(DAYS)), most=100, seed=0)

    users = cut.past.user_ids.ids.take(cut.questions.users).to_list()
    targets = [
        set(cut.past.catalogue.ids_at(cut.questions.targets[first:last]))
        for first, last in zip(cut.questions.offsets[:-1], cut.questions.offsets[1:], strict=True)
    ]
    assert dict(zip(users, targets, strict=True)) == {"u0": {"i8", "i9"}, "u2": {"i5"}}


def test_what_is_held_back_is_counted_nowhere() -> None:
    evidence = evidence_of(market_of(MARKET))
    reduced, cut = split_by_order(
        evidence, read_history(evidence, until=day(DAYS)), most=100, seed=0
    )

    known = Interactions.joined(IDS, reduced.activity.interactions())

    # i8 and i9 have the watches of u2 left, i5 the bid of u0.
    named = dict(zip(cut.past.catalogue.items.ids, cut.past.catalogue.bids.tolist(), strict=True))
    watched = cut.past.catalogue.watchers.tolist()
    assert named == {f"i{n}": (2 if n < 4 else 1 if n < 8 else 0) for n in range(10)}
    assert watched == [0] * 6 + [1] * 4
    assert len(known) == len(MARKET) - 4 == len(cut.past.touches)


def test_it_is_a_further_surface_or_a_remark() -> None:
    plan = Plan(rule=CutRule(moments=(day(5),)), order=True)
    ended = [Item(item_id=ItemId(f"i{n}"), ends_at=day(DAYS + 0.5)) for n in range(10)]
    later = bid("u3", "other", DAYS)

    def report(items: list[Item], *more: Bid) -> tuple[list[str], tuple[str, ...]]:
        evidence = evidence_of(market_of([*MARKET, *more], items))
        found = evaluate(evidence, plan, until=day(DAYS), source="test")
        return [one.name for one in found.surfaces], found.remarks

    surfaces, _ = report(ended)
    assert "order" in surfaces
    surfaces, remarks = report(
        [Item(item_id=one.item_id, ends_at=day(DAYS - 1)) for one in ended], later
    )
    assert "order" not in surfaces
    assert any("cannot be asked for" in one for one in remarks)


def test_too_few_items_cannot_be_measured() -> None:
    evidence = evidence_of(market_of([*MARKET[11:15], bid("u2", "i9", 12)]))
    history = read_history(evidence, until=day(DAYS))

    with pytest.raises(NotMeasurableError, match="at least 5 items"):
        split_by_order(evidence, history, most=100, seed=0)


@given(touches)
@example([bid("u0", "i0", 5), bid("u1", "i1", 20)])
def test_activity_in_columns_is_that_of_a_marketplace_in_memory(
    happened: list[Bid | Watch],
) -> None:
    market: MemoryMarketplace = market_of(happened)
    memory = memory_ports(market).activity
    columns = TouchedActivity(Interactions.joined(IDS, memory.interactions()))
    users = [UserId(f"u{n}") for n in range(3)]
    items = [ItemId(f"i{n}") for n in range(3)]

    def rows(activity: ActivityQueries, **span: Any) -> list[tuple[object, ...]]:
        found = Interactions.joined(IDS, activity.interactions(**span))
        return sorted(
            zip(
                found.users, found.items, found.kinds.tolist(), found.moments.tolist(), strict=True
            ),
            key=repr,
        )

    spans: list[dict[str, Any]] = [
        {},
        {"since": day(5), "until": day(20)},
        {"users": IdColumn.of(IDS.user, users)},
        {"items": IdColumn.of(IDS.item, items), "until": day(20)},
    ]
    for span in spans:
        assert rows(columns, **span) == rows(memory, **span)
    for user in users:
        assert columns.touched_by(user, until=day(9)) == memory.touched_by(user, until=day(9))
        assert columns.user_bids(user, since=day(3)) == memory.user_bids(user, since=day(3))
        assert columns.user_watchlist(user) == memory.user_watchlist(user)
    assert columns.engaged_users(items, until=day(20)) == memory.engaged_users(items, until=day(20))
    assert columns.totals(until=day(20)) == memory.totals(until=day(20))
