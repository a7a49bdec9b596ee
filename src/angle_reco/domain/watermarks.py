"""What a complete run leaves for the next one, and what that one must compute again.

A result depends on rows of the marketplace and on the time. The next run looks at what the change
feed and the moments of rows show since the *watermark* of the last one; whatever depends on
nothing among it is the same as before, to the bit. Where this cannot be known, everything is
computed. Rows that no change names, and whose moments are older, are found by the first run after
two o'clock (UTC) of each day, which always computes everything.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Self

import attrs
import numpy as np

from angle_reco.domain.activity import Interactions
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.job_names import JOB_OF, OF_INTERESTS
from angle_reco.domain.lists import ListKind
from angle_reco.domain.moments import DAY, HOUR, MICROSECOND, from_micros, to_micros
from angle_reco.domain.scoring.blended.hashes import hashes_of
from angle_reco.domain.scoring.decay import DecaySteps
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.market import ENDING_SOON

LATE_COMMITS = timedelta(minutes=10)
"""A transaction may commit so much later than the moments of its rows."""

_RULES = 1
"""To be raised where a rule changes, and results of the same settings with it."""

_FULL_FROM = 2 * HOUR
"""The time of day (UTC) from which the first run computes everything."""


class WhyFull(StrEnum):
    """WhyFull a run computes everything."""

    ASKED = "asked"  # by the caller
    FIRST = "first"  # there was no complete run
    LOST = "lost"  # the last run left no watermark, or a result was edited since
    FUTURE = "future"  # the watermark is later than now
    DAILY = "daily"  # no run has computed everything since two o'clock
    SETTINGS = "settings"  # the last run had other settings
    GAP = "gap"  # the feed cannot show what happened


@attrs.frozen(kw_only=True)
class Watermark:
    """What is known of a complete run: it saw everything that was committed before *at*.

    *started_at* is the moment of its results, and *full_at* that of the last run that computed
    everything. *settings* is a text that differs if results of equal data could. *cursor* is the
    position in the change feed; *activity* and *sign_ins* are digests of what was visible at *at*
    of the last ten minutes. *scope* is the number of owners. *categories* has the fingerprint
    of each category of open items, by the text of its id, as JSON.
    """

    at: datetime
    started_at: datetime
    full_at: datetime
    settings: str
    cursor: str
    activity: str
    sign_ins: str
    scope: int
    categories: Mapping[str, str] = attrs.field(factory=dict)

    def to_text(self) -> str:
        """Return the watermark as text."""
        values = attrs.asdict(self, recurse=False)
        values |= {"rules": _RULES, "categories": dict(self.categories)}
        for name in _MOMENTS:
            values[name] = to_micros(values[name])
        return json.dumps(values, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> Self | None:
        """Return the watermark that a text holds, None if it holds none, or one of other rules."""
        try:
            values = json.loads(text)
            if values.pop("rules") != _RULES:
                return None
            for name in _MOMENTS:
                values[name] = from_micros(values[name])
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError):
            return None


_MOMENTS = ("at", "started_at", "full_at")


def usable(text: str | None, *, now: datetime, settings: str) -> Watermark | WhyFull:
    """Return the watermark that a run can begin from, or why it computes everything.

    *text* is what the last complete run left, None if there was none.
    """
    if text is None:
        return WhyFull.FIRST
    found = Watermark.from_text(text)
    if found is None:
        return WhyFull.LOST
    if found.at > now:
        return WhyFull.FUTURE
    if found.settings != settings:
        return WhyFull.SETTINGS
    if _day_of(found.full_at) != _day_of(now):
        return WhyFull.DAILY
    return found


@attrs.frozen(kw_only=True)
class Inputs:
    """What the results of a job depend on: users, open items, or both.

    Results are of a *kind*, None for interests, and *settings* is a text that differs if those of
    equal data could. Without *is_known* they depend on more, such as data of the host.
    """

    kind: ListKind | None = None
    settings: str
    of_users: bool = False
    of_market: bool = False
    is_known: bool = True

    @property
    def job(self) -> str:
        """Return the job that makes them."""
        return OF_INTERESTS if self.kind is None else JOB_OF[self.kind]


@attrs.frozen(kw_only=True)
class News:
    """What may have changed from the run *before* until *at*; without that run, anything.

    *users* are those whose own data may have changed, some repeatedly. With *has_left* users are
    no longer active. *market_changed* says whether open items, their counts or their prices may
    differ. The rest is for the next run.
    """

    kind: ListKind | None
    at: datetime
    before: Watermark | None = None
    users: IdColumn
    has_left: bool = False
    market_changed: bool = True
    settings: str = ""
    cursor: str = ""
    activity: str = ""
    sign_ins: str = ""

    @property
    def unchanged_since(self) -> Watermark | None:
        """Return the last run, if nothing has changed since."""
        is_changed = len(self.users) > 0 or self.has_left or self.market_changed
        return None if is_changed else self.before

    def watermark(self, started_at: datetime, *, scope: int, categories: Mapping[str, str]) -> str:
        """Return the text of the watermark that the run leaves; it is empty if there is none."""
        if not self.cursor:
            return ""
        return Watermark(
            at=self.at,
            started_at=started_at,
            full_at=self.at if self.before is None else self.before.full_at,
            settings=self.settings,
            cursor=self.cursor,
            activity=self.activity,
            sign_ins=self.sign_ins,
            scope=scope,
            categories=categories,
        ).to_text()


def _day_of(moment: datetime) -> int:
    return (to_micros(moment) - _FULL_FROM) // DAY


def spans_of_steps(
    since: datetime, now: datetime, rule: InterestRule
) -> Sequence[tuple[datetime, datetime]]:
    """Return the spans of the moments of interactions whose weight the time alone has changed.

    Both borders are included. An interaction loses weight when it is a day older than the last
    day of a step, and counts no more when it is older than the window.

    >>> from datetime import UTC
    >>> noon, one = datetime(2026, 6, 1, 12, tzinfo=UTC), datetime(2026, 6, 1, 13, tzinfo=UTC)
    >>> spans = spans_of_steps(noon, one, InterestRule())
    >>> [f"{first:%d.%m. %H}-{last:%H}" for first, last in spans]
    ['03.03. 12-12', '24.05. 12-13', '01.05. 12-13']
    """
    # At the border itself an interaction still counts, but is in the next step of its decay.
    spans = [(since - rule.window, now - rule.window - MICROSECOND)]
    if isinstance(rule.decay, DecaySteps):
        ages = [timedelta(days=day + 1) for day in rule.decay.upper_days if day < rule.window.days]
        spans += [(since - age + MICROSECOND, now - age) for age in ages]
    return spans


def spans_of_turns(since: datetime, now: datetime) -> Sequence[tuple[datetime, datetime]]:
    """Return the spans in which an item that is listed, starts or ends there has changed by now.

    It is open or not, active or not, or ends soon or not. A span begins after its first moment.
    """
    return [(since, now), (since + ENDING_SOON, now + ENDING_SOON)]


def digest_of_activity(happened: Interactions, since: datetime) -> str:
    """Return a digest of the interactions at a moment or later, in whatever order they are."""
    recent = happened.where(happened.moments >= to_micros(since))
    rows = np.stack(
        [
            hashes_of(recent.users),
            hashes_of(recent.items),
            recent.kinds.astype(np.int64),
            recent.moments,
        ]
    )
    return _digest(rows[:, np.lexsort(rows)])


def digest_of_users(users: IdColumn) -> str:
    """Return a digest of users, in whatever order they are."""
    return _digest(np.sort(hashes_of(users)))


def _digest(numbers: np.ndarray) -> str:
    return blake2b(np.ascontiguousarray(numbers).tobytes(), digest_size=16).hexdigest()
