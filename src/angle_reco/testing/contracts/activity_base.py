"""What the contract suites of `ActivityQueries` share: its fixtures, and expected rows."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

import pytest

from angle_reco.domain.activity import Activity, Bid, Interactions, Watch
from angle_reco.domain.moments import from_micros
from angle_reco.ports.activity import ActivityQueries
from angle_reco.testing.contracts.samples import (
    DAY,
    ELSEWHERE,
    NOW,
    TICK,
    EveryIdKind,
    Make,
    Sample,
)

After: TypeAlias = Callable[..., ActivityQueries]
"""A factory of the port under test, over these bids and watches and all users and items."""

SPANS = [
    (None, None, [-2, -1, 0, 1, 2]),
    (NOW, None, [0, 1, 2]),
    (None, NOW, [-2, -1, 0]),
    (NOW - TICK, NOW + TICK, [-1, 0, 1]),
    (NOW, NOW, [0]),
    (NOW.astimezone(ELSEWHERE), (NOW + TICK).astimezone(ELSEWHERE), [0, 1]),
    (NOW + TICK, NOW - TICK, []),
    (NOW + DAY, None, []),
]
"""The borders of spans, each with the ticks around NOW that the span includes."""


class ActivityOfSample(EveryIdKind):
    """The fixtures of the suites; a subclass overrides *make*."""

    largest_amount = Decimal("99999999999999.9999")

    @pytest.fixture
    def make(self, sample: Sample) -> Make[ActivityQueries]:
        """Return the factory of the port under test, with ids of `sample.ids`."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def after(self, make: Make[ActivityQueries], sample: Sample) -> After:
        """Return a factory that includes all users and items of the sample."""

        def after(*happened: Bid | Watch) -> ActivityQueries:
            return make(
                users=sample.everyone,
                items=sample.everything,
                bids=[one for one in happened if isinstance(one, Bid)],
                watches=[one for one in happened if isinstance(one, Watch)],
            )

        return after


_Row: TypeAlias = tuple[object, object, Activity, datetime]


def seen(batches: Iterable[Interactions]) -> Counter[_Row]:
    """Return the rows of interactions, and how often each occurs."""
    return Counter(
        (user_id, item_id, Activity(kind), from_micros(moment))
        for batch in batches
        for user_id, item_id, kind, moment in zip(
            batch.users, batch.items, batch.kinds, batch.moments, strict=True
        )
    )


def expected(happened: Iterable[Bid | Watch]) -> Counter[_Row]:
    """Return the rows that `interactions` should yield for these bids and watches."""
    return Counter(
        (
            one.user_id,
            one.item_id,
            Activity.BID if isinstance(one, Bid) else Activity.WATCH,
            moment_of(one),
        )
        for one in happened
    )


def moment_of(one: Bid | Watch) -> datetime:
    """Return when a bid was placed or a watch started."""
    return one.placed_at if isinstance(one, Bid) else one.watched_at
