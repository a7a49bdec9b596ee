"""Cut dates, and the questions that each of them asks."""

from collections.abc import Callable
from datetime import datetime, timedelta

import attrs
import numpy as np

from angle_reco.domain.arrays import (
    Bools,
    Int32s,
    Int64s,
    check_lengths,
    frozen,
    is_among,
    starts_of_runs,
)
from angle_reco.domain.catalogue import Catalogue
from angle_reco.domain.columns import NONE, IdIndex
from angle_reco.domain.errors import InvalidValueError, NotMeasurableError
from angle_reco.domain.moments import MICROSECOND, check_moment, from_micros, to_micros
from angle_reco.domain.validators import exactly, whole
from angle_reco.evaluation.history import Evidence, History
from angle_reco.evaluation.rankings import Past, Touches, distinct_pairs


def _span(value: object, what: str) -> timedelta:
    span = exactly(value, what, timedelta)
    if not timedelta(hours=1) <= span <= timedelta(days=3_650):
        raise InvalidValueError(what, span, "a span from an hour to ten years")
    return span


@attrs.frozen(kw_only=True)
class CutRule:
    """Where a history is cut, and how far after a cut a touch counts.

    The last cut is a *window* before the last touch, the others *every* so long before it, as
    many as *count* or as the history has; *moments* replace them. At a cut at most
    *most_users* users are asked, drawn by *seed*.
    """

    count: int = 6
    every: timedelta = timedelta(days=15)
    window: timedelta = timedelta(days=30)
    moments: tuple[datetime, ...] = ()
    most_users: int = 10_000
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        whole(self.count, "number of cuts", least=1, most=1_000)
        _span(self.every, "span between cuts")
        _span(self.window, "window after a cut")
        for moment in self.moments:
            check_moment(moment, "cut")
        whole(self.most_users, "number of users at a cut", least=1, most=10_000_000)
        whole(self.seed, "seed", least=0, most=2**32 - 1)


@attrs.frozen(kw_only=True)
class Questions:
    """What users did next: a question per user, with the rows that would have been right.

    The *targets* of question k are [offsets[k], offsets[k + 1]), ascending. *touched* is the
    number of distinct items that the user touched before. Users are codes, ascending.
    """

    users: Int32s = attrs.field(converter=frozen)
    offsets: Int64s = attrs.field(converter=frozen)
    targets: Int32s = attrs.field(converter=frozen)
    touched: Int32s = attrs.field(converter=frozen)

    def __attrs_post_init__(self) -> None:
        check_lengths(self, users=self.users, offsets=self.offsets[1:], touched=self.touched)

    def __len__(self) -> int:
        return len(self.users)

    @property
    def sizes(self) -> Int64s:
        """Return the number of targets of each question."""
        return np.diff(self.offsets)

    @classmethod
    def of_pairs(cls, users: Int32s, rows: Int32s, *, touched: Int32s) -> "Questions":
        """Return the questions of distinct pairs of a user and a row; *touched* is by user code."""
        order = np.lexsort((rows, users))
        users, rows = users[order], rows[order]
        starts = starts_of_runs(users)
        return cls(
            users=users[starts],
            offsets=np.append(starts, len(users)),
            targets=rows,
            touched=touched[users[starts]],
        )

    def where(self, mask: Bools) -> "Questions":
        """Return the questions in *mask*."""
        sizes = self.sizes
        return Questions(
            users=self.users[mask],
            offsets=np.append(0, np.cumsum(sizes[mask])),
            targets=self.targets[np.repeat(mask, sizes)],
            touched=self.touched[mask],
        )


@attrs.frozen(kw_only=True)
class Cut:
    """One moment at which rankings are judged: what is known then, and what it asks.

    *later* are all touches after the moment: what rankings must not see.
    """

    past: Past
    questions: Questions
    later: Touches


def cut_moments(history: History, rule: CutRule) -> tuple[int, ...]:
    """Return the moments of the cuts, in microseconds, the earliest first.

    Raises:
        NotMeasurableError: No touch is before the cuts, or none is after one.
    """
    window = rule.window // MICROSECOND
    if rule.moments:
        moments = sorted({to_micros(one) for one in rule.moments})
        for moment in moments:
            if moment < history.first:
                raise NotMeasurableError(
                    f"no bid and no watch is before the cut {_day(moment)}: the first is at"
                    f" {_day(history.first)}"
                )
            if moment >= history.last:
                raise NotMeasurableError(
                    f"no bid and no watch is after the cut {_day(moment)}: the last is at"
                    f" {_day(history.last)}"
                )
        return tuple(moments)
    latest, step = history.last - window, rule.every // MICROSECOND
    moments = [latest - step * place for place in reversed(range(rule.count))]
    usable = tuple(moment for moment in moments if moment >= history.first)
    if not usable:
        raise NotMeasurableError(
            f"the history from {_day(history.first)} to {_day(history.last)} is too short to split:"
            f" a cut needs bids or watches before it, and {_days(rule.window)} after it"
        )
    return usable


