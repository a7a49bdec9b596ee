"""What the contract suites of `ListStore` share: fixtures, samples and helpers."""

import attrs
import pytest

from angle_reco.domain.lists import ListKind
from angle_reco.domain.stored_list import StoredLine, StoredList
from angle_reco.domain.suggestions import Reason, Source
from angle_reco.ports.stores import ListStore
from angle_reco.testing.contracts.samples import NOW, RECIPE, EveryIdKind, Sample


class EmptyListStore(EveryIdKind):
    """The fixtures of the suites; a subclass overrides the first."""

    @pytest.fixture
    def store(self, sample: Sample) -> ListStore:
        """Return the port under test, empty, with ids of `sample.ids`."""
        pytest.fail("override this fixture")

    @pytest.fixture(params=list(ListKind))
    def kind(self, request: pytest.FixtureRequest) -> ListKind:
        """Return the kind of lists that a promise is tested with."""
        return ListKind(request.param)


def edited(kept: StoredList | None, *lines: StoredLine) -> StoredList:
    """Return *kept*, or a new list, with exactly these lines and marked as edited."""
    kept = kept or StoredList.of([], recipe=RECIPE, computed_at=NOW)
    return kept.with_lines(lines, edited=True)


def override_line(sample: Sample, item: int, *, score: int = 500_000) -> StoredLine:
    """Return a manual line; *item* is a place in the sample."""
    return attrs.evolve(line(sample, item=item, score=score), parts=(0, 0), by_hand=True)


def line(sample: Sample, *, item: int = 0, score: int = 500_000) -> StoredLine:
    """Return a computed line; *item* is a place in the sample."""
    return StoredLine(
        item_id=sample.items[item],
        score=score,
        parts=(score, 0),
        reason=Reason.FAVOURITE_CATEGORY,
        source=Source.PERSONAL,
    )
