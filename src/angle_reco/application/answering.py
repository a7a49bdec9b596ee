"""From a list of suggestions to a shelf: what is usable, what may be shown, and how it looks."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import attrs

from angle_reco.application.computing import Computing, popular_owner
from angle_reco.domain import (
    CategoryId,
    Freshness,
    IdKinds,
    ItemCard,
    ItemId,
    ItemNotFoundError,
    ListKind,
    Recipe,
    Shelf,
    StoredLine,
    StoredList,
    Suggestion,
    UserId,
    freshness_of,
    may_be_shown,
)
from angle_reco.ports import CatalogQueries, Clock, ListStore, StoredInterests
from angle_reco.settings import Settings

CardLoader: TypeAlias = Callable[[Sequence[Any]], Mapping[Any, Any]]
"""A host's own way from item ids to its objects; what it leaves out is not shown."""


@attrs.frozen
class Line:
    """One suggestion that may be shown, and what the parts of its score are called."""

    stored: StoredLine
    card: ItemCard
    components: tuple[str, ...]


@attrs.frozen
class Viewing:
    """For whom an answer is filtered, and whether what they bid on or watch may be in it."""

    viewer: UserId | None
    engaged_too: bool


@attrs.frozen(kw_only=True)
class Answering:
    """What every reading call does with lists, wherever they come from."""

    lists: ListStore
    catalog: CatalogQueries
    computing: Computing
    clock: Clock
    settings: Settings
    as_of: datetime | None = None

    @property
    def ids(self) -> IdKinds:
        """Return which kinds of ids there are."""
        return self.settings.ids

    def usable(self, kind: ListKind, owner: object) -> tuple[StoredList, Freshness] | None:
        """Return the stored list of an owner, None when it cannot be used.

        That is when it is missing, of another recipe, or too old to be shown.
        """
        stored = self.lists.read(kind, [owner]).get(owner)
        freshness = self.freshness(kind, stored)
        return None if stored is None or freshness is None else (stored, freshness)

    def freshness(self, kind: ListKind, stored: StoredList | None) -> Freshness | None:
        """Return how fresh a list is, None when it cannot be used."""
        if stored is None or stored.recipe != self.computing.recipes.lists[kind]:
            return None
        return freshness_of(
            stored.computed_at,
            covered_at=stored.covered_at,
            now=self.clock.now(),
            limits=self.settings.freshness[kind],
        )

    def may_use_interests(self, stored: StoredInterests | None) -> bool:
        """Return whether there are stored interests that can be used."""
        if stored is None or stored.recipe != self.computing.recipes.interests:
            return False
        freshness = freshness_of(
            stored.computed_at,
            covered_at=stored.covered_at,
            now=self.clock.now(),
            limits=self.settings.interests_freshness,
        )
        return freshness is not None

    def cards(self, item_ids: Iterable[ItemId], viewer: UserId | None) -> Mapping[ItemId, ItemCard]:
        """Return the cards of items, as of now."""
        return self.catalog.cards(
            list(item_ids), at=self.clock.now(), until=self.as_of, viewer=viewer
        )

    def card(self, item_id: ItemId, viewer: UserId | None) -> ItemCard:
        """Return the card of one item.

        Raises:
            ItemNotFoundError: There is no such item.
        """
        return found(item_id, self.cards([item_id], viewer))

    def shown(
        self,
        lines: Iterable[StoredLine],
        recipe: Recipe,
        cards: Mapping[ItemId, ItemCard],
        viewing: Viewing,
        *,
        limit: int,
        without: Collection[ItemId] = (),
    ) -> list[Line]:
        """Return the first *limit* lines that may be shown."""
        now, chosen = self.clock.now(), list[Line]()
        for line in lines:
            card = cards.get(line.item_id)
            if len(chosen) == limit:
                break
            if (
                card is not None
                and line.item_id not in without
                and may_be_shown(
                    card, viewer=viewing.viewer, now=now, engaged_too=viewing.engaged_too
                )
            ):
                chosen.append(Line(line, card, recipe.components))
        return chosen

    def popular(
        self,
        category: CategoryId | None,
        viewing: Viewing,
        *,
        limit: int,
        without: Collection[ItemId] = (),
    ) -> tuple[list[Line], Freshness]:
        """Return popular lines, of everything or of a category: stored ones, else computed."""
        recipe = self.computing.recipes.lists[ListKind.POPULAR]
        usable = self.usable(ListKind.POPULAR, popular_owner(category))
        if usable is not None:
            stored, freshness = usable
            cards = self.cards([line.item_id for line in stored.lines], viewing.viewer)
            lines = self.shown(stored.lines, recipe, cards, viewing, limit=limit, without=without)
            if len(lines) == limit or stored.is_complete:
                return lines, freshness
        market = self.computing.market()
        # All of them: how many may not be shown is known when their cards are.
        ranked = self.computing.popular(market, category=category, keep=len(market)).stored(0)
        lines = []
        for first in range(0, len(ranked.lines), _CARDS_AT_ONCE):
            some = ranked.lines[first : first + _CARDS_AT_ONCE]
            cards = self.cards([line.item_id for line in some], viewing.viewer)
            lines += self.shown(
                some, recipe, cards, viewing, limit=limit - len(lines), without=without
            )
            if len(lines) == limit:
                break
        return lines, Freshness.COMPUTED

    def shelf(
        self, lines: Sequence[Line], freshness: Freshness, loader: CardLoader | None
    ) -> Shelf:
        """Return lines as a shelf, with the host's own cards where it loads them itself."""
        if loader is None:
            cards: Mapping[Any, Any] = {line.card.item_id: line.card for line in lines}
        else:
            cards = loader([line.card.item_id for line in lines])
        kept = [line for line in lines if line.stored.item_id in cards]
        return Shelf(
            tuple(
                Suggestion(
                    rank=rank,
                    item_id=line.stored.item_id,
                    card=cards[line.stored.item_id],
                    score=line.stored.score,
                    reason=line.stored.reason,
                    source=line.stored.source,
                    contributions=line.stored.contributions(line.components),
                )
                for rank, line in enumerate(kept, start=1)
            ),
            freshness=freshness,
        )


def found(item_id: ItemId, cards: Mapping[ItemId, ItemCard]) -> ItemCard:
    """Return the card of an item that has to be there.

    Raises:
        ItemNotFoundError: There is no such item.
    """
    card = cards.get(item_id)
    if card is None:
        raise ItemNotFoundError(item_id)
    return card


_CARDS_AT_ONCE = 500
