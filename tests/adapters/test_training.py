"""The training of `blended`: as dense solutions and plain loops give it on small data."""

from collections import defaultdict
from collections.abc import Sequence
from random import Random

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse

from angle_reco.adapters.kernels import training
from angle_reco.domain.activity import Activity, Interactions
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.catalogue import Catalogue, OpenCards
from angle_reco.domain.columns import NONE, IdColumn
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.millionths import ONE
from angle_reco.domain.moments import DAY, HOUR, NEVER
from angle_reco.domain.scoring.blended.hashes import HashIndex
from angle_reco.domain.scoring.blended.model import Coefficients, Fans, Histories, Model

Dense = npt.NDArray[np.float64]
Touch = tuple[int, int, int]
"""A user, an item, and a moment."""

INTS = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.INT)
NOW = 20_000 * DAY
MONTH = 30 * DAY


def dense(coefficients: Coefficients) -> Dense:
    """Return coefficients as a matrix, a row per source."""
    size = len(coefficients.offsets) - 1
    found = np.zeros((size, size))
    source = np.repeat(np.arange(size), np.diff(coefficients.offsets))
    found[source, coefficients.targets] = coefficients.values / ONE
    return found


def assert_near(found: Dense, expected: Dense) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=1.01e-6)


def random_rows(users: int, items: int, share: float, seed: int) -> Dense:
    # Popularity differs, so that few sources are equally good.
    shares = share * np.linspace(0.4, 1.6, items)
    return (np.random.default_rng(seed).random((users, items)) < shares).astype(float)


def random_touches(count: int, *, users: int, items: int, seed: int) -> list[Touch]:
    random = Random(seed)
    return [
        (random.randrange(users), random.randrange(items), NOW - random.randrange(-3, 3_000) * HOUR)
        for _ in range(count)
    ]


def regressions(gram: Dense, right: Dense, shift: float, ridge: float, own: bool) -> Dense:
    """Return the ridge regression of each target on its 50 best sources, by dense solutions."""
    size = len(gram)
    found = np.zeros((size, size))
    for target in range(size):
        scores = {
            source: right[source, target] / np.sqrt(gram[source, source] + shift)
            for source in range(size)
            if right[source, target] > 0 and (own or source != target)
        }
        chosen = sorted(scores, key=lambda source: (-scores[source], source))[:50]
        if chosen:
            some = gram[np.ix_(chosen, chosen)] + ridge * np.eye(len(chosen))
            found[chosen, target] = np.linalg.solve(some, right[chosen, target])
    return found


@pytest.fixture(params=[3, 2_048], ids=["in batches", "at once"])
def columns_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_ROWS_AT_ONCE", request.param)


@pytest.mark.usefixtures("columns_at_once")
@pytest.mark.parametrize(
    ("users", "items", "share"), [(40, 12, 0.3), (300, 70, 0.2), (1, 5, 1), (6, 1, 0.5), (5, 4, 0)]
)
def test_taste_is_a_ridge_regression_on_the_best_sources(
    users: int, items: int, share: float
) -> None:
    rows = random_rows(users, items, share, seed=items)

    found = training.taste_of(sparse.csr_matrix(rows))

    gram = rows.T @ rows
    assert_near(dense(found), regressions(gram, gram, shift=5, ridge=100, own=False))


def test_a_target_has_50_sources_at_most() -> None:
    found = training.taste_of(sparse.csr_matrix(random_rows(300, 70, 0.3, seed=1)))

    assert np.bincount(found.targets).tolist() == [50] * 70


@pytest.mark.parametrize(
    ("users", "kinds", "share"), [(50, 9, 0.3), (1, 4, 1), (3, 1, 1), (4, 3, 0)]
)
def test_taste_of_kinds_is_the_closed_form_of_ease(users: int, kinds: int, share: float) -> None:
    rows = random_rows(users, kinds, share, seed=kinds)

    found = training.taste_of_kinds(sparse.csr_matrix(rows))

    # B = I − P · diag(1 / diag P), and .3 on the diagonal.
    inverse = np.linalg.inv(rows.T @ rows + 20 * np.eye(kinds))
    expected = np.eye(kinds) - inverse @ np.diag(1 / np.diag(inverse))
    np.fill_diagonal(expected, 0.3)
    assert_near(dense(found), expected)


