"""Which bid or watch of the user explains a line of their homepage most."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property

import attrs
import numpy as np

from angle_reco.domain.activity import TouchedItem
from angle_reco.domain.arrays import Bools, Int32s, Int64s, ragged_ranges, starts_of_runs
from angle_reco.domain.columns import NONE, IdColumn
from angle_reco.domain.ids import IdKinds, ItemId, UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.moments import HOUR, to_micros
from angle_reco.domain.scoring.blended.hashes import hashes_of
from angle_reco.domain.scoring.blended.model import Coefficients, Model
from angle_reco.domain.scoring.blended.tastes import RECENCY, powers
from angle_reco.domain.scoring.blended.titles import TitleRows, hashed, title_rows
from angle_reco.domain.scoring.decay import decayed
from angle_reco.domain.scoring.interest import InterestRule
from angle_reco.domain.sentences import shortened
from angle_reco.domain.stored_list import StoredList
from angle_reco.domain.whys import FEW, Because, Sources

EXPLAINED_BY_OWN = frozenset(
    {"interest", "taste", "follow", "sequence", "alike", "category", "title", "seller"}
)
"""The components that an own bid or watch explains."""


def lines_to_explain(stored: StoredList) -> list[tuple[str, ...]]:
    """Return for each line the components that an own item may explain, the largest first."""
    names = stored.recipe.components
    parts = np.frombuffer(stored.parts, np.int32).reshape(len(stored), len(names))
    places = [place for place, name in enumerate(names) if name in EXPLAINED_BY_OWN]
    if not places:
        return [()] * len(stored)
    order = np.argsort(-parts[:, places], axis=1, kind="stable").tolist()
    own = [names[place] for place in places]
    counts = (parts[:, places] > 0).sum(axis=1).tolist()
    return [
        tuple([own[one] for one in row[:count]]) for row, count in zip(order, counts, strict=True)
    ]


@attrs.frozen(kw_only=True, eq=False)
class OwnItems:
    """The items that a user *touched*, the newest first, and what explains *listed* ones by them.

    *cards* has the cards of the listed items. *model* is the trained model, None without; then
    only categories and sellers explain.
    """

    user_id: UserId
    touched: Sequence[TouchedItem]
    listed: tuple[ItemId, ...]
    cards: Mapping[ItemId, ItemCard]
    ids: IdKinds
    rule: InterestRule
    now: datetime
    model: Model | None
    _made: dict[tuple[str, int], Because] = attrs.field(factory=dict, init=False)

    def sources(self, lines: Sequence[tuple[str, ...]]) -> Sources:
        """Return what explains each line of the list, by the components of `lines_to_explain`."""
        found = [
            None if card is None else self._source(card, components)
            for card, components in zip(map(self.cards.get, self.listed), lines, strict=True)
        ]
        return Sources(self.listed, tuple(found))

    def _source(self, card: ItemCard, components: tuple[str, ...]) -> Because | None:
        for name in components:
            found = _RULES[name](self, card)
            if found is not None:
                return found
        return None

    def by_interest(self, card: ItemCard) -> Because | None:
        """Return the item of the category whose newest bid or watch counts most."""
        return self._because(self._by_weight.get(card.category_id))

    def by_category(self, card: ItemCard) -> Because | None:
        """Return the newest item of the category."""
        return self._because(self._first_of_category.get(card.category_id))

    def by_seller(self, card: ItemCard) -> Because | None:
        """Return the newest item of the seller."""
        place = None if card.seller_id is None else self._first_of_seller.get(card.seller_id)
        return None if place is None else self._named("seller_of_yours", place)

    def by_title(self, card: ItemCard) -> Because | None:
        """Return the item whose title has most in common, as the component counts it."""
        if self.model is None:
            return None
        row = title_rows(*hashed([card.title]), self.model.items.rarities)
        words = row.combined(np.zeros(1, np.int32), np.ones(1, np.int64))
        factors = powers(7)[: len(self.touched)]
        products = self._titles.products(words.by_bucket, np.arange(len(factors)))
        place = _largest(products // 1_000 * factors)
        return None if place is None else self._named("similar_to", place)

    def by_taste(self, card: ItemCard) -> Because | None:
        """Return the item of which the component comes most, or one of the category."""
        return self._by_coefficients(card, self._best_by_taste) or self.by_category(card)

    def by_following(self, card: ItemCard) -> Because | None:
        """Return the same of the component `follow`."""
        return self._by_coefficients(card, self._best_by_following) or self.by_category(card)

    def by_sequence(self, card: ItemCard) -> Because | None:
        """Return the same of the component `sequence`."""
        return self._by_coefficients(card, self._best_by_sequence) or self.by_category(card)

    def by_neighbours(self, card: ItemCard) -> Because | None:
        """Return the item that most of those want who want this one, three other users at least."""
        model = self.model
        target = NONE if model is None else self._code_of(card)
        if model is None or target == NONE:
            return None
        fans = model.neighbours.fans
        wants_both = fans.users[fans.offsets[target] : fans.offsets[target + 1]]
        wants_both = wants_both[wants_both != self._known_as]
        starts = fans.offsets[self._codes]
        lengths = np.where(self._is_known, fans.offsets[self._codes + 1] - starts, 0)
        users = fans.users[ragged_ranges(starts, lengths)]
        source = np.repeat(np.arange(len(lengths)), lengths)[np.isin(users, wants_both)]
        counts = np.bincount(source, minlength=len(lengths))
        place = _largest(counts)
        if place is None or counts[place] < FEW:
            return None
        return self._named("also_wanted", place)

    def _by_coefficients(self, card: ItemCard, best: tuple[dict[int, int], ...]) -> Because | None:
        if self.model is None or not best:
            return None
        by_item, by_kind = best
        target = self._code_of(card)
        place = by_item.get(target)
        if place is None and target != NONE:
            place = by_kind.get(int(self.model.items.kind[target]))
        return self._because(place)

    @cached_property
    def _best_by_taste(self) -> tuple[dict[int, int], ...]:
        model = self.model
        if model is None:
            return ()
        return self._best(model.taste, model.taste_of_kinds, np.ones(len(self.touched), np.int64))

    @cached_property
    def _best_by_following(self) -> tuple[dict[int, int], ...]:
        model = self.model
        if model is None:
            return ()
        return self._best(model.follow, model.follow_of_kinds, self._recency)

    @cached_property
    def _best_by_sequence(self) -> tuple[dict[int, int], ...]:
        model = self.model
        if model is None:
            return ()
        weights = np.zeros(len(self.touched), np.int64)
        factors = powers(8)[: len(weights)]
        weights[: len(factors)] = factors // 1_000
        return self._best(model.sequence, model.follow_of_kinds, weights)

    def _best(
        self, of_items: Coefficients, of_kinds: Coefficients, weights: Int64s
    ) -> tuple[dict[int, int], ...]:
        """Return the place of the touched item that says most, by listed item and by its kind."""
        assert self.model is not None
        kind = self.model.items.kind
        listed = np.array([one for one in self._code_by_id.values() if one != NONE], np.int32)
        own_kinds = np.where(self._is_known, kind[self._codes], NONE)
        return (
            _most_of(of_items, listed, self._codes, self._is_known, weights),
            _most_of(of_kinds, kind[listed], own_kinds, own_kinds != NONE, weights),
        )

    def _because(self, place: int | None) -> Because | None:
        if place is None:
            return None
        name = "because_you_bid" if self.touched[place].is_bid else "because_you_watch"
        return self._named(name, place)

    def _named(self, name: str, place: int) -> Because:
        """Return a source, one object however many lines it explains."""
        made = self._made.get((name, place))
        if made is None:
            made = self._made[name, place] = Because(name, shortened(self.touched[place].title))
        return made

    @cached_property
    def _ages(self) -> Int64s:
        last_at = np.array([to_micros(one.last_at) for one in self.touched], np.int64)
        return to_micros(self.now) - last_at

    @cached_property
    def _by_weight(self) -> dict[object, int]:
        weights = [
            self.rule.bid_weight if one.is_bid else self.rule.watch_weight for one in self.touched
        ]
        counted = np.array(weights, np.int64) * (decayed(self.rule.decay, self._ages) // 1_000)
        counted[self._ages > self.rule.window.total_seconds() * 1_000_000] = 0
        # The newest of those that count the same comes first.
        order = np.argsort(-counted, kind="stable")
        return self._first("category_id", [one for one in order.tolist() if counted[one] > 0])

    @cached_property
    def _first_of_category(self) -> dict[object, int]:
        return self._first("category_id", range(len(self.touched)))

    @cached_property
    def _first_of_seller(self) -> dict[object, int]:
        return self._first("seller_id", range(len(self.touched)))

    def _first(self, field: str, places: Sequence[int]) -> dict[object, int]:
        found: dict[object, int] = {}
        for place in places:
            key = getattr(self.touched[place], field)
            if key is not None:
                found.setdefault(key, place)
        return found

    @cached_property
    def _codes(self) -> Int32s:
        """Return the codes of the touched items in the model, 0 for one that it does not know."""
        return np.where(self._is_known, self._raw_codes, 0)

    @cached_property
    def _is_known(self) -> Bools:
        known: Bools = self._raw_codes != NONE
        return known

    @cached_property
    def _raw_codes(self) -> Int32s:
        return self._codes_of([one.item_id for one in self.touched])

    @cached_property
    def _known_as(self) -> int:
        assert self.model is not None
        column = IdColumn.of(self.ids.user, [self.user_id])
        return int(self.model.users.codes(hashes_of(column))[0])

    @cached_property
    def _recency(self) -> Int64s:
        hours = -self._ages // HOUR
        return decayed(RECENCY, (hours[:1] - hours) * HOUR) // 1_000

    @cached_property
    def _titles(self) -> TitleRows:
        assert self.model is not None
        titles = [one.title for one in self.touched]
        return title_rows(*hashed(titles), self.model.items.rarities)

    @cached_property
    def _code_by_id(self) -> dict[ItemId, int]:
        return dict(zip(self.listed, self._codes_of(self.listed).tolist(), strict=True))

    def _code_of(self, card: ItemCard) -> int:
        return self._code_by_id[card.item_id]

    def _codes_of(self, item_ids: Sequence[ItemId]) -> Int32s:
        assert self.model is not None
        return self.model.items.ids.codes(hashes_of(IdColumn.of(self.ids.item, item_ids)))


def _most_of(
    matrix: Coefficients, targets: Int32s, sources: Int32s, are_known: Bools, weights: Int64s
) -> dict[int, int]:
    """Return the place of the source that says most of each of *targets*; the first of equal ones.

    Targets of which no source says anything are missing.
    """
    known = np.flatnonzero(are_known)
    starts = matrix.offsets[sources[known]]
    lengths = matrix.offsets[sources[known] + 1] - starts
    places = ragged_ranges(starts, lengths)
    said_of, source = matrix.targets[places], np.repeat(known, lengths)
    said = matrix.values[places] * weights[source]
    is_target = np.zeros(len(matrix.offsets) - 1, np.bool_)
    is_target[targets[targets != NONE]] = True
    counts = is_target[said_of] & (said > 0)
    said_of, source, said = said_of[counts], source[counts], said[counts]
    order = np.lexsort((source, -said, said_of))
    first = order[starts_of_runs(said_of[order])]
    return dict(zip(said_of[first].tolist(), source[first].tolist(), strict=True))


def _largest(values: Int64s) -> int | None:
    """Return the place of the first largest value above 0."""
    place = int(np.argmax(values)) if len(values) else 0
    return place if len(values) and values[place] > 0 else None


_RULES: Mapping[str, Callable[[OwnItems, ItemCard], Because | None]] = {
    "interest": OwnItems.by_interest,
    "taste": OwnItems.by_taste,
    "follow": OwnItems.by_following,
    "sequence": OwnItems.by_sequence,
    "alike": OwnItems.by_neighbours,
    "category": OwnItems.by_category,
    "title": OwnItems.by_title,
    "seller": OwnItems.by_seller,
}
