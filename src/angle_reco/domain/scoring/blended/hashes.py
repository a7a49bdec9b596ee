"""Hashes of ids: a model finds items, users and categories by them, and holds no id itself."""

from hashlib import blake2b

import attrs
import numpy as np

from angle_reco.domain.arrays import Int32s, Int64s, frozen
from angle_reco.domain.columns import NONE, IdColumn
from angle_reco.domain.ids import PYTHON_TYPES, IdKind, UserId

NO_HASH = -(2**63)
"""Stands for no id."""

_BYTES = 8


def hashes_of(ids: IdColumn) -> Int64s:
    """Return a hash of 64 bits for each id (BLAKE2b, RFC 7693), the same on every machine.

    The hash of an integer is the integer. For a million other ids, the probability that any two
    have one hash is 3 in 100 million; the model then takes them for one.
    """
    if ids.kind is IdKind.INT:
        return ids.values
    listed = ids.values.tolist()
    # Columns of activity have each id many times.
    known = {one: _hash(one if isinstance(one, bytes) else one.encode()) for one in {*listed}}
    return np.fromiter(map(known.__getitem__, listed), np.int64, len(listed))


def _hash(written: bytes) -> int:
    digest = blake2b(written, digest_size=_BYTES).digest()
    return int.from_bytes(digest, "little", signed=True)


def hash_of_user(user_id: UserId) -> Int64s:
    """Return the hash of one user, as `hashes_of` returns it."""
    kind = next(kind for kind, known in PYTHON_TYPES.items() if isinstance(user_id, known))
    return hashes_of(IdColumn.of(kind, [user_id]))


@attrs.frozen(kw_only=True)
class HashIndex:
    """Distinct hashes in ascending order; the place of a hash is its code."""

    hashes: Int64s = attrs.field(converter=frozen)

    @classmethod
    def of(cls, hashes: Int64s) -> "HashIndex":
        """Return the index of *hashes*, of which some may be equal."""
        return cls(hashes=np.unique(hashes))

    def __len__(self) -> int:
        return len(self.hashes)

    def codes(self, hashes: Int64s) -> Int32s:
        """Return the code of each hash, NONE for one that is not in the index."""
        if len(self) == 0:
            return np.full(len(hashes), NONE, np.int32)
        places = np.searchsorted(self.hashes, hashes)
        places[places == len(self)] = 0
        return np.where(self.hashes[places] == hashes, places, NONE).astype(np.int32)
