"""The contract suite of `Kernels`: exactly the results of the plain rules."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from angle_reco.domain.activity import Bid
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import CategoryId, IdKind, IdKinds, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.lists import Lists
from angle_reco.domain.scoring.blended_ranker import BLENDED, with_weights
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.ranking import CLASSIC, Ranker
from angle_reco.domain.scoring.similarity import Engagement, SimilarityRule
from angle_reco.domain.stored_list import Recipe, StoredLine
from angle_reco.ports.kernels import Kernels
from angle_reco.testing import plain
from angle_reco.testing.contracts.markets import (
    IDS,
    NOW,
    engagement_of,
    index_of_users,
    lot,
    markets,
    open_market,
    originals_of,
    profiles_of,
    similarity_rules,
)
from angle_reco.testing.contracts.models import model_cases
from angle_reco.testing.contracts.rankers import DRAWN_RULES, rankers

_promise = settings(
    # Kernels are stateless, so all examples may share one fixture, and each subclass may
    # run an inherited test as its executor.
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
    ],
)


class Case(NamedTuple):
    """One random input of a kernel."""

    ids: IdKinds
    market: plain.PlainMarket
    keep: int


@cache
@st.composite
def cases(draw: st.DrawFn, kind: IdKind) -> Case:
    """Draw a market with ids of one kind, and the number of suggestions to keep."""
    ids = IdKinds(user=kind, item=kind, category=kind)
    return Case(ids, draw(markets(ids)), draw(st.sampled_from([1, 2, 3, 4, 40])))


_INTS = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.INT)

every_kind = pytest.mark.parametrize("kind", IdKind)


class SimilaritiesContract:
    """The promises of `Similarities`; a subclass overrides the fixture *kernels*."""

    @pytest.fixture
    def kernels(self) -> Kernels:
        """Return the kernels under test."""
        pytest.fail("override this fixture")

    @every_kind
    @_promise
    @given(data=st.data())
    def test_similar_items_of_open_items_equal_those_of_the_plain_rule(
        self, kernels: Kernels, kind: IdKind, data: st.DataObject
    ) -> None:
        """For some rows, in any order."""
        case, rule = data.draw(cases(kind)), data.draw(similarity_rules())
        rows, some = open_rows_of(case), data.draw(st.randoms(use_true_random=False))
        asked = some.sample(range(len(rows)), some.randrange(len(rows) + 1))

        found = similar_among(kernels, case, rule, np.array(asked, np.int64))

        assert found == [
            plain.similar_items(case.market, rows[row], rule=rule, keep=case.keep) for row in asked
        ]

    def test_of_equal_scores_that_with_more_shared_users_comes_first(
        self, kernels: Kernels
    ) -> None:
        """Also if the other one needs no shared users, and is first in the tie order."""
        price, far = Decimal(10), Decimal(100)
        items = [
            lot(1, category_id=CategoryId(1), price=price),
            lot(2, category_id=CategoryId(1), price=far),
            lot(3, category_id=CategoryId(2), price=price),
        ]
        happened = [
            Bid(user_id=UserId(user), item_id=ItemId(item), placed_at=NOW)
            for item, users in ((1, range(4)), (2, range(4, 10)), (3, range(4)))
            for user in users
        ]
        market = plain.PlainMarket(items=items, happened=happened, now=NOW)

        [[line]] = similar_among(
            kernels, Case(_INTS, market, keep=1), SimilarityRule(), np.array([0])
        )

        assert (line.item_id, line.parts) == (ItemId(3), (0, 300_000, 200_000))

    @pytest.mark.parametrize("category", [None, CategoryId(1)])
    def test_an_item_is_never_similar_to_itself(
        self, kernels: Kernels, category: CategoryId | None
    ) -> None:
        """Nor does it take the place of another, by category or by price."""
        items = [lot(one, category_id=category, price=Decimal(1)) for one in range(3)]
        market = plain.PlainMarket(items=items, happened=[], now=NOW)
        rule = SimilarityRule(threshold=0)

        found = similar_among(kernels, Case(_INTS, market, keep=1), rule, np.arange(3))

        assert [[line.item_id for line in lines] for lines in found] == [
            [ItemId(other)] for other in (1, 0, 0)
        ]


class LearnedPagesContract:
    """The promises of homepages by a trained model; a subclass overrides the fixture *kernels*."""

    @pytest.fixture
    def kernels(self) -> Kernels:
        """Return the kernels under test."""
        pytest.fail("override this fixture")

    @every_kind
    @settings(_promise, max_examples=20)
    @given(data=st.data())
    def test_homepages_of_a_model_equal_those_of_the_plain_rule(
        self, kernels: Kernels, kind: IdKind, data: st.DataObject
    ) -> None:
        """For users and items that the model knows or not, and whatever it has learnt."""
        case, keep = data.draw(model_cases(kind)), data.draw(st.sampled_from([1, 3, 40]))
        model, users = case.model(kernels), index_of_users(case.ids)
        market, rules = case.opened(model), case.plainly(model).rules

        # One after another: what is kept for a market is kept for one ranker.
        for ranker in (BLENDED, with_weights((("newness", 300_000), ("taste", 200_000)))):
            profiles = case.profiles(market, users)
            lists = kernels.homepages(market, profiles, ranker=ranker, keep=keep)

            assert_made_by(lists, users.ids, ranker.recipe)
            assert lines_of(lists) == plain_homepages(
                case.market, users, ranker, InterestRule(), keep=keep, rules=rules
            )


class PagesContract:
    """The promises of homepages without a model; a subclass overrides the fixture *kernels*."""

    @pytest.fixture
    def kernels(self) -> Kernels:
        """Return the kernels under test."""
        pytest.fail("override this fixture")

    @every_kind
    @_promise
    @given(data=st.data())
    def test_homepages_equal_those_of_the_plain_rule(
        self, kernels: Kernels, kind: IdKind, data: st.DataObject
    ) -> None:
        """For users with and without interests."""
        case = data.draw(cases(kind))
        ranker = data.draw(st.just(CLASSIC) | rankers())
        rule = data.draw(st.sampled_from([InterestRule(), InterestRule(bid_weight=0)]))
        users = index_of_users(case.ids)

        found = homepages(kernels, case, users, ranker, rule)

        assert found == plain_homepages(
            case.market, users, ranker, rule, keep=case.keep, rules=DRAWN_RULES
        )


class KernelsContract(SimilaritiesContract, LearnedPagesContract, PagesContract):
    """The promises of `Kernels`; a subclass overrides the fixture *kernels*."""

    @every_kind
    @_promise
    @given(data=st.data())
    def test_similar_items_equal_those_of_the_plain_rule(
        self, kernels: Kernels, kind: IdKind, data: st.DataObject
    ) -> None:
        """For all items in one call, open or not."""
        case, rule = data.draw(cases(kind)), data.draw(similarity_rules())

        found = similar(kernels, case, case.market.items, rule)

        assert found == [
            plain.similar_items(case.market, item, rule=rule, keep=case.keep)
            for item in case.market.items
        ]

    @every_kind
    def test_an_empty_market_has_nothing_to_suggest(self, kernels: Kernels, kind: IdKind) -> None:
        """Neither similar to an ended item nor for a user."""
        ids = IdKinds(user=kind, item=kind, category=kind)
        case = Case(ids, plain.PlainMarket(items=[], happened=[], now=NOW), keep=5)
        users = index_of_users(ids)
        ended = lot(IDS[kind][0], status=AuctionStatus.ENDED)

        assert similar(kernels, case, [ended], SimilarityRule()) == [[]]
        assert homepages(kernels, case, users, CLASSIC, InterestRule()) == [[]] * len(users)

    @every_kind
    @settings(_promise, max_examples=5)
    @given(data=st.data())
    def test_an_empty_batch_gives_an_empty_result(
        self, kernels: Kernels, kind: IdKind, data: st.DataObject
    ) -> None:
        """Without originals or users the result is empty."""
        case = data.draw(cases(kind))
        no_users = index_of_users(case.ids, count=0)

        assert similar(kernels, case, [], SimilarityRule()) == []
        assert homepages(kernels, case, no_users, CLASSIC, InterestRule()) == []


def similar(
    kernels: Kernels, case: Case, items: Sequence[ItemCard], rule: SimilarityRule
) -> list[list[StoredLine]]:
    """Return the similar items that the kernels compute for each of *items*."""
    market = open_market(case.market, case.ids)
    users = index_of_users(case.ids, count=len(IDS[case.ids.user]))
    owners = IdColumn.of(case.ids.item, [item.item_id for item in items])
    index = IdIndex.of(case.ids.item, owners)
    in_order = sorted(items, key=lambda item: index.code(item.item_id))
    most, counted = rule.history_length, case.market.counted
    of_candidates = engagement_of(counted, case.ids, users, market.catalogue.items, most)
    of_originals = engagement_of(counted, case.ids, users, index)
    # Of open items, the newest count.
    place_of_row = index.codes(market.catalogue.items.ids)
    is_asked = place_of_row[of_candidates.places] != NONE
    is_over = ~np.isin(of_originals.places, place_of_row)
    lists = kernels.similar_items(
        market,
        originals_of(market, in_order),
        of_originals=Engagement(
            users=np.append(of_candidates.users[is_asked], of_originals.users[is_over]),
            places=np.append(
                place_of_row[of_candidates.places[is_asked]], of_originals.places[is_over]
            ),
        ),
        of_candidates=of_candidates,
        rule=rule,
        keep=case.keep,
    )
    assert_made_by(lists, index.ids, rule.recipe)
    found = lines_of(lists)
    return [found[index.code(item.item_id)] for item in items]


def open_rows_of(case: Case) -> list[ItemCard]:
    """Return the item of each row of the open market."""
    known = {item.item_id: item for item in case.market.items}
    return [known[ItemId(one)] for one in open_market(case.market, case.ids).catalogue.items.ids]


def similar_among(
    kernels: Kernels, case: Case, rule: SimilarityRule, rows: npt.NDArray[np.int64]
) -> list[list[StoredLine]]:
    """Return the similar items that the kernels compute for the open items in *rows*."""
    market = open_market(case.market, case.ids)
    counted, items = case.market.counted, market.catalogue.items
    users = IdIndex.of(case.ids.user, IdColumn.of(case.ids.user, [one.user_id for one in counted]))
    engagement = engagement_of(counted, case.ids, users, items, rule.history_length)
    similarities = kernels.similarities(market, engagement, rule=rule, keep=case.keep)
    lists = similarities.of(rows)
    assert_made_by(lists, market.catalogue.ids_at(rows), rule.recipe)
    return lines_of(lists)


def homepages(
    kernels: Kernels, case: Case, users: IdIndex, ranker: Ranker, rule: InterestRule
) -> list[list[StoredLine]]:
    """Return the homepage that the kernels compute for each of *users*."""
    market = open_market(case.market, case.ids)
    profiles = profiles_of(case.market, case.ids, users, rule)
    lists = kernels.homepages(market, profiles, ranker=ranker, keep=case.keep)
    assert_made_by(lists, users.ids, ranker.recipe)
    return lines_of(lists)


def plain_homepages(
    market: plain.PlainMarket,
    users: IdIndex,
    ranker: Ranker,
    rule: InterestRule,
    *,
    keep: int,
    rules: Mapping[str, plain.ComponentRule],
) -> list[list[StoredLine]]:
    """Return the homepage of each of *users* by the plain rules."""
    return [
        plain.homepage(
            market,
            UserId(user_id),
            plain.interests_of(
                UserId(user_id), market.happened, market.categories, now=market.now, rule=rule
            ),
            ranker=ranker,
            keep=keep,
            rules=rules,
        )
        for user_id in users.ids
    ]


def assert_made_by(lists: Lists, owners: IdColumn, recipe: Recipe) -> None:
    """Check whose lists these are, by which recipe and when they were computed."""
    assert (lists.owners, lists.recipe, lists.computed_at) == (owners, recipe, NOW)


def lines_of(lists: Lists) -> list[list[StoredLine]]:
    """Return the lines of each list as values."""
    return [list(lists.stored(place).lines) for place in range(len(lists))]
