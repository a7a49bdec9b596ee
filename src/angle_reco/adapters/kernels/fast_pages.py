"""The loop for homepages by a trained model: compiled, with its arguments, and on threads."""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias, get_args, get_type_hints

import numpy as np
import numpy.typing as npt

from angle_reco.adapters.kernels.blended_arguments import (
    Found,
    Known,
    Matrix,
    People,
    Rule,
    Shown,
    Space,
    Titles,
    Users,
)
from angle_reco.adapters.kernels.blended_pages import Learned, Pages
from angle_reco.adapters.kernels.compiling import column, compiled, on_threads
from angle_reco.domain.arrays import frozen
from angle_reco.domain.columns import NONE
from angle_reco.domain.moments import HOUR, MICROSECOND
from angle_reco.domain.scoring.blended.curves import bell_curve, log_curve
from angle_reco.domain.scoring.blended.hashes import NO_HASH
from angle_reco.domain.scoring.blended.model import Coefficients, Fans, Histories
from angle_reco.domain.scoring.blended.signals import Signals
from angle_reco.domain.scoring.blended.tastes import PER_UNIT, PERSONAL, RECENCY, powers
from angle_reco.domain.scoring.blended.titles import TitleRows
from angle_reco.domain.scoring.decay import decayed

Loop: TypeAlias = Callable[[Shown, Known, Rule, Users, int, int, Space, Found], None]

_USERS_AT_ONCE = 64
_HALVINGS = 21
"""After so many, less than half a millionth is left."""


def rank_on_threads(learned: Learned, keep: int, *, loop: Loop, threads: int) -> Pages:
    """Return the best *keep* rows for each user, as `rank_learned` does, by a compiled loop."""
    shown, known = _shown(learned), _known(learned.signals)
    rule, users = _rule(learned), _users(learned)
    count, found = len(learned.profiles), Found.of(len(learned.profiles), keep)
    most_touched = int(np.diff(users.offsets).max(initial=0))

    def start() -> Callable[[int], None]:
        space = Space.of(shown, known, most_touched, keep)

        def act(first: int) -> None:
            last = min(first + _USERS_AT_ONCE, count)
            loop(shown, known, rule, users, first, last, space, found)

        return act

    on_threads(threads, "angle-reco-pages", range(0, count, _USERS_AT_ONCE), start)
    is_line = np.arange(keep) < found.lengths[:, None]
    return found.rows[is_line], found.parts[is_line], found.lengths


@cache
def compiled_pages() -> Loop | None:
    """Return the compiled loop for homepages, None if it cannot be compiled."""
    return compiled(_compiled)


def _compiled(is_cached: bool) -> Loop:
    import numba

    from angle_reco.adapters.kernels.blended_loops import rank_pages

    loop: Loop = numba.njit(nogil=True, cache=is_cached)(rank_pages)
    # numba compiles at the first call. All others have arguments of the same types.
    shown, known, rule, users = map(_nothing, (Shown, Known, Rule, Users))
    loop(shown, known, rule, users, 0, 0, Space.of(shown, known, 0, 1), Found.of(0, 1))
    return loop


def _nothing(kind: Any) -> Any:
    """Return columns, or a named tuple of such, of a single 0."""
    if kind is int:
        return 0
    if hasattr(kind, "_fields"):
        return kind(*map(_nothing, get_type_hints(kind).values()))
    [dtype] = get_args(get_args(kind)[1])
    return frozen(np.zeros(1, dtype))


def _titles(rows: TitleRows) -> Titles:
    return Titles(
        offsets=column(rows.offsets, np.int64),
        buckets=column(rows.buckets, np.int32),
        weights=column(rows.weights, np.int32),
    )


def _matrix(coefficients: Coefficients) -> Matrix:
    return Matrix(
        offsets=column(coefficients.offsets, np.int64),
        targets=column(coefficients.targets, np.int32),
        values=column(coefficients.values, np.int32),
    )


def _people(fans: Fans, histories: Histories) -> People:
    return People(
        fan_offsets=column(fans.offsets, np.int64),
        fans=column(fans.users, np.int32),
        offsets=column(histories.offsets, np.int64),
        items=column(histories.items, np.int32),
        last_at=column(histories.last_at, np.int32),
    )


def _known(signals: Signals) -> Known:
    model = signals.model
    items, others = model.items, model.neighbours
    return Known(
        kind=column(items.kind, np.int32),
        category=column(items.category, np.int32),
        seller=column(items.seller, np.int64),
        log_price=column(items.log_price, np.int32),
        titles=_titles(items.titles),
        category_shares=column(signals.category_shares, np.int64),
        taste=_matrix(model.taste),
        follow=_matrix(model.follow),
        sequence=_matrix(model.sequence),
        taste_of_kinds=_matrix(model.taste_of_kinds),
        follow_of_kinds=_matrix(model.follow_of_kinds),
        people=_people(others.fans, model.histories),
        people_of_kinds=_people(others.fans_of_kinds, others.histories_of_kinds),
    )


def _shown(learned: Learned) -> Shown:
    market, signals = learned.market, learned.signals
    items, kinds = signals.model.items, np.arange(len(signals.open_kinds))
    own, of_kind = signals.factors
    log_prices, price = signals.distinct_prices
    seller_rows, sellers = signals.rows_by_seller
    return Shown(
        row_of_item=column(signals.row_of_item, np.int32),
        open_kinds=column(np.where(signals.open_kinds, kinds, NONE), np.int32),
        shared=column(learned.shared, np.float32),
        support=column(signals.support, np.int64),
        own=column(own, np.float32),
        of_kind=column(of_kind, np.float32),
        kind=_place_of_none(signals.kind, len(items.kinds)),
        category=_place_of_none(signals.category, len(items.categories)),
        price=column(price, np.int32),
        log_prices=column(log_prices, np.int32),
        seller_rows=column(seller_rows, np.int64),
        sellers=column(sellers, np.int64),
        titles=_titles(signals.titles),
        tie_rank=column(market.tie_rank, np.int64),
        tie_order=column(market.tie_order, np.int64),
        hour=signals.hour,
    )


def _place_of_none(codes: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int32]:
    """Return codes with the place behind all others for none."""
    return column(np.where(codes == NONE, size, codes), np.int32)


def _rule(learned: Learned) -> Rule:
    hours = np.arange(_HALVINGS * (RECENCY.span // MICROSECOND // HOUR) + 1)
    return Rule(
        weights=column(np.array([learned.weights[name] for name in PERSONAL]), np.int64),
        views=log_curve(PER_UNIT),
        bell=bell_curve(),
        recency=column(decayed(RECENCY, hours * HOUR), np.int64),
        steps=column(powers(8) // 1_000 if learned.weights["sequence"] else [], np.int64),
        words=column(powers(7) // 1_000, np.int64),
        sellers=powers(9),
        no_seller=NO_HASH,
    )


def _users(learned: Learned) -> Users:
    profiles, histories = learned.profiles, learned.histories
    bounds = np.searchsorted(profiles.excluded_user, np.arange(len(profiles) + 1))
    return Users(
        offsets=column(histories.offsets, np.int64),
        items=column(histories.items, np.int32),
        last_at=column(histories.last_at, np.int32),
        known_as=column(profiles.known_as, np.int32),
        excluded_offsets=column(bounds, np.int64),
        excluded=column(profiles.excluded_row, np.int32),
    )
