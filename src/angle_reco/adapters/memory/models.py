"""The store of trained models in memory."""

from datetime import datetime
from threading import Lock
from uuid import uuid4

import attrs
import numpy as np

from angle_reco.adapters.memory.erasure import MemoryErasures
from angle_reco.adapters.memory.stores import MemoryFences
from angle_reco.domain.arrays import Bools
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import ModelError
from angle_reco.domain.ids import UserId
from angle_reco.domain.runs import Fence
from angle_reco.domain.scoring.blended.columns import columns_of
from angle_reco.domain.scoring.blended.hashes import hash_of_user, hashes_of
from angle_reco.domain.scoring.blended.model import Model, TouchCounts
from angle_reco.ports.models import ModelHead, Trained, TunedWeights


class MemoryModelStore:
    """`ModelStore` in an attribute."""

    def __init__(
        self, fences: MemoryFences | None = None, erasures: MemoryErasures | None = None
    ) -> None:
        self._lock = Lock()
        self._stored: tuple[ModelHead, Model] | None = None
        self._weights: TunedWeights | None = None
        self._fences = fences or MemoryFences()
        self._erasures = erasures or MemoryErasures()

    def trained(self) -> Trained:
        with self._lock:
            return Trained(None if self._stored is None else self._stored[0], self._weights)

    def read(self, head: ModelHead) -> Model:
        with self._lock:
            if self._stored is None or self._stored[0] != head:
                raise ModelError("was replaced")
            return self._stored[1]

    def read_touches(self, head: ModelHead) -> TouchCounts:
        return self.read(head).touches

    def not_erased(self, users: IdColumn) -> Bools:
        return np.array([not self._erasures.has(one) for one in users], np.bool_)

    def write(
        self, model: Model, *, trained_at: datetime, people: IdColumn, fence: Fence | None = None
    ) -> ModelHead:
        with self._lock:
            model = model.without_users(hashes_of(people.take(~self.not_erased(people))))
            head = ModelHead(
                version=uuid4().hex,
                revision=uuid4().hex,
                trained_at=trained_at,
                counted_at=trained_at,
                size=sum(column.nbytes for column in columns_of(model).values()),
            )
            self._fences.pass_(fence)
            self._stored = head, attrs.evolve(model, version=head.version)
            return head

    def write_touches(
        self, touches: TouchCounts, *, counted_at: datetime, fence: Fence | None = None
    ) -> None:
        with self._lock:
            self._fences.pass_(fence)
            if self._stored is not None:
                head, model = self._stored
                self._stored = (
                    attrs.evolve(head, counted_at=counted_at),
                    attrs.evolve(model, touches=touches),
                )

    def remove(self, *, fence: Fence | None = None) -> None:
        with self._lock:
            self._fences.pass_(fence)
            self._stored = None

    def write_weights(self, weights: TunedWeights | None) -> None:
        with self._lock:
            self._weights = weights

    def forget(self, user_id: UserId) -> None:
        """Remove the rows of a user from the model."""
        with self._lock:
            if self._stored is None:
                return
            head, model = self._stored
            without = model.without_users(hash_of_user(user_id))
            if without is not model:
                self._stored = attrs.evolve(head, revision=uuid4().hex), without
