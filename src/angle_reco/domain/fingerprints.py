"""Keyed hashes that represent users in log lines, and after they are erased."""

from collections.abc import Iterable
from hashlib import blake2b
from uuid import UUID

import attrs
import numpy as np

from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import IdKind, UserId, plain_id

_DIGEST_SIZE = 16


def digests_of_users(key: bytes, users: Iterable[UserId]) -> IdColumn:
    """Return a keyed hash (BLAKE2b, RFC 7693) for each user, as the bytes of UUIDs.

    Without the *key*, of up to 64 bytes, a hash cannot be traced to a user.
    """
    hashes = b"".join(_digest(key, user_id) for user_id in users)
    return IdColumn(IdKind.UUID, np.frombuffer(hashes, f"V{_DIGEST_SIZE}"))


@attrs.frozen
class Fingerprints:
    """Short keyed hashes of users' ids for log lines; equal ids have equal hashes."""

    key: bytes = attrs.field(repr=False)

    def of(self, user_id: object) -> str:
        """Return the hash of a user's id, twelve hexadecimal digits."""
        return _digest(self.key, user_id).hex()[:12]


def _digest(key: bytes, user_id: object) -> bytes:
    one = plain_id(user_id)
    # The hash covers the kind: 7 and "7" are not the same user.
    match one:
        case UUID():
            written = b"u" + one.bytes
        case int():
            written = b"i%d" % one
        case str():
            written = b"t" + one.encode()
        case None:
            written = b""
    return blake2b(written, key=key, digest_size=_DIGEST_SIZE).digest()
