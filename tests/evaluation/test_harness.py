"""The harness: what a ranking may return, and how its numbers are chosen."""

from collections.abc import Callable
from datetime import timedelta

import attrs
import numpy as np
import pytest

from angle_reco import Recommender
from angle_reco.domain.arrays import Int32s
from angle_reco.domain.errors import InvalidValueError
from angle_reco.evaluation.baselines import Popular, RecentPopular
from angle_reco.evaluation.cuts import Cut, CutRule, cuts_of
from angle_reco.evaluation.evaluate import Plan, evaluate
from angle_reco.evaluation.harness import judge
from angle_reco.evaluation.history import read_history
from angle_reco.evaluation.peers import peers
from angle_reco.evaluation.rankings import Past, Point
from angle_reco.evaluation.settings_rankings import SettingsRanking
from angle_reco.settings import Settings
from tests.evaluation.markets import DAYS, bid, day, evidence_of, market_of

MOMENTS = (day(10), day(20), day(30))


def _cuts() -> tuple[Cut, ...]:
    """Return three cuts at which u0 and u1 are asked for "right", then twice for "wrong"."""
    happened = [
        *(bid(user, "old", 0) for user in ("u0", "u1", "u2")),
        *(bid(user, "right", 12) for user in ("u0", "u1")),
        *(bid(user, "wrong", 22) for user in ("u0", "u1")),
        *(bid(user, "last", 32) for user in ("u0", "u1")),
    ]
    evidence = evidence_of(market_of(happened))
    history = read_history(evidence, until=day(DAYS))
    return cuts_of(evidence, history, CutRule(moments=MOMENTS, window=day(8) - day(0)))


@attrs.define(kw_only=True)
class Scripted:
    """Ranks the item that a point names; the points are numbers of items in order of ids."""

    name: str = "scripted"
    grid: tuple[Point, ...] = tuple({"item": float(item)} for item in range(4))
    calls: list[tuple[int, float]] = attrs.field(factory=list)

    def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
        self.calls.append((past.now, point["item"]))
        ranked = np.full((len(users), keep), -1, np.int32)
        row = int(past.rows_of(np.array([int(point["item"])], np.int32))[0])
        places, rows = past.left_out(users)
        allowed = np.setdiff1d(np.arange(len(users)), places[rows == row])
        ranked[allowed, 0] = row
        return ranked


LAST, OLD, RIGHT, WRONG = range(4)  # the codes of the items, in the order of ids


def test_the_point_of_a_cut_is_the_best_on_earlier_cuts() -> None:
    cuts, scripted = _cuts(), Scripted()

    [judged] = judge(cuts, [scripted], rule=Settings().similarity)

    # The first cut uses the first point, though another would have been right; the second
    # uses what was right at the first cut, where it is wrong; at the third two are as good.
    assert [point["item"] for point in judged.points] == [LAST, RIGHT, RIGHT]
    ndcg = [answer.values["ndcg"].mean() for answer in judged.answers]
    assert ndcg == [0, 0, 0]


def test_no_point_is_ranked_twice_and_no_other_at_the_last_cut() -> None:
    cuts, scripted = _cuts(), Scripted()

    judge(cuts, [scripted], rule=Settings().similarity)

    assert len(set(scripted.calls)) == len(scripted.calls) == 4 + 4 + 1


def test_a_better_point_would_have_been_seen() -> None:
    [judged] = judge(_cuts(), [Scripted(grid=({"item": WRONG},))], rule=Settings().similarity)

    assert [answer.values["ndcg"].mean() for answer in judged.answers] == [0, 1, 0]


def _twice(past: Past, users: Int32s, keep: int) -> Int32s:
    return np.full((len(users), keep), int(past.rows_of(np.array([WRONG], np.int32))[0]), np.int32)


def _left_out(past: Past, users: Int32s, keep: int) -> Int32s:
    ranked = np.full((len(users), keep), -1, np.int32)
    ranked[:, 0] = past.rows_of(np.array([OLD], np.int32))[0]
    return ranked


