"""The contract suite of `ModelStore`."""

from collections.abc import Iterable
from decimal import Decimal
from random import Random

import attrs
import numpy as np
import pytest

from angle_reco.adapters.kernels import NumpyKernels
from angle_reco.domain.activity import Activity, Interactions
from angle_reco.domain.arrays import Int64s
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.catalogue import OpenCards
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import FencedOffError, ModelError
from angle_reco.domain.ids import UserId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.moments import DAY as DAY_OF_MICROS
from angle_reco.domain.moments import to_micros
from angle_reco.domain.prices import PriceScale
from angle_reco.domain.runs import Fence
from angle_reco.domain.scoring.blended.columns import columns_of
from angle_reco.domain.scoring.blended.hashes import hashes_of
from angle_reco.domain.scoring.blended.model import Model, TouchCounts
from angle_reco.ports.erasure import Erasure
from angle_reco.ports.models import ModelStore, Trained, TunedWeights
from angle_reco.testing.contracts.samples import DAY, HOUR, NOW, EveryIdKind, Sample


@attrs.frozen(kw_only=True)
class ModelStores:
    """The store under test, and the erasure that removes users from it."""

    models: ModelStore
    erasure: Erasure


class ModelStoreContract(EveryIdKind):
    """The promises of `ModelStore`; a subclass overrides the fixture *stores*."""

    @pytest.fixture
    def stores(self, sample: Sample) -> ModelStores:
        """Return the stores, empty, with ids of `sample.ids`."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def store(self, stores: ModelStores) -> ModelStore:
        """Return the port under test."""
        return stores.models

    def test_nothing_is_stored_before_the_first_model(self, store: ModelStore) -> None:
        assert store.trained() == Trained(model=None, weights=None)
        store.remove()
        store.write_weights(None)
        store.write_touches(no_touches(), counted_at=NOW)
        assert store.trained() == Trained(model=None, weights=None)

    def test_a_written_model_is_read_to_the_bit(self, store: ModelStore, sample: Sample) -> None:
        model = model_of(sample, sample.users)

        head = store.write(model, trained_at=NOW, people=people_of(sample))

        assert store.trained() == Trained(model=head, weights=None)
        assert (head.trained_at, head.counted_at) == (NOW, NOW)
        assert head.size >= sum(one.nbytes for one in columns_of(model).values()) // 2
        read = store.read(head)
        assert values_of(read) == values_of(model)
        assert read.version == head.version
        assert touches_in(store.read_touches(head)) == touches_in(model.touches)

    def test_a_model_of_no_users_and_items_is_read(self, store: ModelStore, sample: Sample) -> None:
        model = model_of(sample, [])

        head = store.write(model, trained_at=NOW, people=people_of(sample))

        assert values_of(store.read(head)) == values_of(model)

    def test_a_new_model_replaces_the_old_one(self, store: ModelStore, sample: Sample) -> None:
        old = store.write(
            model_of(sample, sample.users[:2]), trained_at=NOW, people=people_of(sample)
        )
        model = model_of(sample, sample.users, seed=2)

        new = store.write(model, trained_at=NOW + DAY, people=people_of(sample))

        assert new.version != old.version
        assert store.trained().model == new
        assert values_of(store.read(new)) == values_of(model)
        with pytest.raises(ModelError, match=r"was replaced|has no column"):
            store.read(old)

    def test_touches_are_replaced_without_the_rest(self, store: ModelStore, sample: Sample) -> None:
        model, other = model_of(sample, sample.users), model_of(sample, sample.users[:3], seed=5)
        head = store.write(model, trained_at=NOW, people=people_of(sample))

        store.write_touches(other.touches, counted_at=NOW + HOUR)

        newer = store.trained().model
        assert newer == attrs.evolve(head, counted_at=NOW + HOUR)
        assert newer is not None
        assert touches_in(store.read_touches(newer)) == touches_in(other.touches)
        expected = attrs.evolve(model, touches=other.touches)
        assert values_of(store.read(newer)) == values_of(expected)
        with pytest.raises(ModelError, match="was replaced"):
            store.read_touches(head)

    def test_a_removed_model_is_gone(self, store: ModelStore, sample: Sample) -> None:
        head = store.write(model_of(sample, sample.users), trained_at=NOW, people=people_of(sample))
        store.write_weights(tuned())

        store.remove()

        assert store.trained() == Trained(model=None, weights=tuned())
        with pytest.raises(ModelError):
            store.read(head)

    def test_weights_are_replaced_and_removed(self, store: ModelStore, sample: Sample) -> None:
        head = store.write(model_of(sample, sample.users), trained_at=NOW, people=people_of(sample))

        store.write_weights(tuned())
        first = store.trained()
        store.write_weights(attrs.evolve(tuned(), version="2", weights={"heat": 1_000_000}))
        second = store.trained()
        store.write_weights(None)

        assert first == Trained(model=head, weights=tuned())
        assert second.weights is not None
        assert (second.weights.version, dict(second.weights.weights)) == ("2", {"heat": 1_000_000})
        assert store.trained() == Trained(model=head, weights=None)

    def test_rows_of_an_erased_user_are_removed(self, stores: ModelStores, sample: Sample) -> None:
        """Of a user who bids and who sells."""
        store, gone = stores.models, sample.users[1]
        model = model_of(sample, sample.users)
        head = store.write(model, trained_at=NOW, people=people_of(sample))

        stores.erasure.erase(gone, at=NOW)

        newer = store.trained().model
        assert newer is not None
        assert newer.revision != head.revision
        assert attrs.evolve(newer, revision=head.revision) == head
        found = store.read(newer)
        assert values_of(found) == values_of(model.without_users(hash_of(sample, gone)))
        assert len(found.users) == len(model.users) - 1
        assert hash_of(sample, gone)[0] not in found.items.seller.tolist()
        with pytest.raises(ModelError, match="was replaced"):
            store.read(head)

    def test_an_unknown_user_changes_no_model(self, stores: ModelStores, sample: Sample) -> None:
        store, model = stores.models, model_of(sample, sample.users[1:3])
        head = store.write(model, trained_at=NOW, people=people_of(sample))

        stores.erasure.erase(sample.users[-1], at=NOW)

        assert store.trained().model == head

    def test_nothing_of_users_erased_before_is_written(
        self, stores: ModelStores, sample: Sample
    ) -> None:
        """The model may have been trained before they were erased."""
        model = model_of(sample, sample.users)
        gone = [sample.users[0], sample.users[3]]
        for one in gone:
            stores.erasure.erase(one, at=NOW)

        head = stores.models.write(model, trained_at=NOW, people=people_of(sample))

        found, hashes = stores.models.read(head), hash_of(sample, *gone)
        assert values_of(found) == values_of(model.without_users(hashes))
        assert len(found.users) == len(model.users) - 2

    def test_a_run_that_was_overtaken_writes_nothing(
        self, store: ModelStore, sample: Sample
    ) -> None:
        model, people = model_of(sample, sample.users), people_of(sample)
        head = store.write(model, trained_at=NOW, people=people, fence=Fence(job="train", number=2))

        late = Fence(job="train", number=1)
        with pytest.raises(FencedOffError):
            store.write(model, trained_at=NOW, people=people, fence=late)
        with pytest.raises(FencedOffError):
            store.write_touches(model.touches, counted_at=NOW + DAY, fence=late)
        with pytest.raises(FencedOffError):
            store.remove(fence=late)

        assert store.trained().model == head
        assert values_of(store.read(head)) == values_of(model)


def tuned() -> TunedWeights:
    """Return tuned weights."""
    return TunedWeights(
        version="1",
        weights={"taste": 600_000, "heat": 400_000},
        tuned_at=NOW,
        figures={"seed": 1, "gain": [0.1, 0.2]},
    )


def no_touches() -> TouchCounts:
    """Return counts of nothing."""
    nothing = np.empty(0, np.int64)
    return TouchCounts.of(nothing.astype(np.int32), nothing, nothing)


def model_of(sample: Sample, users: Iterable[UserId], *, seed: int = 1) -> Model:
    """Return a model of random touches of these users; the first three sell."""
    random, chosen = Random(seed), list(users)
    touches = [
        (user, random.choice(sample.items), random.randrange(100 * DAY_OF_MICROS))
        for user in chosen
        for _ in range(6)
    ]
    cards = [
        ItemCard(
            item_id=item,
            title=f"lamp {place % 3}",
            category_id=sample.categories[place % 2],
            seller_id=sample.users[place % 3],
            price=Decimal(9),
            starting_price=Decimal(1 + place),
            is_published=True,
            status=AuctionStatus.ACTIVE,
            ends_at=None,
            listed_at=None,
        )
        for place, item in enumerate(sample.items[: len(sample.users)])
    ]
    return NumpyKernels().trained(
        Interactions(
            users=IdColumn.of(sample.ids.user, [user for user, _, _ in touches]),
            items=IdColumn.of(sample.ids.item, [item for _, item, _ in touches]),
            kinds=np.full(len(touches), Activity.BID, np.int8),
            moments=np.array([to_micros(NOW) - ago for _, _, ago in touches], np.int64),
        ),
        OpenCards.of_cards(sample.ids, cards, PriceScale()),
        now=to_micros(NOW),
    )


def people_of(sample: Sample) -> IdColumn:
    """Return all users of the sample."""
    return IdColumn.of(sample.ids.user, sample.users)


def hash_of(sample: Sample, *users: UserId) -> Int64s:
    """Return the hashes of users."""
    return hashes_of(IdColumn.of(sample.ids.user, users))


def values_of(model: Model) -> dict[str, list[int]]:
    """Return every column of a model."""
    return {name: column.tolist() for name, column in columns_of(model).items()}


def touches_in(touches: TouchCounts) -> list[list[int]]:
    """Return the columns of counts."""
    columns = (touches.ids.hashes, touches.items, touches.hours, touches.counts)
    return [column.tolist() for column in columns]
