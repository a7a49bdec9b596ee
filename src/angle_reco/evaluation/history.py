"""The data that an evaluation reads: through the ports, as of a moment."""

import time
from datetime import datetime

import attrs
import numpy as np

from angle_reco.application.scoring import Scorer
from angle_reco.domain.activity import Interactions
from angle_reco.domain.columns import IdIndex
from angle_reco.domain.errors import NotMeasurableError
from angle_reco.evaluation.rankings import Touches
from angle_reco.ports.activity import ActivityQueries
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.kernels import Kernels
from angle_reco.settings import Settings


@attrs.frozen
class _Then:
    """`Clock` that stands still at the moment of a cut."""

    moment: datetime

    monotonic = staticmethod(time.monotonic)

    def now(self) -> datetime:
        """Return the moment of the cut."""
        return self.moment


@attrs.frozen(kw_only=True)
class Evidence:
    """A marketplace to be judged on: its ports, read as of many moments, and its settings.

    The ports have to read one snapshot, or what is bid in between is lost or counted twice.
    """

    activity: ActivityQueries
    catalog: CatalogQueries
    kernels: Kernels
    settings: Settings

    def scorer(self, now: datetime, ranker: str | None = None) -> Scorer:
        """Return a scorer for which nothing later than *now* exists."""
        settings = self.settings
        return Scorer(
            activity=self.activity,
            catalog=self.catalog,
            kernels=self.kernels,
            clock=_Then(now),
            settings=settings if ranker is None else attrs.evolve(settings, ranker=ranker),
            as_of=now,
        )


@attrs.frozen(kw_only=True)
class History:
    """All touches up to the end of the evaluation, with the indexes that their codes refer to."""

    user_ids: IdIndex
    item_ids: IdIndex
    touches: Touches

    @property
    def first(self) -> int:
        """Return the moment of the first touch, in microseconds."""
        return int(self.touches.moments[0])

    @property
    def last(self) -> int:
        """Return the moment of the last touch, in microseconds."""
        return int(self.touches.moments[-1])


def read_history(evidence: Evidence, *, until: datetime) -> History:
    """Return the touches up to *until*: bids, and watches since their beginning.

    Raises:
        NotMeasurableError: There are too few touches, users or items to compare rankings.
        StorageUnavailableError: The store did not answer.
    """
    ids = evidence.settings.ids
    happened = Interactions.joined(ids, evidence.activity.interactions(until=until))
    if len(happened) == 0:
        is_future = any(len(one) for one in evidence.activity.interactions())
        raise NotMeasurableError(
            f"there is no bid and no watch up to {until:%Y-%m-%d %H:%M}"
            + (", only later ones" if is_future else "")
        )
    user_ids = IdIndex.of(ids.user, happened.users)
    item_ids = IdIndex.of(ids.item, happened.items)
    if len(user_ids) < 2:
        raise NotMeasurableError(
            "all bids and watches are of one user, and an interval needs several users"
        )
    if len(item_ids) < 2:
        raise NotMeasurableError(
            "all bids and watches are of one item, so that there is no order to compare"
        )
    users, items = user_ids.codes(happened.users), item_ids.codes(happened.items)
    # A total order: the same history gives the same columns, however it was read.
    order = np.lexsort((happened.kinds, items, users, happened.moments))
    touches = Touches(
        users=users[order],
        items=items[order],
        kinds=happened.kinds[order],
        moments=happened.moments[order],
    )
    if touches.moments[0] == touches.moments[-1]:
        raise NotMeasurableError(
            "all bids and watches are of one moment, so that none is before a cut and none after"
        )
    return History(user_ids=user_ids, item_ids=item_ids, touches=touches)