def _gap(past: Past, users: Int32s, keep: int) -> Int32s:
    ranked = np.full((len(users), keep), -1, np.int32)
    ranked[:, 1] = past.rows_of(np.array([WRONG], np.int32))[0]
    return ranked


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (_twice, "twice"),
        (_left_out, "left out"),
        (_gap, "gap"),
        (lambda past, users, keep: np.zeros((len(users), keep + 1), np.int32), "ranked"),
        (lambda past, users, keep: np.full((len(users), keep), 99, np.int32), "does not exist"),
        (lambda past, users, keep: np.full((len(users), keep), -2, np.int32), "does not exist"),
    ],
)
def test_a_ranking_that_breaks_a_promise_is_refused(
    wrong: Callable[[Past, Int32s, int], Int32s], said: str
) -> None:
    @attrs.frozen(kw_only=True)
    class Wrong:
        name: str = "odd one"
        grid: tuple[Point, ...] = ({},)

        def ranked(self, past: Past, users: Int32s, *, point: Point, keep: int) -> Int32s:
            return wrong(past, users, keep)

    with pytest.raises(ValueError, match=f"odd one.*{said}"):
        judge(_cuts(), [Wrong()], rule=Settings().similarity)


def test_rankings_are_compared_with_a_baseline_that_is_one_of_them() -> None:
    evidence = evidence_of(market_of([bid("u0", "a", 0), bid("u1", "b", 1), bid("u0", "b", 12)]))
    rule = CutRule(moments=(day(10),))

    def report(plan: Plan) -> object:
        return evaluate(evidence, plan, until=day(DAYS), source="test").to_json()

    with pytest.raises(InvalidValueError, match=r"ranker is 'nope'.*one of blended, classic"):
        report(Plan(rule=rule, rankers=("nope",)))
    with pytest.raises(InvalidValueError, match=r"baseline is 'nope'.*one of blended, classic"):
        report(Plan(rule=rule, baseline="nope"))
    with pytest.raises(InvalidValueError, match="names of rankings"):
        report(Plan(rule=rule, peers=peers()[:1] * 2))
    assert report(Plan(rule=rule, rankers=("classic", "classic"))) == report(Plan(rule=rule))


def test_a_named_cut_without_a_question_is_in_a_remark() -> None:
    evidence = evidence_of(market_of([bid("u0", "a", 0), bid("u1", "b", 1), bid("u0", "b", 12)]))
    rule = CutRule(moments=(day(10), day(2), day(2)), window=timedelta(days=5))

    found = evaluate(evidence, Plan(rule=rule), until=day(DAYS), source="test")

    assert len(found.surfaces[0].cuts) == 1
    assert any(one.startswith("1 of 2 cuts have questions") for one in found.remarks)


def test_a_ranker_of_the_settings_ranks_as_the_homepage_does() -> None:
    happened = [
        *(bid(f"u{n}", f"i{(n * k) % 7}", n + k) for n in range(5) for k in range(4)),
        bid("u0", "i9", 12),
    ]
    market = market_of(happened)
    evidence = evidence_of(market)
    history = read_history(evidence, until=day(DAYS))
    [cut] = cuts_of(evidence, history, CutRule(moments=(day(10),)))
    users = np.array([3, 0, 1], np.int32)  # in any order

    ranked = SettingsRanking(evidence=evidence, name="classic").ranked(
        cut.past, users, point={}, keep=10
    )

    then = Recommender.in_memory(market, as_of=day(10))
    for user, line in zip(cut.past.user_ids.ids.take(users), ranked, strict=True):
        shelf = then.system.homepage(10, of=user)
        found = cut.past.catalogue.ids_at(line[line >= 0]).to_list()
        assert found == [one.item_id for one in shelf]


def test_popularity_counts_a_user_item_and_day_once_and_fades_with_the_half_life() -> None:
    happened = [
        *(bid("u0", "often", 1 + hour / 24) for hour in range(20)),
        *(bid(user, "twice", 2) for user in ("u0", "u1")),
        bid("u2", "late", 9.5),
        bid("u3", "other", 0),
        bid("u3", "often", 12),
    ]
    evidence = evidence_of(market_of(happened))
    history = read_history(evidence, until=day(DAYS))
    [cut] = cuts_of(evidence, history, CutRule(moments=(day(10),)))
    users = cut.questions.users

    [plain] = Popular().ranked(cut.past, users, point={}, keep=10)
    [fading] = RecentPopular().ranked(cut.past, users, point={"half_life": 1.0}, keep=10)

    names = cut.past.catalogue.ids_at
    assert names(plain[plain >= 0]).to_list() == ["twice", "late", "often"]
    assert names(fading[fading >= 0]).to_list() == ["late", "twice", "often"]
