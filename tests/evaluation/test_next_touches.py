"""Similar items and the page after a bid, judged by the next touch."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings

from angle_reco import Recommender, Settings
from angle_reco.domain.activity import Bid, Watch
from angle_reco.domain.errors import NotMeasurableError
from angle_reco.domain.ids import CategoryId, ItemId
from angle_reco.domain.items import Item
from angle_reco.domain.scoring.similarity import Engagement, SimilarityRule
from angle_reco.evaluation.cuts import Cut, CutRule, cuts_of
from angle_reco.evaluation.evaluate import Plan, evaluate
from angle_reco.evaluation.history import Evidence, read_history
from angle_reco.evaluation.next_touches import (
    AFTER_BID,
    POPULAR,
    SIMILAR,
    Occasions,
    _Lines,
    judge_next,
    occasions_of,
)
from tests.evaluation.markets import DAYS, bid, day, evidence_of, items, market_of, touches, watch

LISTED = tuple(
    Item(item_id=ItemId(f"i{n}"), category_id=CategoryId("ab"[n % 2])) for n in range(12)
)
PAST: list[Bid | Watch] = [
    *(bid(f"u{n}", f"i{k}", 1 + k) for n in range(4) for k in (n, n + 1)),
    *(watch("u9", f"i{k}", 2) for k in (1, 11)),
]


def _cut(happened: Sequence[Bid | Watch]) -> tuple[Evidence, Cut]:
    # Somebody always asks a question, or there is no cut.
    asks = [bid("asked", "q0", 0), bid("other", "q1", 0), bid("asked", "q1", 30)]
    evidence = evidence_of(market_of([*happened, *asks], LISTED))
    history = read_history(evidence, until=day(DAYS))
    [cut] = cuts_of(evidence, history, CutRule(moments=(day(10),)))
    return evidence, cut


def _asked(occasions: Occasions) -> dict[object, tuple[object, set[object]]]:
    """Return the touched item and the next ones of each user, by ids."""
    past, questions = occasions.cut.past, occasions.cut.questions
    return {
        user: (original, set(past.catalogue.ids_at(questions.targets[first:last])))
        for user, original, first, last in zip(
            past.user_ids.ids.take(questions.users),
            past.catalogue.ids_at(occasions.rows),
            questions.offsets[:-1],
            questions.offsets[1:],
            strict=True,
        )
    }


def test_an_occasion_is_the_first_touch_after_the_cut_and_what_comes_next() -> None:
    _, cut = _cut(
        [
            *PAST,
            watch("u0", "i5", 11),
            bid("u0", "i6", 12),
            bid("u0", "i1", 13),  # known since before the cut
            watch("u0", "i7", 17.9),
            watch("u0", "i8", 18.1),  # more than seven days after the first
            bid("new", "i2", 16),  # without a past
            bid("new", "i3", 22),
            bid("u2", "i9", 17.5),  # more than seven days after the cut
            bid("u2", "i8", 18),
        ]
    )

    any_touch = occasions_of(cut, bids_only=False, most=100, seed=0)
    bids = occasions_of(cut, bids_only=True, most=100, seed=0)

    assert _asked(any_touch) == {"u0": ("i5", {"i6", "i7"}), "new": ("i2", {"i3"})}
    assert _asked(bids) == {"u0": ("i6", {"i7", "i8"}), "new": ("i2", {"i3"})}
    assert len(occasions_of(cut, bids_only=False, most=1, seed=0).rows) == 1
    # What was touched is not shown again.
    places, left_out = bids.cut.past.left_out(bids.cut.questions.users)
    pairs = set(zip(places.tolist(), left_out.tolist(), strict=True))
    assert set(enumerate(bids.rows.tolist())) <= pairs


@given(touches, items)
@settings(settings.get_profile("slow"))
def test_occasions_are_those_of_a_plain_loop(
    happened: list[Bid | Watch], listed: tuple[Item, ...]
) -> None:
    evidence = evidence_of(market_of(happened, listed))
    try:
        history = read_history(evidence, until=day(DAYS))
        cuts = cuts_of(evidence, history, CutRule(moments=(day(10),)))
    except NotMeasurableError:
        return
    [cut] = cuts
    catalogue = cut.past.catalogue
    is_open = set(catalogue.items.ids)
    everything = sorted(
        (moment, user, item)
        for moment, user, item in zip(
            [*cut.past.touches.moments.tolist(), *cut.later.moments.tolist()],
            [*cut.past.user_ids.ids.take(np.append(cut.past.touches.users, cut.later.users))],
            [*cut.past.item_ids.ids.take(np.append(cut.past.touches.items, cut.later.items))],
            strict=True,
        )
    )
    sellers = {item.item_id: item.seller_id for item in listed}
    week = timedelta(days=7) // timedelta(microseconds=1)
    expected = {}
    for user in dict.fromkeys(user for _, user, _ in everything):
        own = [(moment, item) for moment, who, item in everything if who == user]
        occasion = next(
            (
                (moment, item)
                for moment, item in own
                if cut.past.now < moment <= cut.past.now + week and item in is_open
            ),
            None,
        )
        if occasion is None:
            continue
        at, original = occasion
        before = {item for moment, item in own if moment <= at}
        after = {item for moment, item in own if at < moment <= at + week}
        following = {one for one in (after - before) & is_open if sellers[ItemId(str(one))] != user}
        if following:
            expected[user] = (original, following)

    found = _asked(occasions_of(cut, bids_only=False, most=100, seed=0))

    assert found == expected


HAPPENED: list[Bid | Watch] = [
    *PAST,
    bid("u0", "i3", 11),
    bid("u0", "i5", 14),
    bid("u1", "i4", 12),
    bid("u1", "i9", 14),
    bid("u9", "i3", 12),
    watch("u9", "i5", 13),
]


@pytest.mark.parametrize("bids_only", [False, True])
def test_lists_are_those_that_the_surfaces_show(bids_only: bool) -> None:
    evidence, cut = _cut(HAPPENED)
    occasions = occasions_of(cut, bids_only=bids_only, most=100, seed=0)
    past, questions = occasions.cut.past, occasions.cut.questions
    then = Recommender.in_memory(market_of([*HAPPENED, *_asking()], LISTED), as_of=day(10))

    _, judged = judge_next(evidence, [cut], bids_only=bids_only, most=100, seed=0)

    shown = set()
    for place, (user, original) in enumerate(
        zip(
            past.user_ids.ids.take(questions.users),
            past.catalogue.ids_at(occasions.rows),
            strict=True,
        )
    ):
        _, left_out = past.left_out(questions.users[place : place + 1])
        hidden = set(past.catalogue.ids_at(left_out))
        shelf = (
            then.system.after_bid(original, 50, of=user, assume_bid=True)
            if bids_only
            else then.system.similar_items(original, 20)
        )
        shown |= set([one.item_id for one in shelf if one.item_id not in hidden][:10])
    [answer] = judged[0].answers
    assert judged[0].name == (AFTER_BID if bids_only else SIMILAR)
    assert set(past.catalogue.ids_at(answer.shown)) == shown
    assert len(shown) > 3


def test_of_popular_items_those_of_the_category_come_first() -> None:
    evidence, cut = _cut(HAPPENED)
    occasions = occasions_of(cut, bids_only=False, most=100, seed=0)
    lines = _Lines.at(evidence, occasions, with_model=False)
    category = occasions.cut.past.catalogue.category

    for place, row in enumerate(occasions.rows):
        is_same = category[list(lines.popular_in_category(place))] == category[row]
        assert set(is_same.tolist()) == {True, False}
        assert is_same.tolist() == sorted(is_same.tolist(), reverse=True)


@pytest.mark.parametrize(("history_length", "similar"), [(2, {"b"}), (3, {"a", "b"})])
def test_of_a_user_the_newest_bids_and_watches_count(
    history_length: int, similar: set[str]
) -> None:
    # Prices alone do not qualify, so a list has the items that share a user.
    listed = [Item(item_id=ItemId(one), starting_price=Decimal(1)) for one in "abcde"]
    happened = [
        *(bid("fan", one, days) for days, one in enumerate("abc", 1)),
        *(bid("new", one, days) for days, one in enumerate("cd", 11)),
    ]
    rule = SimilarityRule(history_length=history_length)
    market = market_of([*happened, *_asking()], listed)
    evidence = evidence_of(market, Settings(similarity=rule))
    history = read_history(evidence, until=day(DAYS))
    [cut] = cuts_of(evidence, history, CutRule(moments=(day(10),)))

    _, judged = judge_next(evidence, [cut], bids_only=False, most=100, seed=0)

    [answer] = judged[0].answers
    assert set(cut.past.catalogue.ids_at(answer.shown[answer.shown >= 0])) == similar


def _asking() -> list[Bid | Watch]:
    return [bid("asked", "q0", 0), bid("other", "q1", 0), bid("asked", "q1", 30)]


def test_the_engagement_is_that_of_the_scorer() -> None:
    evidence, cut = _cut(HAPPENED)
    scorer = evidence.scorer(day(10))
    rows = cut.past.rows_of(cut.past.touches.items)

    own = Engagement(users=cut.past.touches.users, places=rows)
    theirs = scorer.engagement(scorer.market())

    def by_item(one: Engagement) -> list[int]:
        pairs = {*zip(one.users.tolist(), one.places.tolist(), strict=True)}
        return sorted(place for _, place in pairs)

    assert by_item(own) == by_item(theirs)


def test_the_surfaces_are_in_the_report_or_a_remark_says_why_not() -> None:
    plan = Plan(rule=CutRule(moments=(day(10),)))
    with_both, with_none = (
        evaluate(
            evidence_of(market_of([*some, *_asking()], LISTED)),
            plan,
            until=day(DAYS),
            source="test",
        )
        for some in (HAPPENED, PAST)
    )

    assert [one.name for one in with_both.surfaces] == ["homepage", SIMILAR, AFTER_BID]
    assert {one.baseline for one in with_both.surfaces} == {POPULAR}
    assert [one.name for one in with_none.surfaces] == ["homepage"]
    assert [one.partition(":")[0] for one in with_none.remarks][:2] == [SIMILAR, AFTER_BID]