def test_taste_of_many_kinds_has_the_best_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_MOST_DENSE", 8)
    rows = random_rows(50, 9, 0.3, seed=2)

    found = training.taste_of_kinds(sparse.csr_matrix(rows))

    gram = rows.T @ rows
    expected = regressions(gram, gram, shift=5, ridge=20, own=False)
    np.fill_diagonal(expected, 0.3)
    assert_near(dense(found), expected)


def test_without_kinds_there_are_no_coefficients() -> None:
    assert dense(training.taste_of_kinds(sparse.csr_matrix((3, 0)))).shape == (0, 0)


def plain_follow(touches: Sequence[Touch], users: int, items: int) -> Dense:
    """Return what follows from the dense matrices of histories and of what came after."""
    gram, right = np.zeros((items, items)), np.zeros((items, items))
    for step in range(6):
        at = NOW - MONTH - step * (15 * DAY)
        for user in range(users):
            last: dict[int, int] = {}
            soon = set()
            for one, item, moment in touches:
                if one == user and moment <= at:
                    last[item] = max(moment // HOUR, last.get(item, moment // HOUR))
                elif one == user and moment <= at + MONTH:
                    soon.add(item)
            soon -= set(last)
            if last and soon:
                past, later = np.zeros(items), np.zeros(items)
                for item, hour in last.items():
                    past[item] = 2 ** (-(max(last.values()) - hour) / 720)
                for item in soon:
                    later[item] = 1 / len(soon)
                past *= 0.7**step / np.linalg.norm(past)
                later *= 0.7**step
                gram += np.outer(past, past)
                right += np.outer(past, later)
    return regressions(gram, right, shift=1, ridge=10, own=True)


def follow_of(touches: Sequence[Touch], users: int, items: int) -> Dense:
    user, item, moment = (np.array([one[part] for one in touches], np.int64) for part in range(3))
    return dense(
        training.follow_of(
            user.astype(np.int32), item.astype(np.int32), moment, users=users, size=items, now=NOW
        )
    )


@pytest.mark.usefixtures("columns_at_once")
@pytest.mark.parametrize("items", [4, 60])
def test_follow_leads_from_faded_histories_to_what_came_after(items: int) -> None:
    touches = random_touches(items * 15, users=30, items=items, seed=items)

    assert_near(follow_of(touches, 30, items), plain_follow(touches, 30, items))


def test_follow_counts_a_moment_at_a_cut_as_before_it() -> None:
    """And what comes 30 days later as the last of what came after."""
    cut = NOW - MONTH
    for late in (0, 1):
        touches = [(0, 0, cut + late), (0, 1, NOW)]
        assert_near(follow_of(touches, 1, 2), plain_follow(touches, 1, 2))
        assert (follow_of(touches, 1, 2)[0, 1] > 0) == (late == 0)


def test_follow_of_touches_before_1970_fades() -> None:
    touches = [(0, 0, -900 * DAY), (0, 1, -905 * DAY), (0, 2, -880 * DAY)]
    user, item, moment = (np.array([one[part] for one in touches], np.int64) for part in range(3))
    found = training.follow_of(
        user.astype(np.int32), item.astype(np.int32), moment, users=1, size=3, now=-870 * DAY
    )

    assert dense(found)[0, 2] > dense(found)[1, 2] > 0


def test_follow_without_anything_after_says_nothing() -> None:
    assert not follow_of([(0, 0, NOW - 50 * DAY), (1, 1, NOW)], 2, 2).any()


def test_steps_count_what_is_touched_one_to_three_steps_later() -> None:
    touches = random_touches(120, users=8, items=20, seed=3)
    user, item, moment = (np.array([one[part] for one in touches], np.int64) for part in range(3))
    histories = Histories.of(user.astype(np.int32), item.astype(np.int32), moment, count=8)
    kind = np.array([-1, 0, 1, 2, 3] * 4, np.int32)

    found = training.steps_of_kinds(histories, kind, 4)

    sums, counts = np.zeros((4, 4)), np.zeros(4)
    for one in range(8):
        kinds = [kind[i] for i in histories.of_user(one)[0][::-1] if kind[i] >= 0]
        for place, source in enumerate(kinds):
            counts[source] += 1
            for step, target in enumerate(kinds[place + 1 : place + 4]):
                sums[source, target] += 0.6**step
    assert sums.any()
    assert_near(dense(found), sums / (counts[:, None] + 3))


@pytest.mark.usefixtures("columns_at_once")
def test_a_sequence_counts_up_to_ten_steps() -> None:
    touches = random_touches(300, users=8, items=20, seed=4)
    user, item, moment = (np.array([one[part] for one in touches], np.int64) for part in range(3))
    histories = Histories.of(user.astype(np.int32), item.astype(np.int32), moment, count=8)

    found = training.sequence_of(histories, 20)

    sums, counts = np.zeros((20, 20)), np.full(20, 3.0)
    for one in range(8):
        items = histories.of_user(one)[0].tolist()[::-1]
        for place, source in enumerate(items):
            counts[source] += 1
            for step, target in enumerate(items[place + 1 : place + 11]):
                sums[source, target] += 0.8**step
    assert_near(dense(found), sums / np.sqrt(np.outer(counts, counts)))


def test_a_sequence_has_the_50_best_targets_of_an_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "_SOURCES", 2)
    touches = [(0, one, NOW + one) for one in range(5)]
    user, item, moment = (np.array([one[part] for one in touches], np.int64) for part in range(3))
    histories = Histories.of(user.astype(np.int32), item.astype(np.int32), moment, count=1)

    found = dense(training.sequence_of(histories, 5))

    # Each counts .8 less than the one before it.
    assert found[0].tolist() == [0, 0.25, 0.2, 0, 0]


