"""Similar items and the page after a bid, judged by the next touch after a touch."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import attrs
import numpy as np

from angle_reco.application.scoring import Scorer
from angle_reco.domain.activity import Activity, Bid
from angle_reco.domain.arrays import Bools, Int32s, Int64s, frozen
from angle_reco.domain.columns import NONE, IdColumn
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.millionths import Millionths
from angle_reco.domain.moments import MICROSECOND, from_micros
from angle_reco.domain.scoring.after_bid import reordered_by_interest
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.similarity import Engagement
from angle_reco.domain.stored_list import StoredList
from angle_reco.evaluation.cuts import Cut, Questions, drawn, touched_items
from angle_reco.evaluation.harness import Judged, Progress
from angle_reco.evaluation.history import Evidence
from angle_reco.evaluation.metrics import SHOWN, Answered, answered
from angle_reco.evaluation.rankings import Past, distinct_pairs

SPAN = timedelta(days=7)
"""A touch within this span after a cut is an occasion; the next touch within it counts."""

SIMILAR, BY_MODEL, AFTER_BID, IN_CATEGORY, POPULAR = (
    "similar items",
    "similar by the model",
    "after a bid",
    "popular in its category",
    "popular",
)
"""The rankings of these surfaces; the last is the baseline."""

_ROWS_AT_ONCE = 100


@attrs.frozen(kw_only=True)
class Occasions:
    """Touches at which a surface is shown, at most one a user, and what the user touched next.

    *cut* has the questions, and leaves out what each user had touched by then. *rows* has the
    touched item of each question.
    """

    cut: Cut
    rows: Int32s = attrs.field(converter=frozen)


def occasions_of(cut: Cut, *, bids_only: bool, most: int, seed: int) -> Occasions:
    """Return the first touch, or bid, of each user within `SPAN` after a cut, if one follows.

    The touched item and the next ones have to be open at the cut. The next ones are those that
    the user touched for the first time within `SPAN` after the occasion.
    """
    past, later = cut.past, cut.later
    span, size = SPAN // MICROSECOND, max(len(past.catalogue), 1)
    later = later.where(slice(0, int(np.searchsorted(later.moments, past.now + 2 * span, "right"))))
    rows = past.rows_of(later.items)
    may_be = (rows != NONE) & (later.moments <= past.now + span)
    if bids_only:
        may_be &= later.kinds == Activity.BID
    places = np.flatnonzero(may_be)
    users, firsts = np.unique(later.users[places], return_index=True)
    at = np.full(len(past.user_ids), np.iinfo(np.int64).max // 2)
    at[users] = later.moments[places[firsts]]
    original = np.full(len(past.user_ids), NONE, np.int32)
    original[users] = rows[places[firsts]]

    is_open, when = rows != NONE, at[later.users]
    before = is_open & (later.moments <= when)
    left_out_users, left_out_rows = distinct_pairs(
        np.concatenate([past.left_out_users, later.users[before]]),
        np.concatenate([past.left_out_rows, rows[before]]),
        size,
    )
    past = attrs.evolve(past, left_out_users=left_out_users, left_out_rows=left_out_rows)
    after = is_open & (later.moments > when) & (later.moments <= when + span)
    who, what = distinct_pairs(later.users[after], rows[after], size)
    is_new = ~np.isin(
        who.astype(np.int64) * size + what, _keys(left_out_users, left_out_rows, size)
    )
    questions = Questions.of_pairs(who[is_new], what[is_new], touched=touched_items(past))
    questions = drawn(questions, most=most, seed=seed)
    return Occasions(
        cut=attrs.evolve(cut, past=past, questions=questions), rows=original[questions.users]
    )


def judge_next(
    evidence: Evidence,
    cuts: Sequence[Cut],
    *,
    bids_only: bool,
    most: int,
    seed: int,
    with_model: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> tuple[tuple[Cut, ...], tuple[Judged, ...]]:
    """Return what the page of an item, or that after a bid, is worth at its occasions.

    Lists are as of the cut, as jobs compute them; they have fewer lines than a full ranking. Those
    *with_model* are of a model that is trained at the cut, and by the rule for other items.
    """
    names = (AFTER_BID, SIMILAR) if bids_only else (SIMILAR,)
    names = (*names, *([BY_MODEL] if with_model else []), IN_CATEGORY, POPULAR)
    asked: list[Cut] = []
    answers: dict[str, list[Answered]] = {name: [] for name in names}
    for place, cut in enumerate(cuts):
        progress(f"ranking: {names[0]}", place, len(cuts))
        occasions = occasions_of(cut, bids_only=bids_only, most=most, seed=seed)
        if len(occasions.rows) == 0:
            continue
        asked.append(occasions.cut)
        lines = _Lines.at(evidence, occasions, with_model=with_model)
        orders: dict[str, Callable[[int], Iterator[int]]] = {
            AFTER_BID: lines.after_bid,
            SIMILAR: lines.similar,
            BY_MODEL: lines.similar_by_model,
            IN_CATEGORY: lines.popular_in_category,
            POPULAR: lines.popular,
        }
        for name in names:
            ranked = _filled(occasions, orders[name])
            answers[name].append(answered(occasions.cut, ranked, evidence.settings.similarity))
    progress(f"ranking: {names[0]}", len(cuts), len(cuts))
    judged = tuple(
        Judged(name=name, points=({},) * len(asked), answers=tuple(answers[name])) for name in names
    )
    return tuple(asked), judged


@attrs.frozen(kw_only=True)
class _Lines:
    """The lists of one cut, and the orders that surfaces make of them, by place of question."""

    occasions: Occasions
    market: OpenMarket
    evidence: Evidence
    stored: dict[int, StoredList]
    by_model: dict[int, StoredList]
    interests: dict[UserId, dict[CategoryId, Millionths]]
    left_out: tuple[frozenset[int], ...]

    @classmethod
    def at(cls, evidence: Evidence, occasions: Occasions, *, with_model: bool) -> "_Lines":
        past, questions = occasions.cut.past, occasions.cut.questions
        now = from_micros(past.now)
        scorer = evidence.scorer(now)
        market = scorer.market_of(past.catalogue, now)
        stored = _similar_to(evidence, market, past, np.unique(occasions.rows))
        ids = past.user_ids.ids.take(questions.users)
        bids = [
            Bid(user_id=UserId(user), item_id=ItemId(item), placed_at=now)
            for user, item in zip(ids, past.catalogue.ids_at(occasions.rows), strict=True)
        ]
        interests: dict[UserId, dict[CategoryId, Millionths]] = {}
        for one in scorer.interests(ids, assumed=bids).values():
            interests.setdefault(one.user_id, {})[one.category_id] = one.score
        places, left_out = past.left_out(questions.users)
        ends = np.searchsorted(places, np.arange(len(questions) + 1))
        return cls(
            occasions=occasions,
            market=market,
            evidence=evidence,
            stored=stored,
            by_model=_by_model(scorer, market, np.unique(occasions.rows)) if with_model else {},
            interests=interests,
            left_out=tuple(
                frozenset(left_out[ends[place] : ends[place + 1]].tolist())
                for place in range(len(questions))
            ),
        )

    def popular(self, place: int) -> Iterator[int]:
        """Yield the rows that the user may be shown, the most popular first."""
        return self._allowed(place, self.market.popular_order)

    def popular_in_category(self, place: int) -> Iterator[int]:
        """Yield the popular rows of the touched item's category, then the others."""
        category = self.market.catalogue.category
        own = category[self.occasions.rows[place]]
        order = self.market.popular_order
        if own == NONE:
            yield from self._allowed(place, order)
            return
        is_same: Bools = category[order] == own
        yield from self._allowed(place, order[is_same])
        yield from self._allowed(place, order[~is_same])

    def similar(self, place: int) -> Iterator[int]:
        """Yield the similar rows; if there are none, popular ones as on the item's page."""
        rows = self._rows(self._stored(place).ids)
        shown = list(self._allowed(place, rows))
        yield from shown or self.popular_in_category(place)

    def similar_by_model(self, place: int) -> Iterator[int]:
        """Yield the rows that are similar by the model, or by the rule to an unknown item."""
        listed = self.by_model.get(int(self.occasions.rows[place]), self._stored(place))
        shown = list(self._allowed(place, self._rows(listed.ids)))
        yield from shown or self.popular_in_category(place)

    def after_bid(self, place: int) -> Iterator[int]:
        """Yield the similar rows by the user's interests too, then popular ones."""
        listed, catalogue = self._stored(place), self.market.catalogue
        categories = [*catalogue.categories.ids, None]
        allowed = set(self._allowed(place, self._rows(listed.ids)))
        user = self.occasions.cut.past.user_ids.ids[int(self.occasions.cut.questions.users[place])]
        row_of = dict(zip(listed.ids, self._rows(listed.ids).tolist(), strict=True))
        lines = reordered_by_interest(
            [line for line in listed.lines if row_of[line.item_id] in allowed],
            categories={
                item: CategoryId(category)
                if (category := categories[catalogue.category[row]]) is not None
                else None
                for item, row in row_of.items()
            },
            interests=self.interests.get(UserId(user), {}),
            rule=self.evidence.settings.after_bid,
        )
        first = [row_of[line.item_id] for line in lines]
        yield from first
        yield from (row for row in self.popular_in_category(place) if row not in allowed)

    def _stored(self, place: int) -> StoredList:
        return self.stored[int(self.occasions.rows[place])]

    def _rows(self, items: Sequence[ItemId]) -> Int64s:
        index = self.market.catalogue.items
        return index.codes(IdColumn.of(index.ids.kind, items)).astype(np.int64)

    def _allowed(self, place: int, rows: Int64s) -> Iterator[int]:
        left_out = self.left_out[place]
        # In parts, because a page needs the beginning of a long order only.
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[start : start + _ROWS_AT_ONCE].tolist()
            yield from (row for row in some if row not in left_out)


