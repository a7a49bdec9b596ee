"""Results computed from the host's data, for jobs to store and for calls to fall back on."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from angle_reco.application.trained_models import Ranking, Rankings
from angle_reco.domain.activity import Bid, History, Interactions, is_own_bid, unconfirmed
from angle_reco.domain.arrays import Int64s
from angle_reco.domain.availability import open_rows
from angle_reco.domain.catalogue import Catalogue, OpenCards
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.freshness import freshness_of
from angle_reco.domain.ids import CategoryId, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.lists import ListKind, Lists, Recipes
from angle_reco.domain.moments import HOUR, to_micros
from angle_reco.domain.popular import POPULAR_KEPT, rank_popular, rank_popular_by_category
from angle_reco.domain.scoring.blended.hashes import hashes_of
from angle_reco.domain.scoring.blended.model import Model, TouchCounts
from angle_reco.domain.scoring.blended.signals import Signals
from angle_reco.domain.scoring.blended_ranker import SIMILAR_BLENDED
from angle_reco.domain.scoring.blended_similar import as_similar, profiles_of_items
from angle_reco.domain.scoring.interest import Interests, ItemCategories, score_interests
from angle_reco.domain.scoring.market import OpenMarket
from angle_reco.domain.scoring.popularity import fading_demand, plain_demand
from angle_reco.domain.scoring.profiles import Profiles
from angle_reco.domain.scoring.similarity import Engagement, Originals
from angle_reco.ports.activity import ActivityQueries, Span
from angle_reco.ports.catalog import CatalogQueries
from angle_reco.ports.clock import Clock
from angle_reco.ports.kernels import Kernels, Similarities
from angle_reco.ports.stores import StoredInterests
from angle_reco.settings import Settings

_CARDS_AT_ONCE = 10_000

CategoriesOf: TypeAlias = Callable[[IdColumn], ItemCategories]
"""Returns the category of each of some items, as `CatalogQueries.categories` does."""


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
    rankings: Rankings = attrs.field(init=False)

    @recipes.default
    def _recipes_of_settings(self) -> Recipes:
        return self.settings.recipes(self.as_of)

    @rankings.default
    def _rankings_of_settings(self) -> Rankings:
        return Rankings(settings=self.settings, as_of=self.as_of)

    def market(self, model: Model | None = None) -> OpenMarket:
        """Return the market of the items that are open now, with what a *model* says of them."""
        now, rule = self.clock.now(), self.settings.popularity
        listed = self.catalog.may_be_open(now, until=self.as_of, counting=rule.counting)
        market = self.market_of(listed.where(open_rows(listed, now)), now)
        return market if model is None else self.with_signals(market, model)

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

    def everything(self) -> Interactions:
        """Return all bids and watches."""
        return self._drained()

    def active_users(self, since: datetime) -> IdColumn:
        """Return the users who bid or began to watch since a moment, some more than once."""
        return self._drained(since=since).users

    def activity_within(self, spans: Sequence[Span]) -> Interactions:
        """Return all bids and watches of some spans of time."""
        return self._drained(within=spans)

    def concerned_by(self, items: Sequence[ItemId]) -> IdColumn:
        """Return the users who bid on items or watch them, and the sellers, some repeatedly."""
        ids = self.settings.ids
        happened = self._drained(items=IdColumn.of(ids.item, items))
        return IdColumn.joined(
            ids.user, [happened.users, self._listed(items).catalogue.sellers.ids]
        )

    def trained(self, happened: Interactions, items: OpenCards) -> Model:
        """Return a model of what happened, with *items* of `touched_items`."""
        return self.kernels.trained(happened, items, now=to_micros(self.clock.now()))

    def touched_items(self, happened: Interactions) -> OpenCards:
        """Return the items in *happened*, open or not."""
        return self._cards(IdIndex.of(happened.items.kind, happened.items).ids)

    def touches(self, market: OpenMarket) -> TouchCounts:
        """Return the touches of the items of a market, counted now."""
        happened = self._drained(items=market.catalogue.items.ids)
        users = _index_of_users(happened).codes(happened.users)
        return TouchCounts.of(users, hashes_of(happened.items), happened.moments // HOUR)

    def with_signals(self, market: OpenMarket, model: Model) -> OpenMarket:
        """Return the market with what a trained model says of its items."""
        # An item may be gone since the market was read; it has no title.
        cards = self._cards(market.catalogue.items.ids)
        titles = np.full(len(market), "", object)
        titles[market.catalogue.items.codes(cards.catalogue.items.ids)] = cards.titles
        return self.with_titles(market, model, titles)

    def with_titles(
        self, market: OpenMarket, model: Model, titles: npt.NDArray[np.object_]
    ) -> OpenMarket:
        """Return the market with what a trained model says of its items, which have *titles*."""
        signals = Signals.of(model, market.catalogue, titles, now=to_micros(market.now))
        return attrs.evolve(market, signals=signals)

    def ranking(self, market: OpenMarket) -> Ranking:
        """Return the ranking of homepages from the items of a market."""
        return self.rankings.of(None if market.signals is None else market.signals.model)

    def cards(
        self, item_ids: Collection[ItemId], viewer: UserId | None = None
    ) -> Mapping[ItemId, ItemCard]:
        """Return the cards of items as of now, for a *viewer* with what they engaged with."""
        return self.catalog.cards(item_ids, at=self.clock.now(), until=self.as_of, viewer=viewer)

    def history(self, user_id: UserId, *, newest: int | None = None) -> History:
        """Return what a user did, with the items; or the *newest* bids and watches alone."""
        return self.activity.history(user_id, until=self.as_of, newest=newest)

    def _cards(self, items: IdColumn) -> OpenCards:
        """Return items, open or not, in the order of their ids."""
        return self._listed([ItemId(one) for one in items])

    def _listed(self, items: Sequence[ItemId]) -> OpenCards:
        cards = list[ItemCard]()
        for first in range(0, len(items), _CARDS_AT_ONCE):
            some = items[first : first + _CARDS_AT_ONCE]
            cards += self.cards(some).values()
        return OpenCards.of_cards(self.settings.ids, cards, self.settings.prices)

    def interests(self, users: IdColumn, *, assumed: Iterable[Bid] = ()) -> Interests:
        """Return the interests of *users*; bids that are only *assumed* count, too."""
        ids, happened = self.settings.ids, self.recent_activity(users)
        return self.interests_from(
            Interactions.joined(ids, [happened, Interactions.of(ids, assumed)])
        )

    def is_usable(self, stored: StoredInterests | None) -> bool:
        """Return whether stored interests exist, have the current recipe and are not too old."""
        if stored is None or stored.recipe != self.recipes.interests:
            return False
        freshness = freshness_of(
            stored.computed_at,
            covered_at=stored.covered_at,
            now=self.clock.now(),
            limits=self.settings.interests_freshness,
        )
        return freshness is not None

    def recent_activity(self, users: IdColumn) -> Interactions:
        """Return what *users* did within the time that the interest rule counts."""
        since = self.clock.now() - self.settings.interest.window
        return self._drained(since=since, users=users)

    def of_user(
        self,
        user_id: UserId,
        *,
        assumed: Iterable[Bid] = (),
        pending: Iterable[Bid] = (),
        known: Mapping[ItemId, ItemCard] = MappingProxyType({}),
    ) -> tuple[Interests, frozenset[ItemId]]:
        """Return a user's interests, and the items that the user bid on or watches.

        *assumed* bids count, and pending bids (*pending*) unless the activity shows them. The
        cards of the items of both are read unless they are *known*.
        """
        ids = self.settings.ids
        history = self.history(user_id)
        happened = history.interactions
        engaged = frozenset(ItemId(one) for one in happened.items)
        more = self.counted([*assumed, *unconfirmed(pending, happened)], known)
        if not more:
            return self._interests_of(history), engaged
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
            cards |= self.cards(unknown)
        sellers = {one.item_id: one.seller_id for one in cards.values()}
        return [one for one in bids if not is_own_bid(one, sellers.get(one.item_id))]

    def profiles(
        self, market: OpenMarket, users: IdIndex, *, categories: CategoriesOf | None = None
    ) -> Profiles:
        """Return the profiles of *users* that a ranker needs, from all of their activity."""
        happened = self._drained(users=users.ids)
        interests = self.interests_from(happened, categories=categories)
        return Profiles.of(users, interests=interests, interactions=happened, market=market)

    def profile(self, market: OpenMarket, user_id: UserId, history: History) -> Profiles:
        """Return the profile of one user from their activity."""
        return Profiles.of(
            IdIndex(IdColumn.of(self.settings.ids.user, [user_id])),
            interests=self._interests_of(history),
            interactions=history.interactions,
            market=market,
        )

    def homepages(self, market: OpenMarket, profiles: Profiles, *, keep: int) -> Lists:
        """Return the homepages of the users of *profiles*.

        Raises:
            ComponentError: A component of the ranker failed.
        """
        ranking = self.ranking(market)
        pages = self.kernels.homepages(market, profiles, ranker=ranking.ranker, keep=keep)
        return attrs.evolve(pages, recipe=ranking.recipe)

    def similar_by_model(self, market: OpenMarket, items: IdColumn) -> Lists | None:
        """Return the similar items of those of *items* that a model knows, None without one.

        Raises:
            ComponentError: A component failed.
        """
        if market.signals is None:
            return None
        model = market.signals.model
        codes = model.items.ids.codes(hashes_of(items))
        known = codes != NONE
        profiles = profiles_of_items(items.take(known), codes[known], market)
        ranker = SIMILAR_BLENDED
        lists = self.kernels.homepages(market, profiles, ranker=ranker, keep=ranker.kept)
        recipe = attrs.evolve(self.rankings.similar, model=model.version)
        return attrs.evolve(as_similar(lists, ranker), recipe=recipe)

    def similarities(self, market: OpenMarket, engagement: Engagement) -> Similarities:
        """Prepare the similar items of the open items, by the rule."""
        rule = self.settings.similarity
        return self.kernels.similarities(market, engagement, rule=rule, keep=rule.kept)

    def similar_to_rows(self, similarities: Similarities, rows: Int64s) -> Lists:
        """Return the similar items of the open items in *rows*, by the rule."""
        return self._with_recipe(ListKind.SIMILAR, similarities.of(rows))

    def similar_to_one(self, market: OpenMarket, item: ItemCard) -> Lists:
        """Return the similar items of one item, open or not."""
        ids, catalogue = self.settings.ids, market.catalogue
        if self.rankings.is_similar_learned:
            learned = self.similar_by_model(market, IdColumn.of(ids.item, [item.item_id]))
            if learned is not None and len(learned):
                return learned
        category = NONE if item.category_id is None else catalogue.categories.code(item.category_id)
        fans = self.activity.engaged_users([item.item_id], until=self.as_of)[item.item_id]
        users = IdIndex.of(ids.user, IdColumn.of(ids.user, fans))
        of_candidates = self._engagement(self._drained(users=users.ids), users, catalogue.items)
        row = catalogue.items.code(item.item_id)
        shares = np.arange(len(users), dtype=np.int32)
        if row != NONE:
            shares = np.unique(of_candidates.users[of_candidates.places == row])
        rule = self.settings.similarity
        lists = self.kernels.similar_items(
            market,
            Originals(
                ids=IdColumn.of(ids.item, [item.item_id]),
                category=np.array([category], np.int32),
                prices=np.array([self.settings.prices.units_of(item.price)]),
            ),
            of_originals=Engagement(users=shares, places=np.zeros(len(shares), np.int32)),
            of_candidates=of_candidates,
            rule=rule,
            keep=rule.kept,
        )
        return self._with_recipe(ListKind.SIMILAR, lists)

    def engagement(self, market: OpenMarket) -> Engagement:
        """Return which users engaged with which open item, as the rule of similarity counts."""
        happened = self._drained(items=market.catalogue.items.ids)
        return self._engagement(happened, _index_of_users(happened), market.catalogue.items)

    def _engagement(self, happened: Interactions, users: IdIndex, items: IdIndex) -> Engagement:
        user, row = users.codes(happened.users), items.codes(happened.items)
        both = (user != NONE) & (row != NONE)
        return Engagement.of_newest(
            user[both],
            row[both],
            kinds=happened.kinds[both],
            moments=happened.moments[both],
            most=self.settings.similarity.history_length,
        )

    def popular(
        self, market: OpenMarket, *, category: CategoryId | None = None, keep: int
    ) -> Lists:
        """Return the most popular items, of all or of one category, as a single list."""
        lists = rank_popular(market, keep=keep, category=category)
        return self._with_recipe(ListKind.POPULAR, lists)

    def popular_of_each(self, market: OpenMarket) -> tuple[Lists, Lists]:
        """Return the popular items of all, and a list for each category with open items."""
        by_category = rank_popular_by_category(market, keep=POPULAR_KEPT)
        return (
            self.popular(market, keep=POPULAR_KEPT),
            self._with_recipe(ListKind.POPULAR, by_category),
        )

    def _with_recipe(self, kind: ListKind, lists: Lists) -> Lists:
        """Return *lists* with the recipe that covers all settings involved."""
        return attrs.evolve(lists, recipe=self.recipes.lists[kind])

    def interests_from(
        self, happened: Interactions, *, categories: CategoriesOf | None = None
    ) -> Interests:
        """Return the interests of the users in *happened*; *categories* are of items, if known."""
        recent = self._counting_as_interest(happened)
        of_items = categories or self.catalog.categories
        return self._interests(recent, of_items(recent.items))

    def _interests_of(self, history: History) -> Interests:
        recent = self._counting_as_interest(history.interactions)
        known = [history.items.get(ItemId(one)) for one in recent.items]
        categories = [one and one.category_id for one in known]
        return self._interests(recent, ItemCategories.of(self.settings.ids, categories))

    def _counting_as_interest(self, happened: Interactions) -> Interactions:
        since = self.clock.now() - self.settings.interest.window
        return happened.where(happened.moments >= to_micros(since))

    def _interests(self, recent: Interactions, categories: ItemCategories) -> Interests:
        now, rule = self.clock.now(), self.settings.interest
        interests = score_interests(self.settings.ids, recent, categories, now=now, rule=rule)
        return attrs.evolve(interests, recipe=self.recipes.interests)

    def _drained(
        self,
        *,
        since: datetime | None = None,
        users: IdColumn | None = None,
        items: IdColumn | None = None,
        within: Sequence[Span] | None = None,
    ) -> Interactions:
        batches = self.activity.interactions(
            since=since, until=self.as_of, users=users, items=items, within=within
        )
        return Interactions.joined(self.settings.ids, batches)


def _index_of_users(happened: Interactions) -> IdIndex:
    return IdIndex.of(happened.users.kind, happened.users)
