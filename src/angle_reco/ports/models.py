"""The store of trained models and tuned weights."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Protocol

import attrs

from angle_reco.domain.arrays import Bools
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.millionths import Millionths
from angle_reco.domain.runs import Fence
from angle_reco.domain.scoring.blended.model import Model, TouchCounts


@attrs.frozen(kw_only=True)
class ModelHead:
    """A stored model without its columns: which one it is, and how large.

    *version* names a training, and *trained_at* is when it read the activity. *revision* is
    another one whenever rows of a user are removed, and *counted_at* is when the touches of items
    were last counted. *size* is in bytes. Both names are 32 hexadecimal digits.
    """

    version: str = attrs.field(validator=attrs.validators.matches_re("[0-9a-f]{32}"))
    revision: str = attrs.field(validator=attrs.validators.matches_re("[0-9a-f]{32}"))
    trained_at: datetime
    counted_at: datetime
    size: int


@attrs.frozen(kw_only=True)
class TunedWeights:
    """Weights of the components of `blended` by name, as tuned on the host's own data.

    *figures* say what they earned, on which data, and with which seed, as JSON values. Rows that
    were edited by hand come as they are, and unreadable ones without weights: `with_weights`
    refuses what cannot be used.
    """

    version: str
    weights: Mapping[str, Millionths]
    tuned_at: datetime
    figures: Mapping[str, object]

    @property
    def pairs(self) -> tuple[tuple[str, Millionths], ...]:
        """Return the names and weights."""
        return tuple(self.weights.items())


class Trained(NamedTuple):
    """What is stored of a trained ranker: a model and tuned weights, each None if none is."""

    model: ModelHead | None
    weights: TunedWeights | None


class ModelStore(Protocol):
    """Stores one model and one set of weights; a new one replaces the old one at once.

    Nothing of erased users is stored (`Erasure`), which removes their rows from the model, too.

    Raises:
        FencedOffError: (writing, with a fence) A newer run of the job was claimed or has
            written; nothing was written.
        StorageUnavailableError: (every method) The store did not answer.
        StorageFullError: (writing) There is no room; nothing was written.
    """

    def trained(self) -> Trained:
        """Return what is stored, without the columns of the model."""
        ...

    def read(self, head: ModelHead) -> Model:
        """Return the stored model.

        Raises:
            ModelError: It cannot be used, or is no longer that of *head*.
        """
        ...

    def read_touches(self, head: ModelHead) -> TouchCounts:
        """Return the touches of items as last counted.

        Raises:
            ModelError: They cannot be used, or are no longer those of *head*.
        """
        ...

    def not_erased(self, users: IdColumn) -> Bools:
        """Return for each of *users* whether nothing says that they were erased."""
        ...

    def write(
        self, model: Model, *, trained_at: datetime, people: IdColumn, fence: Fence | None = None
    ) -> ModelHead:
        """Replace the stored model, without rows of erased users.

        *people* are the ids of the users and sellers of the model.
        """
        ...

    def write_touches(
        self, touches: TouchCounts, *, counted_at: datetime, fence: Fence | None = None
    ) -> None:
        """Replace the touches of the stored model; without one, nothing happens."""
        ...

    def remove(self, *, fence: Fence | None = None) -> None:
        """Remove the model, if one is stored."""
        ...

    def write_weights(self, weights: TunedWeights | None) -> None:
        """Replace the tuned weights, or remove them."""
        ...
