"""Results computed from the host's data, for jobs to store and for calls to fall back on."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

import attrs
import numpy as np

from angle_reco.domain.activity import Bid, Interactions, is_own_bid, unconfirmed
from angle_reco.domain.availability import open_rows
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import CategoryId, IdKind, ItemId, UserId
from angle_reco.domain.items import Catalogue, ItemCard
from angle_reco.domain.lists import EVERYTHING, ListKind, Lists, Ranked, Recipes
from angle_reco.domain.moments import to_micros
from angle_reco.domain.popular import POPULAR_KEPT, rank_popular, rank_popular_by_category
from angle_reco.domain.prices import UNKNOWN_PRICE
from angle_reco.domain.scoring.interest import Interests, score_interests
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.popularity import fading_demand, plain_demand
from angle_reco.domain.scoring.ranking import Profiles
from angle_reco.domain.scoring.similarity import Engagement, Originals
from angle_reco.domain.stored_list import Recipe
from angle_reco.ports.activity import ActivityQueries
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.clock import Clock
from angle_reco.ports.kernels import Kernels
from angle_reco.settings import Settings


@attrs.frozen(kw_only=True)
class Scorer:
    """Computes results from the ports, by the rules of the settings.

    With *as_of* later data does not exist: no bid, no item, no user.
    """

    activity: ActivityQueries
    catalog: CatalogQueries
    kernels: Kernels
    clock: Clock
    settings: Settings
    as_of: datetime | None = None
    recipes: Recipes = attrs.field(init=False)

    @recipes.default
    def _recipes_of_settings(self) -> Recipes:
        return self.settings.recipes(self.as_of)

    def market(self) -> OpenMarket:
        """Return the market of the items that are open now."""
        now, rule = self.clock.now(), self.settings.popularity
        listed = self.catalog.may_be_open(now, until=self.as_of, counting=rule.counting)
        return self.market_of(listed.where(open_rows(listed, now)), now)

    def market_of(self, catalogue: Catalogue, now: datetime) -> OpenMarket:
        """Return the market of a catalogue of open items, with the demand for them at *now*."""
        rule = self.settings.popularity
        if rule.half_life is None:
            demand = plain_demand(catalogue)
        else:
            happened = self._drained(items=catalogue.items.ids)
            demand = fading_demand(
                len(catalogue),
                rows=catalogue.items.codes(happened.items),
                users=_index_of_users(happened).codes(happened.users),
                kinds=happened.kinds,
                ages=to_micros(now) - happened.moments,
                rule=rule,
            )
        return OpenMarket(catalogue=catalogue, demand=demand, rule=rule, now=now)

    def interests(self, users: IdColumn, *, supposed: Iterable[Bid] = ()) -> Interests:
        """Return the interests of *users*; bids that are only *supposed* count, too."""
        ids, happened = self.settings.ids, self.recent_activity(users)
        return self.interests_from(
            Interactions.joined(ids, [happened, Interactions.of(ids, supposed)])
        )

    def recent_activity(self, users: IdColumn) -> Interactions:
        """Return what *users* did within the time that the interest rule counts."""
        since = self.clock.now() - self.settings.interest.window
        return self._drained(since=since, users=users)

    def of_user(
        self,
        user_id: UserId,
        *,
        supposed: Iterable[Bid] = (),
        pending: Iterable[Bid] = (),
        known: Mapping[ItemId, ItemCard] = MappingProxyType({}),
    ) -> tuple[Interests, frozenset[ItemId]]:
        """Return a user's interests, and the items that the user bid on or watches.

        *supposed* bids count, and pending bids (*pending*) unless the activity shows them. The
        cards of the items of both are read unless they are *known*.
        """
        ids = self.settings.ids
        happened = self._drained(users=IdColumn.of(ids.user, [user_id]))
        engaged = frozenset(ItemId(one) for one in happened.items)
        more = self.counted([*supposed, *unconfirmed(pending, happened)], known)
        joined = Interactions.joined(ids, [happened, Interactions.of(ids, more)])
        return self.interests_from(joined), engaged

    def counted(
        self, bids: Sequence[Bid], known: Mapping[ItemId, ItemCard] = MappingProxyType({})
    ) -> Sequence[Bid]:
        """Return *bids* without those of sellers on their own items, which do not count.

        The activity port leaves such bids out already. Cards that are not *known* are read.
        """
        items = dict.fromkeys(one.item_id for one in bids)
        unknown = [one for one in items if one not in known]
        cards = {one: known[one] for one in items if one in known}
        if unknown:
            cards |= self.catalog.cards(unknown, at=self.clock.now(), until=self.as_of)
        sellers = {one.item_id: one.seller_id for one in cards.values()}
        return [one for one in bids if not is_own_bid(one, sellers.get(one.item_id))]

    def profiles(self, market: OpenMarket, users: IdIndex) -> Profiles:
        """Return the profiles of *users* that a ranker needs, from all of their activity."""
        happened = self._drained(users=users.ids)
        return Profiles.of(
            users, interests=self.interests_from(happened), interactions=happened, market=market
        )

    def homepages(
        self, market: OpenMarket, profiles: Profiles, users: IdColumn, *, keep: int
    ) -> Lists:
        """Return the homepages of *users*, which are the users of *profiles*."""
        ranker = self.settings.chosen_ranker
        ranked = self.kernels.homepages(market, profiles, ranker=ranker, keep=keep)
        return ranked.named(
            market.catalogue.ids_at, users, self._recipe(ListKind.PERSONAL), market.now
        )

    def similar_to_all(
        self, market: OpenMarket, engagement: Engagement, *, first: int, last: int
    ) -> Lists:
        """Return the similar items of the open items in rows [first, last)."""
        rule = self.settings.similarity
        among = (engagement.places >= first) & (engagement.places < last)
        ranked = self.kernels.similar_items(
            market,
            Originals.all_of(market.catalogue).between(first, last),
            of_originals=Engagement(
                users=engagement.users[among], places=engagement.places[among] - np.int32(first)
            ),
            of_candidates=engagement,
            rule=rule,
            keep=rule.kept,
        )
        owners = market.catalogue.ids_at(slice(first, last))
        return ranked.named(
            market.catalogue.ids_at, owners, self._recipe(ListKind.SIMILAR), market.now
        )

    def similar_to_one(self, market: OpenMarket, item: ItemCard) -> Lists:
        """Return the similar items of one item, open or not."""
        rule, catalogue = self.settings.similarity, market.catalogue
        row = catalogue.row_of(item.item_id)
        category = NONE if item.category_id is None else catalogue.categories.code(item.category_id)
        price = (
            UNKNOWN_PRICE
            if item.price is None
            else self.settings.prices.to_units(item.price, "price")
        )
        fans = self.activity.engaged_users([item.item_id], until=self.as_of)[item.item_id]
        users = IdIndex.of(self.settings.ids.user, IdColumn.of(self.settings.ids.user, fans))
        happened = self._drained(users=users.ids)
        ranked = self.kernels.similar_items(
            market,
            Originals(
                row=np.array([row]),
                category=np.array([category], np.int32),
                prices=np.array([price]),
            ),
            of_originals=Engagement(
                users=np.arange(len(users), dtype=np.int32), places=np.zeros(len(users), np.int32)
            ),
            of_candidates=_engagement(happened, users, catalogue.items),
            rule=rule,
            keep=rule.kept,
        )
        owner = IdColumn.of(self.settings.ids.item, [item.item_id])
        return ranked.named(catalogue.ids_at, owner, self._recipe(ListKind.SIMILAR), market.now)

    def engagement(self, market: OpenMarket) -> Engagement:
        """Return which users engaged with which open item, at any time."""
        happened = self._drained(items=market.catalogue.items.ids)
        return _engagement(happened, _index_of_users(happened), market.catalogue.items)

    def popular(
        self, market: OpenMarket, *, category: CategoryId | None = None, keep: int
    ) -> Lists:
        """Return the most popular items, of all or of one category, as a single list."""
        owner = popular_owner(category)
        code = NONE if category is None else market.catalogue.categories.code(category)
        if category is not None and code == NONE:
            keep = 0  # no item of the category is open
        ranked = rank_popular(market, keep=keep, category=code)
        return self._popular_lists(market, ranked, [owner])

    def popular_of_each(self, market: OpenMarket) -> tuple[Lists, Lists]:
        """Return the popular items of all, and a list for each category with open items."""
        ranked = rank_popular_by_category(market, keep=POPULAR_KEPT)
        # An adapter may name categories without open items: they get no list.
        filled = np.flatnonzero(np.diff(ranked.offsets))
        by_category = attrs.evolve(ranked, offsets=np.append(0, ranked.offsets[filled + 1]))
        owners = [
            popular_owner(CategoryId(one)) for one in market.catalogue.categories.ids.take(filled)
        ]
        return (
            self.popular(market, keep=POPULAR_KEPT),
            self._popular_lists(market, by_category, owners),
        )

    def _popular_lists(self, market: OpenMarket, ranked: Ranked, owners: list[str]) -> Lists:
        column = IdColumn.of(IdKind.TEXT, owners)
        return ranked.named(
            market.catalogue.ids_at, column, self._recipe(ListKind.POPULAR), market.now
        )

    def _recipe(self, kind: ListKind) -> Recipe:
        return self.recipes.lists[kind]

    def interests_from(self, happened: Interactions) -> Interests:
        """Return the interests of the users in *happened*."""
        now, rule = self.clock.now(), self.settings.interest
        recent = happened.where(happened.moments >= to_micros(now - rule.window))
        categories = self.catalog.categories(recent.items)
        interests = score_interests(self.settings.ids, recent, categories, now=now, rule=rule)
        return attrs.evolve(interests, recipe=self.recipes.interests)

    def _drained(
        self,
        *,
        since: datetime | None = None,
        users: IdColumn | None = None,
        items: IdColumn | None = None,
    ) -> Interactions:
        batches = self.activity.interactions(
            since=since, until=self.as_of, users=users, items=items
        )
        return Interactions.joined(self.settings.ids, batches)


def popular_owner(category: CategoryId | None) -> str:
    """Return the owner of a list of popular items: its category, or `EVERYTHING`."""
    return EVERYTHING if category is None else str(category)


def _index_of_users(happened: Interactions) -> IdIndex:
    return IdIndex.of(happened.users.kind, happened.users)


def _engagement(happened: Interactions, users: IdIndex, items: IdIndex) -> Engagement:
    user, row = users.codes(happened.users), items.codes(happened.items)
    both = (user != NONE) & (row != NONE)
    return Engagement(users=user[both], places=row[both])
