"""Every bound of a validated value: the bound itself is accepted, one step beyond is refused."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from angle_reco import Settings
from angle_reco.domain.changes import MOST_ITEMS, Change, ChangeKind
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.freshness import FreshnessLimits
from angle_reco.domain.ids import LONGEST_TEXT_ID, IdKind, ItemId, UserId
from angle_reco.domain.items import Item
from angle_reco.domain.millionths import ONE
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.runs import Fence, RunRules
from angle_reco.domain.schedules import JobRule, Queue, Schedule
from angle_reco.domain.scoring.after_bid import AfterBidRule
from angle_reco.domain.scoring.components import INTEREST, RECENCY
from angle_reco.domain.scoring.decay import DecaySteps, HalfLife
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.popularity import PopularityRule
from angle_reco.domain.scoring.ranking import Ranker
from angle_reco.domain.scoring.similarity import SimilarityRule
from angle_reco.domain.users import User

TICK, SECOND, DAY = timedelta(microseconds=1), timedelta(seconds=1), timedelta(days=1)
MS_10, NONE, HOUR = timedelta(milliseconds=10), timedelta(0), timedelta(hours=1)
CENT = Decimal("0.0001")
LARGEST = 2**63 - 1


class Bounds(NamedTuple):
    """The least and the most that are accepted (None: unbounded), and the step between values."""

    make: Callable[[Any], object]
    least: Any
    most: Any
    step: Any = 1


def ranker(**values: Any) -> Ranker:
    return Ranker(**{"name": "ours", "weights": ((INTEREST, ONE),), **values})


def rule(**values: Any) -> JobRule:
    return JobRule(
        **{
            "schedule": Schedule(every=366 * DAY),
            "queue": next(iter(Queue)),
            "attempts": 1,
            "window": SECOND,
            **values,
        }
    )


BOUNDS: dict[str, Bounds] = {
    "Settings.active_for": Bounds(lambda at: Settings(active_for=at), TICK, 36_500 * DAY, TICK),
    "Settings.deadline": Bounds(lambda at: Settings(deadline=at), MS_10, HOUR, TICK),
    "Settings.live_for": Bounds(lambda at: Settings(live_for=at), SECOND, HOUR, TICK),
    "Settings.cache_bytes": Bounds(lambda at: Settings(cache_bytes=at), 1_000_000, 2**40),
    "Settings.pace": Bounds(lambda at: Settings(pace=at), 0.01, 1, 1e-9),
    "Settings.workers": Bounds(lambda at: Settings(workers=dict.fromkeys(Queue, at)), 1, 1_000),
    "InterestRule.bid_weight": Bounds(lambda at: InterestRule(bid_weight=at), 0, 1_000 * ONE),
    "InterestRule.watch_weight": Bounds(lambda at: InterestRule(watch_weight=at), 0, 1_000 * ONE),
    "InterestRule.window": Bounds(lambda at: InterestRule(window=at), TICK, 36_500 * DAY, TICK),
    "HalfLife.span": Bounds(lambda at: HalfLife(span=at), HOUR, 3_650 * DAY, TICK),
    "DecaySteps.beyond": Bounds(lambda at: DecaySteps(beyond=at), 0, ONE),
    "DecaySteps.weights": Bounds(lambda at: DecaySteps(upper_days=(7,), weights=(at,)), 0, ONE),
    "DecaySteps.upper_days": Bounds(
        lambda at: DecaySteps(upper_days=(at,), weights=(ONE,)), 0, None
    ),
    "SimilarityRule.category": Bounds(
        lambda at: SimilarityRule(category=at, price=0, shared=0), 0, ONE
    ),
    "SimilarityRule.price": Bounds(
        lambda at: SimilarityRule(category=0, price=at, shared=0), 0, ONE
    ),
    "SimilarityRule.shared": Bounds(
        lambda at: SimilarityRule(category=0, price=0, shared=at), 0, ONE
    ),
    "SimilarityRule, together": Bounds(
        lambda at: SimilarityRule(category=ONE // 2, price=ONE // 4, shared=at), 0, ONE // 4
    ),
    "SimilarityRule.threshold": Bounds(lambda at: SimilarityRule(threshold=at), 0, ONE),
    "SimilarityRule.enough_shared": Bounds(lambda at: SimilarityRule(enough_shared=at), 1, 10_000),
    "SimilarityRule.kept": Bounds(lambda at: SimilarityRule(kept=at), 1, 1_000),
    "SimilarityRule.history_length": Bounds(
        lambda at: SimilarityRule(history_length=at), 1, 1_000_000
    ),
    "PopularityRule.watcher_weight": Bounds(lambda at: PopularityRule(watcher_weight=at), 0, 1_000),
    "PopularityRule.saturation": Bounds(lambda at: PopularityRule(saturation=at), 1, 1_000_000),
    "AfterBidRule.similarity": Bounds(lambda at: AfterBidRule(similarity=at, interest=0), 0, ONE),
    "AfterBidRule.interest": Bounds(lambda at: AfterBidRule(similarity=0, interest=at), 0, ONE),
    "AfterBidRule, together": Bounds(
        lambda at: AfterBidRule(similarity=ONE // 2, interest=at), 0, ONE // 2
    ),
    "Ranker.weights": Bounds(lambda at: ranker(weights=((INTEREST, at),)), 0, ONE),
    "Ranker.weights, together": Bounds(
        lambda at: ranker(weights=((INTEREST, ONE // 2), (RECENCY, at))),
        0,
        ONE // 2,
    ),
    "Ranker.favourites": Bounds(lambda at: ranker(favourites=at), 1, 1_000),
    "Ranker.per_category": Bounds(lambda at: ranker(per_category=at), 1, 1_000),
    "Ranker.kept": Bounds(lambda at: ranker(kept=at), 1, 1_000),
    "Ranker.name": Bounds(lambda at: ranker(name="n" * at), 1, 100),
    "FreshnessLimits.fresh_for": Bounds(
        lambda at: FreshnessLimits(fresh_for=at), NONE, 36_500 * DAY, TICK
    ),
    "FreshnessLimits.stale_for": Bounds(
        lambda at: FreshnessLimits(stale_for=at), NONE, 36_500 * DAY, TICK
    ),
    "FreshnessLimits.on_error_for": Bounds(
        lambda at: FreshnessLimits(on_error_for=at), NONE, 36_500 * DAY, TICK
    ),
    "Schedule.every": Bounds(lambda at: Schedule(every=at), SECOND, 366 * DAY, TICK),
    "Schedule.at": Bounds(lambda at: Schedule(every=DAY, at=at), NONE, DAY - TICK, TICK),
    "JobRule.attempts": Bounds(lambda at: rule(attempts=at), 1, 100),
    "JobRule.window": Bounds(lambda at: rule(window=at), SECOND, 366 * DAY, TICK),
    "JobRule.window, of its schedule": Bounds(
        lambda at: rule(schedule=Schedule(every=HOUR), window=at), SECOND, HOUR, TICK
    ),
    "JobRule.request_window": Bounds(lambda at: rule(request_window=at), SECOND, 366 * DAY, TICK),
    "RunRules.lease": Bounds(
        lambda at: RunRules(lease=at, beat=MS_10), 2 * MS_10, 3_660 * DAY, TICK
    ),
    "RunRules.beat": Bounds(lambda at: RunRules(beat=at, lease=HOUR), MS_10, HOUR / 2, TICK),
    "RunRules.poll": Bounds(lambda at: RunRules(poll=at), MS_10, 3_660 * DAY, TICK),
    "RunRules.retention": Bounds(lambda at: RunRules(retention=at), MS_10, 3_660 * DAY, TICK),
    "RunRules.retry_after": Bounds(
        lambda at: RunRules(retry_after=at, retry_most=HOUR), MS_10, HOUR, TICK
    ),
    "RunRules.retry_most": Bounds(
        lambda at: RunRules(retry_after=MS_10, retry_most=at), MS_10, 3_660 * DAY, TICK
    ),
    "Fence.number": Bounds(lambda at: Fence(job="any", number=at), 0, LARGEST),
    "User.sign_in_count": Bounds(lambda at: User(user_id=UserId(1), sign_in_count=at), 0, LARGEST),
    "Item.starting_price": Bounds(
        lambda at: Item(item_id=ItemId(1), starting_price=at), Decimal(0), None, CENT
    ),
    "PriceScale.to_units": Bounds(
        lambda at: PriceScale().to_units(at, "amount"), Decimal(0), Decimal(10**14), CENT
    ),
    "PriceScale.units": Bounds(lambda at: PriceScale(10**at if at >= 0 else 0), 0, 9),
    "an id that is an integer": Bounds(
        lambda at: IdKind.INT.check(at, "id"), -LARGEST - 1, LARGEST
    ),
    "an id that is a text": Bounds(
        lambda at: IdKind.TEXT.check("a" * at, "id"), 1, LONGEST_TEXT_ID
    ),
    "Change.item_ids": Bounds(
        lambda at: Change(kind=ChangeKind.ITEMS, item_ids=(ItemId(1),) * at), 1, MOST_ITEMS
    ),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_bound_is_accepted_and_one_step_beyond_is_refused(name: str) -> None:
    make, least, most, step = BOUNDS[name]

    make(least)
    with pytest.raises(InvalidValueError):
        make(least - step)
    if most is not None:
        make(most)
        with pytest.raises(InvalidValueError):
            make(most + step)
