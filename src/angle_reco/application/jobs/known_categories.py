"""The categories of items, each read once for a whole run."""

import attrs
import numpy as np

from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import IdKinds
from angle_reco.domain.scoring.interest import ItemCategories
from angle_reco.ports.catalog import CatalogQueries


@attrs.frozen
class _Known:
    """Items, and the category of each."""

    items: IdIndex
    of_items: ItemCategories

    def and_of(self, ids: IdKinds, items: IdIndex, of_items: ItemCategories) -> "_Known":
        """Return them with the categories of more items."""
        both = (self.items, self.of_items), (items, of_items)
        index = IdIndex.of(ids.item, self.items.ids, items.ids)
        categories = IdIndex.of(ids.category, *(one.categories.ids for _, one in both))
        codes = np.full(len(index), NONE, np.int32)
        for some, of_some in both:
            # The last element is for no category.
            code_of = np.append(categories.codes(of_some.categories.ids), np.int32(NONE))
            codes[index.codes(some.ids)] = code_of[of_some.codes]
        return _Known(index, ItemCategories(categories=categories, codes=codes))


@attrs.define
class KnownCategories:
    """Returns the categories of items, and keeps them: users of one batch act on those of another.

    Threads may ask at the same time; an item may then be read twice.
    """

    ids: IdKinds
    catalog: CatalogQueries
    _known: _Known = attrs.field(init=False, repr=False)

    @_known.default
    def _nothing(self) -> _Known:
        return _Known(IdIndex.of(self.ids.item), ItemCategories.of(self.ids, []))

    def __call__(self, items: IdColumn) -> ItemCategories:
        """Return the category of each of *items*, in order; NONE for an unknown item."""
        known = self._known
        codes = known.items.codes(items)
        missing = codes == NONE
        if missing.any():
            more = IdIndex.of(items.kind, items.take(missing))
            known = known.and_of(self.ids, more, self.catalog.categories(more.ids))
            self._known, codes = known, known.items.codes(items)
        return ItemCategories(
            categories=known.of_items.categories, codes=known.of_items.codes[codes]
        )
