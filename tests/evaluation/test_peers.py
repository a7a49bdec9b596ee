import sys
from collections.abc import Callable, Sequence
from math import log, sqrt
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from angle_reco import Settings
from angle_reco.composition import memory_ports
from angle_reco.domain.columns import NONE
from angle_reco.domain.errors import InvalidValueError, MissingExtraError
from angle_reco.evaluation import peers as module
from angle_reco.evaluation.cuts import CutRule
from angle_reco.evaluation.evaluate import Plan, evaluate
from angle_reco.evaluation.history import Evidence
from angle_reco.evaluation.peers import (
    Peer,
    Touched,
    ease_coefficients,
    fit_als,
    fit_bm25,
    fit_cosine,
    fit_ease,
    fit_rp3beta,
    one_thread,
    peers,
    rp3beta_coefficients,
)
from angle_reco.evaluation.rankings import Past
from tests.application.shop import DAY, NOW, filled, lot, watch
from tests.evaluation.pasts import past_of

Histories = Sequence[set[int]]  # the items of each user
Floats = npt.NDArray[np.float64]

ITEMS = 6
PEERS = [pytest.param(peer, id=peer.name) for peer in peers()]


def matrix_of(touched: Histories, items: int = ITEMS) -> Any:
    dense = np.zeros((len(touched), items))
    for user, those in enumerate(touched):
        dense[user, sorted(those)] = 1
    return csr_array(dense)


@st.composite
def histories(draw: st.DrawFn) -> Histories:
    """Return what users touched; every user and every item occurs."""
    touched = draw(st.lists(st.sets(st.integers(0, ITEMS - 1), min_size=1), min_size=2, max_size=8))
    for item in range(ITEMS):
        touched[draw(st.integers(0, len(touched) - 1))].add(item)
    return touched


@st.composite
def pasts(draw: st.DrawFn) -> Past:
    users, items = draw(st.integers(2, 8)), draw(st.integers(2, 9))
    pair = st.tuples(st.integers(0, users - 1), st.integers(0, items - 1))
    closed = draw(st.sets(st.integers(0, items - 1), max_size=items - 1))
    return past_of(draw(st.lists(pair, max_size=40)), users=users, items=items, closed=closed)


def scores_of(fit: Callable[..., Any], touched: Histories, **point: float) -> Floats:
    with one_thread():  # else implicit warns
        scores: Floats = fit(matrix_of(touched), point)(np.arange(len(touched)))
    return scores


class TestEase:
    @given(touched=histories(), l2=st.sampled_from([0.5, 10.0, 500.0]))
    def test_solves_the_ridge_regression_of_each_item_on_the_others(
        self, touched: Histories, l2: float
    ) -> None:
        x = matrix_of(touched).toarray()
        expected = np.zeros((ITEMS, ITEMS))
        for item in range(ITEMS):
            others = np.delete(np.arange(ITEMS), item)
            gram = x[:, others].T @ x[:, others] + l2 * np.eye(ITEMS - 1)
            expected[others, item] = np.linalg.solve(gram, x[:, others].T @ x[:, item])

        coefficients = ease_coefficients(matrix_of(touched), l2=l2)

        assert coefficients == pytest.approx(expected, abs=1e-9)
        assert not np.diagonal(coefficients).any()

    def test_is_the_same_in_chunks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x = csr_array((np.random.default_rng(1).random((60, 25)) < 0.2).astype(np.float64))
        at_once = ease_coefficients(x, l2=3.0)
        monkeypatch.setattr(module, "_CELLS", 100)  # four columns at once

        assert ease_coefficients(x, l2=3.0) == pytest.approx(at_once, abs=1e-12)

    def test_adds_what_the_items_of_a_user_contribute(self) -> None:
        touched = [{0, 1}, {1, 2}, {0, 1, 2}, {3, 4, 5}]
        b = ease_coefficients(matrix_of(touched), l2=2.0)

        assert scores_of(fit_ease, touched, l2=2.0)[1] == pytest.approx(b[1] + b[2])

    def test_refuses_more_items_than_fit_in_memory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "MOST_ITEMS_OF_EASE", 5)

        with pytest.raises(InvalidValueError, match="number of items of EASE is 6, but should be"):
            ease_coefficients(matrix_of([set(range(ITEMS))]), l2=1.0)


