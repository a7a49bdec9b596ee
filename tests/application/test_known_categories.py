"""The categories of items that a run has read are those of the catalogue, read once."""

import attrs
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.application.jobs.batches import KnownCategories
from angle_reco.domain.columns import NONE, IdColumn
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.scoring.interest import ItemCategories

IDS = IdKinds(user=IdKind.INT, item=IdKind.INT, category=IdKind.TEXT)
CATEGORIES = {1: "art", 2: "toys", 3: None, 4: "art", 5: "cars", 6: None}


@attrs.define
class Catalog:
    """A catalogue that counts what it was asked for."""

    asked: list[int] = attrs.field(factory=list)

    def categories(self, items: IdColumn) -> ItemCategories:
        """Return the category of each item, in order."""
        listed = [int(str(one)) for one in items]
        self.asked += listed
        return ItemCategories.of(IDS, [CATEGORIES.get(one) for one in listed])


@given(st.lists(st.lists(st.integers(0, 7), max_size=9), max_size=5))
def test_each_item_is_read_once(batches: list[list[int]]) -> None:
    catalog = Catalog()
    known = KnownCategories(IDS, catalog)  # type: ignore[arg-type]  # the method that is asked

    for batch in batches:
        found = known(IdColumn.of(IdKind.INT, batch))

        names = [*found.categories.ids.to_list(), None]
        assert [names[code] for code in found.codes] == [CATEGORIES.get(one) for one in batch]
        assert all(NONE <= code < len(found.categories) for code in found.codes)
    assert sorted(catalog.asked) == sorted({one for batch in batches for one in batch})