def _similar_to(
    evidence: Evidence, market: OpenMarket, past: Past, rows: Int32s
) -> dict[int, StoredList]:
    """Return the similar items of *rows*, as the job of the evidence's settings stores them."""
    touches, rule = past.touches, evidence.settings.similarity
    places = past.rows_of(touches.items)
    is_open = places != NONE
    engagement = Engagement.of_newest(
        touches.users[is_open],
        places[is_open],
        kinds=touches.kinds[is_open],
        moments=touches.moments[is_open],
        most=rule.history_length,
    )
    similarities = evidence.kernels.similarities(market, engagement, rule=rule, keep=rule.kept)
    lists = similarities.of(rows.astype(np.int64))
    return {row: lists.stored(place) for place, row in enumerate(rows.tolist())}


def _by_model(scorer: Scorer, market: OpenMarket, rows: Int32s) -> dict[int, StoredList]:
    """Return the similar items of those of *rows* that a model trained now knows."""
    happened = scorer.everything()
    model = scorer.trained(happened, scorer.touched_items(happened))
    lists = scorer.similar_by_model(
        scorer.with_signals(market, model), market.catalogue.ids_at(rows)
    )
    if lists is None:
        return {}
    of = market.catalogue.items.codes(lists.owners).tolist()
    return {row: lists.stored(place) for place, row in enumerate(of)}


def _filled(occasions: Occasions, order: Callable[[int], Iterator[int]]) -> Int32s:
    ranked = np.full((len(occasions.rows), SHOWN), NONE, np.int32)
    for place in range(len(occasions.rows)):
        first = [row for row, _ in zip(order(place), range(SHOWN), strict=False)]
        ranked[place, : len(first)] = first
    return ranked


def _keys(users: Int32s, rows: Int32s, size: int) -> Int64s:
    keys: Int64s = users.astype(np.int64) * size + rows
    return keys