class TestRP3beta:
    @given(
        touched=histories(),
        alpha=st.sampled_from([0.5, 1.0, 1.4]),
        beta=st.sampled_from([0.0, 0.6]),
    )
    def test_adds_up_walks_of_three_steps(
        self, touched: Histories, alpha: float, beta: float
    ) -> None:
        fans = [{user for user, those in enumerate(touched) if item in those} for item in range(6)]
        expected = np.zeros((len(touched), ITEMS))
        for user, those in enumerate(touched):
            for item in those:
                for fan in fans[item]:
                    for last in touched[fan] - {item}:
                        walk = (1 / len(fans[item])) ** alpha * (1 / len(touched[fan])) ** alpha
                        expected[user, last] += walk / len(fans[last]) ** beta

        scores = scores_of(fit_rp3beta, touched, alpha=alpha, beta=beta, neighbours=ITEMS)

        assert scores == pytest.approx(expected, abs=1e-12)

    def test_keeps_the_strongest_others_of_each_item(self, monkeypatch: pytest.MonkeyPatch) -> None:
        x = csr_array((np.random.default_rng(2).random((80, 30)) < 0.2).astype(np.float64))
        everything = rp3beta_coefficients(x, alpha=0.7, beta=0.4, neighbours=30).toarray()
        monkeypatch.setattr(module, "_CELLS", 100)  # three rows at once
        some = rp3beta_coefficients(x, alpha=0.7, beta=0.4, neighbours=4).toarray()

        assert np.count_nonzero(some, axis=1).tolist() == [4] * 30
        assert not np.diagonal(everything).any()
        for kept, line in zip(some, everything, strict=True):
            assert sorted(kept[kept > 0]) == pytest.approx(sorted(line)[-4:])
            assert (kept[kept > 0] == line[kept > 0]).all()


class TestNeighbours:
    touched = ({0, 1}, {0, 1, 2}, {1, 2, 3}, {2, 3}, {0}, {4, 5}, {3, 5})

    def fans(self) -> list[set[int]]:
        return [{u for u, those in enumerate(self.touched) if i in those} for i in range(ITEMS)]

    def summed(self, likeness: Callable[[int, int], float], neighbours: int) -> Floats:
        """Return sums over a user's items of the likeness to their nearest, themselves included."""
        scores = np.zeros((len(self.touched), ITEMS))
        for user, those in enumerate(self.touched):
            for item in those:
                nearest = sorted(range(ITEMS), key=lambda other: -likeness(item, other))
                for other in nearest[:neighbours]:
                    scores[user, other] += likeness(item, other)
        return scores

    def test_cosine_is_the_share_of_common_users(self) -> None:
        fans = self.fans()

        def likeness(one: int, other: int) -> float:
            return len(fans[one] & fans[other]) / sqrt(len(fans[one]) * len(fans[other]))

        scores = scores_of(fit_cosine, self.touched, neighbours=ITEMS)

        assert scores == pytest.approx(self.summed(likeness, ITEMS))

    @pytest.mark.parametrize(("k1", "b"), [(1.2, 0.75), (100, 0.2)])
    def test_bm25_weighs_users_as_words_of_an_item(self, k1: float, b: float) -> None:
        fans = self.fans()
        average = sum(map(len, fans)) / ITEMS

        def weight(user: int, item: int) -> float:
            rarity = log(ITEMS / (1 + len(self.touched[user])))
            length = 1 - b + b * len(fans[item]) / average
            return (k1 + 1) / (k1 * length + 1) * rarity

        def likeness(one: int, other: int) -> float:
            return sum(weight(user, one) * weight(user, other) for user in fans[one] & fans[other])

        scores = scores_of(fit_bm25, self.touched, neighbours=ITEMS, k1=k1, b=b)

        assert scores == pytest.approx(self.summed(likeness, ITEMS))

    @pytest.mark.parametrize(
        ("fit", "name", "point"),
        [
            (fit_cosine, "CosineRecommender", {}),
            (fit_bm25, "BM25Recommender", {"K1": 1.2, "B": 0.75}),
        ],
    )
    @pytest.mark.filterwarnings("ignore:Method expects CSR input")
    def test_are_those_of_implicit(
        self, fit: Callable[..., Any], name: str, point: dict[str, float]
    ) -> None:
        from implicit import nearest_neighbours

        dense = np.random.default_rng(3).random((80, 30)) < 0.2
        touched = [set(np.flatnonzero(line).tolist()) for line in dense]
        model = getattr(nearest_neighbours, name)(K=5, **point)
        model.fit(matrix_of(touched, 30), show_progress=False)

        ours = fit(
            matrix_of(touched, 30),
            {"neighbours": 5, **{key.lower(): value for key, value in point.items()}},
        )(np.arange(80))

        assert ours == pytest.approx((matrix_of(touched, 30) @ model.similarity).toarray())


