"""What every `Kernels` promises: the bits of the plain rule."""

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.ids import IdKind, IdKinds, UserId
from angle_reco.domain.items import AuctionStatus, ItemCard
from angle_reco.domain.lists import Lists, StoredLine
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.scoring.ranking import CLASSIC, Ranker
from angle_reco.domain.scoring.similarity import SimilarityRule
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
    rankers,
    similarity_rules,
)

_promise = settings(
    # Kernels keep nothing between calls, so one fixture serves all examples, and who
    # inherits the promise runs it by itself.
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
    ],
)


class Case(NamedTuple):
    """One random question to a kernel."""

    ids: IdKinds
    market: plain.PlainMarket
    keep: int


@st.composite
def cases(draw: st.DrawFn, kind: IdKind) -> Case:
    """Draw a market whose ids are all of one kind, and how many suggestions to keep."""
    ids = IdKinds(user=kind, item=kind, category=kind)
    return Case(ids, draw(markets(ids)), draw(st.sampled_from([1, 2, 3, 4, 40])))


every_kind = pytest.mark.parametrize("kind", IdKind)


class KernelsContract:
    """Holds `Kernels` to the plain rule; inherit it and override the fixture *kernels*."""

    @pytest.fixture
    def kernels(self) -> Kernels:
        """Return the kernels to hold."""
        pytest.fail("override this fixture")

    @every_kind
    @_promise
    @given(data=st.data())
    def test_similar_items_are_those_of_the_plain_rule(
        self, kernels: Kernels, kind: IdKind, data: st.DataObject
    ) -> None:
        """Of every open item, and of others at once."""
        case, rule = data.draw(cases(kind)), data.draw(similarity_rules())

        found = similar(kernels, case, case.market.items, rule)

        assert found == [
            plain.similar_items(case.market, item, rule=rule, keep=case.keep)
            for item in case.market.items
        ]

    @every_kind
    @_promise
    @given(data=st.data())
    def test_homepages_are_those_of_the_plain_rule(
        self, kernels: Kernels, kind: IdKind, data: st.DataObject
    ) -> None:
        """Of users with and without interests."""
        case = data.draw(cases(kind))
        ranker = data.draw(st.just(CLASSIC) | rankers())
        rule = data.draw(st.sampled_from([InterestRule(), InterestRule(bid_weight=0)]))
        users = index_of_users(case.ids)

        found = homepages(kernels, case, users, ranker, rule)

        assert found == [
            plain.homepage(
                case.market,
                UserId(user_id),
                plain.interests_of(
                    UserId(user_id),
                    case.market.happened,
                    case.market.categories,
                    now=case.market.now,
                    rule=rule,
                ),
                ranker=ranker,
                keep=case.keep,
            )
            for user_id in users.ids
        ]

    @every_kind
    def test_an_empty_market_has_nothing_to_suggest(self, kernels: Kernels, kind: IdKind) -> None:
        """Neither beside an ended item nor to a user."""
        ids = IdKinds(user=kind, item=kind, category=kind)
        case = Case(ids, plain.PlainMarket(items=[], happened=[], now=NOW), keep=5)
        users = index_of_users(ids)
        ended = lot(IDS[kind][0], status=AuctionStatus.ENDED)

        assert similar(kernels, case, [ended], SimilarityRule()) == [[]]
        assert homepages(kernels, case, users, CLASSIC, InterestRule()) == [[]] * len(users)

    @every_kind
    @settings(_promise, max_examples=5)
    @given(data=st.data())
    def test_who_asks_for_nothing_gets_nothing(
        self, kernels: Kernels, kind: IdKind, data: st.DataObject
    ) -> None:
        """No originals and no users are a batch as well."""
        case = data.draw(cases(kind))
        nobody = index_of_users(case.ids, count=0)

        assert similar(kernels, case, [], SimilarityRule()) == []
        assert homepages(kernels, case, nobody, CLASSIC, InterestRule()) == []


def similar(
    kernels: Kernels, case: Case, items: Sequence[ItemCard], rule: SimilarityRule
) -> list[list[StoredLine]]:
    """Return what kernels suggest beside each of *items*."""
    market = open_market(case.market, case.ids)
    users = index_of_users(case.ids, count=len(IDS[case.ids.user]))
    owners = IdColumn.of(case.ids.item, [item.item_id for item in items])
    index = IdIndex.of(case.ids.item, owners)
    in_order = sorted(items, key=lambda item: index.code(item.item_id))
    ranked = kernels.similar_items(
        market,
        originals_of(market, in_order),
        of_originals=engagement_of(case.market.counted, case.ids, users, index),
        of_candidates=engagement_of(case.market.counted, case.ids, users, market.catalogue.items),
        rule=rule,
        keep=case.keep,
    )
    lists = ranked.named(market.catalogue.ids_at, index.ids, rule.recipe, NOW)
    found = lines_of(lists)
    return [found[index.code(item.item_id)] for item in items]


def homepages(
    kernels: Kernels, case: Case, users: IdIndex, ranker: Ranker, rule: InterestRule
) -> list[list[StoredLine]]:
    """Return what kernels suggest to each of *users*."""
    market = open_market(case.market, case.ids)
    profiles = profiles_of(case.market, case.ids, users, rule)
    ranked = kernels.homepages(market, profiles, ranker=ranker, keep=case.keep)
    return lines_of(ranked.named(market.catalogue.ids_at, users.ids, ranker.recipe, NOW))


def lines_of(lists: Lists) -> list[list[StoredLine]]:
    """Return lists as single values."""
    return [list(lists.stored(place).lines) for place in range(len(lists))]