def cards_of(items: int, *, prices: Sequence[int] = (), ids: Sequence[int] = ()) -> OpenCards:
    """Return items with every other category, seller and title; the ids may be in any order."""
    names = list(ids) or list(range(items))
    starting = list(prices) or [-1 if one % 5 == 4 else 2 ** (one % 5) for one in range(items)]
    catalogue = Catalogue.of_rows(
        INTS,
        item_ids=names,
        category_ids=[None if one % 4 == 3 else one % 4 for one in range(items)],
        seller_ids=[None if one % 3 == 2 else one % 3 for one in range(items)],
        prices=[7] * items,
        starting_prices=starting,
        is_published=[True] * items,
        status=[AuctionStatus.ACTIVE.code] * items,
        ends_at=[NEVER] * items,
        listed_at=[0] * items,
        bids=[0] * items,
        watchers=[0] * items,
    )
    order = np.argsort(names)
    titles = np.array([f"lamp {one % 6}" for one in range(items)], object)[order]
    return OpenCards(catalogue=catalogue, titles=titles)


def interactions_of(touches: Sequence[Touch]) -> Interactions:
    return Interactions(
        users=IdColumn.of(IdKind.INT, [user for user, _, _ in touches]),
        items=IdColumn.of(IdKind.INT, [item for _, item, _ in touches]),
        kinds=np.full(len(touches), Activity.BID, np.int8),
        moments=np.array([moment for _, _, moment in touches], np.int64),
    )


def trained(touches: Sequence[Touch], cards: OpenCards) -> Model:
    return training.trained(interactions_of(touches), cards, now=NOW)


def columns_of(model: Model) -> list[list[object]]:
    """Return all columns of a model."""
    columns: list[list[object]] = []
    for part in (
        *(model.items, model.items.titles, model.histories, model.touches),
        *(model.taste, model.follow, model.sequence),
        *(model.taste_of_kinds, model.follow_of_kinds),
    ):
        for name in attrs.fields_dict(type(part)):
            value = getattr(part, name)
            if isinstance(value, np.ndarray):
                columns.append(value.tolist())
            elif isinstance(value, HashIndex):
                columns.append(value.hashes.tolist())
    return [*columns, model.users.hashes.tolist()]