class TestAls:
    POINT = {"factors": 4, "alpha": 3, "regularisation": 0.1, "iterations": 30}  # noqa: RUF012 — read only

    def test_scores_are_the_same_each_time(self) -> None:
        first, second = (scores_of(fit_als, [{0, 1}, {1, 2, 3}], **self.POINT) for _ in range(2))

        assert first.tolist() == second.tolist()

    def test_approaches_what_exact_alternating_least_squares_finds(self) -> None:
        touched = [{0, 1, 2}, {0, 1}, {1, 2}, {3, 4, 5}, {3, 4}, {4, 5}]

        scores = scores_of(fit_als, touched, **self.POINT)

        # What the two groups have to do with each other is symmetric, so it has no one answer.
        expected = self.exact(matrix_of(touched).toarray())
        assert scores[:3, :3] == pytest.approx(expected[:3, :3], abs=0.01)
        assert scores[3:, 3:] == pytest.approx(expected[3:, 3:], abs=0.01)
        assert max(scores[:3, 3:].max(), scores[3:, :3].max()) < 0.2

    def exact(self, x: Floats) -> Floats:
        """Return the scores after many rounds of the two least squares of Hu et al., solved."""
        rng = np.random.default_rng(5)
        size, alpha, penalty = 4, self.POINT["alpha"], self.POINT["regularisation"]
        users, items = rng.random((len(x), size)), rng.random((x.shape[1], size))

        def solved(those: Floats, lines: Floats) -> Floats:
            found = []
            for line in lines:
                confidence = 1 + (alpha - 1) * line
                gram = (those * confidence[:, None]).T @ those + penalty * np.eye(size)
                found.append(np.linalg.solve(gram, those.T @ (confidence * line)))
            return np.array(found)

        for _ in range(200):
            users = solved(items, x)
            items = solved(users, x.T)
        return users @ items.T