def cuts_of(
    evidence: Evidence,
    history: History,
    rule: CutRule,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> tuple[Cut, ...]:
    """Return the cuts that ask a question.

    Asked are users who touched something before the cut, about the items that they first
    touched within the window after it, of those that were open at the cut and not their own.

    Raises:
        NotMeasurableError: No cut asks a question.
        StorageUnavailableError: The store did not answer.
    """
    moments = cut_moments(history, rule)
    catalogues = []
    for place, moment in enumerate(moments):
        progress("reading the open items", place, len(moments))
        catalogues.append(evidence.scorer(from_micros(moment)).market().catalogue)
    ids = evidence.settings.ids.item
    item_ids = IdIndex.of(ids, history.item_ids.ids, *(one.items.ids for one in catalogues))
    touches = attrs.evolve(
        history.touches, items=item_ids.codes(history.item_ids.ids)[history.touches.items]
    )
    categories = evidence.catalog.categories(item_ids.ids).codes
    cuts, span = [], rule.window // MICROSECOND
    for moment, catalogue in zip(moments, catalogues, strict=True):
        known = int(np.searchsorted(touches.moments, moment, side="right"))
        past = past_of(
            moment,
            catalogue,
            touches.where(slice(0, known)),
            history.user_ids,
            item_ids,
            categories,
        )
        later = touches.where(slice(known, None))
        window = slice(0, int(np.searchsorted(later.moments, moment + span, side="right")))
        questions = questions_of(past, later.where(window))
        questions = drawn(questions, most=rule.most_users, seed=rule.seed)
        if len(questions):
            cuts.append(Cut(past=past, questions=questions, later=later))
    if not cuts:
        raise NotMeasurableError(
            "no user with a bid or watch before a cut touched an item for the first time within"
            f" {_days(rule.window)} after it that was open at the cut"
            f" ({', '.join(map(_day, moments))})"
        )
    return tuple(cuts)


def past_of(
    now: int,
    catalogue: Catalogue,
    touches: Touches,
    user_ids: IdIndex,
    item_ids: IdIndex,
    categories: Int32s,
) -> Past:
    """Return what is known at *now*, from the open items and the touches until then.

    *categories* has the category of each item code.
    """
    open_items = item_ids.codes(catalogue.items.ids)
    row_of = np.full(len(item_ids), NONE, np.int32)
    row_of[open_items] = np.arange(len(open_items), dtype=np.int32)
    rows = row_of[touches.items]
    touched = rows != NONE
    sellers = np.append(user_ids.codes(catalogue.sellers.ids), np.int32(NONE))[catalogue.seller]
    own = np.flatnonzero(sellers != NONE)
    users, left_out = distinct_pairs(
        np.concatenate([touches.users[touched], sellers[own]]),
        np.concatenate([rows[touched], own.astype(np.int32)]),
        len(catalogue),
    )
    return Past(
        now=now,
        user_ids=user_ids,
        item_ids=item_ids,
        touches=touches,
        catalogue=catalogue,
        open_items=open_items,
        category=categories,
        left_out_users=users,
        left_out_rows=left_out,
    )


def questions_of(past: Past, later: Touches) -> Questions:
    """Return the questions that *later* touches ask of rankings of *past*."""
    size = max(len(past.catalogue), 1)
    touched = touched_items(past)
    rows = past.rows_of(later.items)
    counts = (rows != NONE) & (touched[later.users] > 0)
    users, rows = distinct_pairs(later.users[counts], rows[counts], size)
    left_out = past.left_out_users.astype(np.int64) * size + past.left_out_rows
    is_new = ~is_among(users.astype(np.int64) * size + rows, left_out)
    return Questions.of_pairs(users[is_new], rows[is_new], touched=touched)


def touched_items(past: Past) -> Int32s:
    """Return how many distinct items each user touched, by the user's code."""
    users, _ = past.touched_pairs
    return np.bincount(users, minlength=len(past.user_ids)).astype(np.int32)


def drawn(questions: Questions, *, most: int, seed: int) -> Questions:
    """Return at most *most* of the questions, drawn by *seed*."""
    if len(questions) <= most:
        return questions
    mask = np.zeros(len(questions), np.bool_)
    mask[np.random.default_rng(seed).permutation(len(questions))[:most]] = True
    return questions.where(mask)


def _day(moment: int) -> str:
    return f"{from_micros(moment):%Y-%m-%d %H:%M}"


def _days(span: timedelta) -> str:
    days = span / timedelta(days=1)
    return f"{days:g} day{'' if days == 1 else 's'}"