def test_the_same_data_in_any_order_make_the_same_model() -> None:
    touches = random_touches(400, users=25, items=30, seed=8)
    shuffled = Random(1).sample(touches, len(touches))

    model = trained(touches, cards_of(30))

    assert columns_of(trained(touches, cards_of(30))) == columns_of(model)
    assert columns_of(trained(shuffled, cards_of(30))) == columns_of(model)


def test_other_ids_change_no_coefficient() -> None:
    """Each touch in an hour of its own, because equal ones are in the order of ids."""
    touches = [
        (user, item, NOW - hour * HOUR)
        for hour, (user, item, _) in enumerate(random_touches(900, users=25, items=30, seed=9))
    ]
    names = Random(2).sample(range(1_000), 30)

    model = trained(touches, cards_of(30))
    renamed = trained(
        [(-user, names[item], moment) for user, item, moment in touches], cards_of(30, ids=names)
    )

    code = renamed.items.ids.codes(np.array(names))
    for name in ("taste", "follow", "sequence"):
        found = dense(getattr(renamed, name))[np.ix_(code, code)]
        assert_near(found, dense(getattr(model, name)))
        assert found.any()
    for name in ("taste_of_kinds", "follow_of_kinds"):
        assert_near(dense(getattr(renamed, name)), dense(getattr(model, name)))


@pytest.mark.parametrize("items", [0, 3])
def test_an_empty_history_makes_an_empty_model(items: int) -> None:
    model = trained([], cards_of(items))

    assert (len(model.items), len(model.users), len(model.histories)) == (items, 0, 0)
    assert not dense(model.taste).any()
    assert not dense(model.follow).any()
    assert not dense(model.follow_of_kinds).any()
    assert (len(model.neighbours.fans.users), len(model.neighbours.fans_of_kinds.users)) == (0, 0)


def test_items_without_categories_make_no_kinds() -> None:
    cards = cards_of(3, prices=[-1, -1, 0])

    model = trained([(1, one, NOW - DAY) for one in range(3)], cards)

    assert (len(model.items.kinds), model.items.kind.tolist()) == (0, [NONE] * 3)
    for name in ("taste_of_kinds", "follow_of_kinds"):
        assert dense(getattr(model, name)).shape == (0, 0)


def test_touches_of_unknown_items_do_not_count() -> None:
    known = [(1, 0, NOW - DAY), (2, 1, NOW - DAY)]

    model = trained([*known, (1, 77, NOW), (3, 78, NOW)], cards_of(2))

    assert model.users.hashes.tolist() == [1, 2, 3]
    assert [model.histories.of_user(user)[0].tolist() for user in range(3)] == [[0], [1], []]
    assert model.touches.items.tolist() == [0, 1]


def test_known_items_have_a_kind_for_each_category_and_power_of_two() -> None:
    known = training.known_items(cards_of(20))

    by_kind = defaultdict(set)
    for one, kind in enumerate(known.kind.tolist()):
        has_one = one % 4 != 3 and one % 5 != 4
        assert (kind != NONE) == has_one
        if has_one:
            by_kind[kind].add((one % 4, one % 5))
    assert sorted(by_kind) == list(range(len(known.kinds)))
    assert all(len(those) == 1 for those in by_kind.values())
    assert len(set(map(tuple, by_kind.values()))) == len(by_kind)


def test_an_account_with_very_many_touches_counts_its_newest() -> None:
    """Neither its history nor what comes after a cut grows without a limit."""
    size = 1_500
    touches = [(1, item, NOW - 20 * DAY - item * HOUR) for item in range(size // 2)]
    touches += [(1, item, NOW - 60 * DAY - item * 60_000_000) for item in range(size // 2, size)]

    model = trained(touches, cards_of(size))

    assert model.histories.items.tolist() == list(range(500))
    assert len(set(model.follow.targets.tolist())) <= 1_000


def test_an_item_has_2000_fans_at_most() -> None:
    model = trained([(user, 0, NOW - user * HOUR) for user in range(2_100)], cards_of(1))

    assert model.neighbours.fans.users.tolist() == list(range(2_000))
    assert Fans.of(model.histories, 1).sizes.tolist() == [1] * 2_100