@pytest.mark.parametrize("peer", PEERS)
class TestEachPeer:
    @given(past=pasts(), keep=st.integers(1, 12))
    def test_ranks_open_items_once_that_are_not_left_out(
        self, peer: Peer, past: Past, keep: int
    ) -> None:
        users = np.arange(len(past.user_ids), dtype=np.int32)

        ranked = peer.ranked(past, users, point=peer.grid[0], keep=keep)

        assert ranked.shape == (len(users), keep)
        left_out = set(zip(past.left_out_users.tolist(), past.left_out_rows.tolist(), strict=True))
        for user, line in enumerate(ranked.tolist()):
            rows = [row for row in line if row != NONE]
            assert line == rows + [NONE] * (keep - len(rows))
            assert len(set(rows)) == len(rows)
            assert set(rows) <= set(range(len(past.open_items)))
            assert not left_out & {(user, row) for row in rows}

    def test_finds_the_taste_of_a_group(self, peer: Peer) -> None:
        pairs = [(user, user % 2 * 10 + item) for user in range(30) for item in range(10)]
        missing = [(0, 3), (1, 14)]
        past = past_of([one for one in pairs if one not in missing], users=31, items=21, closed=[0])

        ranked = peer.ranked(past, np.array([1, 0, 30], np.int32), point=peer.grid[0], keep=1)

        # Item 0 is closed, so that rows are one less; user 30 and item 20 were never seen.
        assert ranked.tolist() == [[13], [2], [NONE]]

    def test_answers_for_a_user_do_not_depend_on_the_others_asked(
        self, peer: Peer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rng = np.random.default_rng(7)
        users, items = rng.integers(0, 40, 300), rng.integers(0, 25, 300)
        pairs = list(zip(users.tolist(), items.tolist(), strict=True))
        past = past_of(pairs, users=40, items=25)
        everybody = np.arange(40, dtype=np.int32)
        at_once = peer.ranked(past, everybody, point=peer.grid[-1], keep=10)
        monkeypatch.setattr(module, "_CELLS", 60)  # a few lines at once

        some = peer.ranked(past, everybody[[7, 3, 33]], point=peer.grid[-1], keep=10)

        assert some.tolist() == at_once[[7, 3, 33]].tolist()

    def test_ids_that_occur_only_later_change_nothing(self, peer: Peer) -> None:
        pairs = [(0, 0), (0, 1), (1, 0), (1, 2), (2, 1), (2, 2), (2, 3)]
        among_others = [(2 * user + 1, 2 * item + 1) for user, item in pairs]
        close = past_of(pairs, users=3, items=4)
        spread = past_of(among_others, users=10, items=14, closed=range(8, 14))

        def items_for(past: Past, users: list[int]) -> list[list[int]]:
            ranked = peer.ranked(past, np.array(users, np.int32), point=peer.grid[0], keep=3)
            return [[int(past.open_items[row]) for row in line if row != NONE] for line in ranked]

        expected = [[2 * item + 1 for item in line] for line in items_for(close, [0, 1, 2])]
        assert items_for(spread, [1, 3, 5]) == expected

    def test_a_market_without_open_items_or_touches_has_nothing_to_rank(self, peer: Peer) -> None:
        users = np.array([0, 1], np.int32)
        nothing = [[NONE, NONE], [NONE, NONE]]
        closed = past_of([(0, 0), (1, 0)], users=2, items=2, closed=[0, 1])
        untouched = past_of([], users=2, items=2)

        for past in (closed, untouched):
            assert peer.ranked(past, users, point=peer.grid[0], keep=2).tolist() == nothing

    def test_every_point_of_the_grid_is_another_and_can_be_used(self, peer: Peer) -> None:
        pairs = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (3, 3)]
        past = past_of(pairs, users=4, items=4)

        assert len({tuple(sorted(point.items())) for point in peer.grid}) == len(peer.grid)
        for point in peer.grid:
            ranked = peer.ranked(past, np.array([2], np.int32), point=point, keep=4)
            assert 0 not in ranked.tolist()[0]


def test_a_pair_counts_once_however_often_the_user_touched_the_item() -> None:
    pairs = [(0, 3), (4, 1), (0, 3), (0, 1), (0, 3)]

    touched = Touched.of(past_of(pairs, users=5, items=4))

    assert (touched.users.tolist(), touched.items.tolist()) == ([0, 4], [1, 3])
    assert touched.matrix.toarray().tolist() == [[1, 1], [1, 0]]


@pytest.mark.parametrize("most", [2, 3])
def test_a_history_too_large_for_a_peer_leaves_it_out(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ITEMS_OF_EASE", most)
    did = [("ann", "a", 60), ("ann", "b", 50), ("bob", "c", 50), ("bob", "a", 1), ("ann", "c", 1)]
    happened = [watch(user, item, days) for user, item, days in did]
    ports = memory_ports(filled([lot(one, listed=90) for one in "abc"], *happened))
    evidence = Evidence(
        activity=ports.activity, catalog=ports.catalog, kernels=ports.kernels, settings=Settings()
    )
    plan = Plan(rule=CutRule(moments=(NOW - 10 * DAY,)), peers=peers())

    found = evaluate(evidence, plan, until=NOW, source="test")

    remark = (
        "ease is left out: it needs a dense matrix of the touched items, which are 3, and at most"
        " 2 are allowed"
    )
    assert (remark in found.remarks) is (most == 2)
    assert all(isinstance(one, str) for one in found.remarks)
    names = [one.name for one in found.surfaces[0].rankers]
    assert ("ease" in names) is (most == 3)
    assert [one for one in names if one != "ease"][-4:] == ["als", "bm25", "cosine", "rp3beta"]


def test_peers_have_names_of_their_literature() -> None:
    assert [peer.name for peer in peers()] == ["als", "bm25", "cosine", "ease", "rp3beta"]


def test_peers_are_the_same_each_time() -> None:
    assert [attrs.asdict(one) for one in peers()] == [attrs.asdict(one) for one in peers()]


@pytest.mark.parametrize("package", ["implicit", "threadpoolctl"])
def test_a_missing_extra_says_what_to_install(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # None stands for a module that is not there.
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtraError) as caught:
        peers()

    assert str(caught.value) == (
        "the peers of an evaluation need more: pip install 'angle-reco[peers]'"
    )
