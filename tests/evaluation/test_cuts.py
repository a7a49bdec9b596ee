"""Cut dates, and the questions they ask."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import assume, given

from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.errors import InvalidValueError, NotMeasurableError
from angle_reco.domain.ids import ItemId
from angle_reco.domain.items import Item
from angle_reco.domain.moments import from_micros
from angle_reco.evaluation.cuts import Cut, CutRule, cut_moments, cuts_of, drawn
from angle_reco.evaluation.history import read_history
from tests.evaluation.markets import (
    DAYS,
    bid,
    day,
    evidence_of,
    items,
    market_of,
    touches,
    watch,
)


def _cuts(
    happened: Sequence[Bid | Watch],
    listed: tuple[Item, ...] = (),
    *,
    rule: CutRule | None = None,
    until: datetime | None = None,
) -> tuple[Cut, ...]:
    evidence = evidence_of(market_of(happened, listed))
    history = read_history(evidence, until=day(DAYS) if until is None else until)
    return cuts_of(evidence, history, CutRule(moments=(day(10),)) if rule is None else rule)


def _asked(cut: Cut) -> dict[object, set[object]]:
    """Return the targets of each user asked, by ids."""
    past, questions = cut.past, cut.questions
    return {
        user: set(past.catalogue.ids_at(questions.targets[first:last]))
        for user, first, last in zip(
            past.user_ids.ids.take(questions.users),
            questions.offsets[:-1],
            questions.offsets[1:],
            strict=True,
        )
    }


@given(touches, items)
def test_a_question_is_what_a_user_with_a_past_first_touched_in_the_window(
    happened: list[Bid | Watch], listed: tuple[Item, ...]
) -> None:
    sellers = {item.item_id: item.seller_id for item in listed}
    counted = [
        (one.user_id, one.item_id, one.placed_at if isinstance(one, Bid) else one.watched_at)
        for one in happened
        if isinstance(one, Watch) or sellers[one.item_id] != one.user_id
    ]
    assume(all(len({one[place] for one in counted}) > 1 for place in range(3)))
    expected: dict[object, set[object]] = {}
    for item in listed:
        is_open = (item.listed_at is None or item.listed_at <= day(10)) and (
            item.ends_at is None or item.ends_at > day(10)
        )
        for user in {user for user, _, moment in counted if moment <= day(10)}:
            moments = [at for who, what, at in counted if (who, what) == (user, item.item_id)]
            # The earliest watch counts alone, so a later one touches nothing.
            in_window = any(day(10) < at <= day(17) for at in moments)
            is_new = all(at > day(10) for at in moments) and item.seller_id != user
            if is_open and in_window and is_new:
                expected.setdefault(user, set()).add(item.item_id)

    rule = CutRule(moments=(day(10),), window=timedelta(days=7))
    try:
        found = [_asked(cut) for cut in _cuts(happened, listed, rule=rule)]
    except NotMeasurableError:
        found = []

    assert found in ([expected], [] if not expected else None)


def test_cuts_are_counted_back_from_the_last_window() -> None:
    evidence = evidence_of(market_of([bid("u0", "a", 10), bid("u1", "b", 100)]))
    history = read_history(evidence, until=day(200))

    moments = [from_micros(one) for one in cut_moments(history, CutRule(count=3))]
    # The earliest ones are before the first touch.
    many = cut_moments(history, CutRule(count=50))

    assert moments == [day(40), day(55), day(70)]
    assert len(many) == 5
    # One that is at the first touch has a past.
    assert min(many) == history.first


def test_what_happens_at_the_moment_of_the_cut_is_known() -> None:
    [cut] = _cuts(
        [bid("u0", "a", 10), bid("u0", "b", 11), bid("u1", "a", 10.001), bid("u1", "b", 12)]
    )

    assert _asked(cut) == {"u0": {"b"}}
    assert cut.past.touches.moments.max() == cut.past.now


def test_how_much_a_user_touched_counts_each_item_once() -> None:
    happened: list[Bid | Watch] = [
        bid("u0", "a", 1),
        bid("u0", "a", 2),
        watch("u0", "b", 3),
        bid("u0", "c", 11),
    ]

    [cut] = _cuts([*happened, bid("u1", "a", 1)])

    assert cut.questions.touched.tolist() == [2]


def test_at_most_so_many_users_are_asked_and_the_same_ones_each_time() -> None:
    happened = [one for n in range(20) for one in (bid(f"u{n}", "a", 1), bid(f"u{n}", "b", 12))]
    rule = CutRule(moments=(day(10),), most_users=5, seed=1)

    [few] = _cuts(happened, rule=rule)
    [again] = _cuts(happened, rule=rule)
    [all_] = _cuts(happened)

    assert len(few.questions) == 5
    assert len(all_.questions) == 20
    assert np.array_equal(few.questions.users, again.questions.users)
    assert np.array_equal(few.questions.users, np.sort(few.questions.users))
    assert set(few.questions.users.tolist()) <= set(all_.questions.users.tolist())
    assert drawn(few.questions, most=5, seed=1) is few.questions


SPLIT = [bid("u0", "a", 0), bid("u1", "b", 0), bid("u0", "b", 35), bid("u1", "a", 35)]


@pytest.mark.parametrize(
    ("happened", "rule", "until", "said"),
    [
        ([], CutRule(), day(0), "no bid and no watch up to 2026-01-01"),
        (SPLIT, CutRule(), day(-1), "only later ones"),
        ([bid("u0", "a", 0), bid("u0", "b", 40)], CutRule(), None, "of one user"),
        ([bid("u0", "a", 0), bid("u1", "a", 40)], CutRule(), None, "of one item"),
        ([bid("u0", "a", 3), bid("u1", "b", 3)], CutRule(), None, "of one moment"),
        ([bid("u0", "a", 0), bid("u1", "b", 5)], CutRule(), None, "too short to split"),
        (SPLIT, CutRule(moments=(day(-1),)), None, "before the cut 2025-12-31"),
        (SPLIT, CutRule(moments=(day(35),)), None, "after the cut 2026-02-05"),
        (
            [bid("u0", "a", 0), bid("u1", "b", 40)],
            CutRule(),
            None,
            "no user with a bid or watch before a cut touched an item for the first time within 30",
        ),
    ],
)
def test_a_sentence_says_why_a_history_cannot_be_measured(
    happened: list[Bid | Watch], rule: CutRule, until: datetime | None, said: str
) -> None:
    with pytest.raises(NotMeasurableError, match=said):
        _cuts(happened, rule=rule, until=until)


def test_a_history_without_open_items_cannot_be_measured() -> None:
    ended = tuple(Item(item_id=ItemId(name), ends_at=day(1)) for name in "ab")

    with pytest.raises(NotMeasurableError, match="open at the cut"):
        _cuts(SPLIT, ended)


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"every": timedelta(0)},
        {"window": timedelta(days=4_000)},
        {"window": 30},
        {"moments": (datetime(2026, 1, 1),)},  # noqa: DTZ001 — what is refused
        {"most_users": 0},
        {"seed": -1},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidValueError):
        CutRule(**wrong)  # type: ignore[arg-type]  # of unknown names
