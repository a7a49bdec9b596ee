"""Pages of a list: a cursor names the items that earlier pages showed, as hashes."""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NoBase64
from collections.abc import Iterable
from typing import NamedTuple, Self
from uuid import UUID
from zlib import crc32

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import ItemId
from angle_reco.domain.type_checks import is_a, plain

MOST = 1_000
"""Of any list, over all of its pages; a larger limit counts as this."""


class PageStart(NamedTuple):
    """Where a page of a list starts: after all items that earlier pages showed.

    *of* is the call, with its category if it has one. *shown* has a hash of each of these
    items, and *rank* is the last rank that they had.
    """

    of: str
    shown: frozenset[int] = frozenset()
    rank: int = 0

    @classmethod
    def read(cls, after: object, *, of: str) -> Self:
        """Return the start of the page after a cursor.

        Raises:
            InvalidValueError: *after* is no cursor of this call and category.
        """
        text = plain(after) if is_a(after, str) else ""
        if 1 < len(text) <= LONGEST_CURSOR and text.isascii():
            try:
                data = urlsafe_b64decode(text[1:] + "=" * (-len(text[1:]) % 4))
            except NoBase64:
                data = b""
            count, odd = divmod(len(data) - _HEAD.size, _HASH_BYTES)
            if count >= 1 and not odd:
                _, rank = _HEAD.unpack_from(data)
                start = cls(of, frozenset(struct.unpack_from(f"<{count}I", data, _HEAD.size)), rank)
                # Covers the version, the check, the order, and what base64 ignores.
                if rank <= MOST and start.cursor == text:
                    return start
        raise InvalidValueError("after", after, "the `next` of a shelf of this call and category")

    def then(self, after: str, limit: int) -> tuple[Self, int]:
        """Return where the page after a cursor starts, and how long the answer for it is.

        This is the first page; the answer holds all pages up to that one.

        Raises:
            InvalidValueError: *after* is no cursor of this call and category.
        """
        start = self.read(after, of=self.of)
        return start, min(len(start.shown) + limit, MOST)

    @property
    def cursor(self) -> str:
        """Return the start as a text that is safe in a URL.

        The text is a version, a checksum over the rest and *of*, the rank, and the hashes in
        ascending order, so that it does not disclose the order of the items.
        """
        hashes = struct.pack(f"<H{len(self.shown)}I", self.rank, *sorted(self.shown))
        check = crc32(hashes, crc32(self.of.encode()))
        data = struct.pack("<I", check) + hashes
        return _VERSION + urlsafe_b64encode(data).rstrip(b"=").decode()

    def after(self, item_ids: Iterable[ItemId], *, ranks: int) -> Self:
        """Return the start of the page after one with these items, *ranks* of them shown."""
        shown = self.shown.union(map(hash_of, item_ids))
        return self._replace(shown=shown, rank=self.rank + ranks)


def hash_of(item_id: ItemId) -> int:
    """Return a hash of 32 bits (CRC-32), the same in every process.

    Two integers whose difference is in their lowest 32 bits never have the same hash, so that
    hashes of integers below 2**32 are exact.
    """
    match item_id:
        case int():
            return crc32(item_id.to_bytes(8, "little", signed=True))
        case UUID():
            return crc32(item_id.bytes)
        case _:
            return crc32(str(item_id).encode())


_VERSION = "1"
_HEAD = struct.Struct("<IH")
_HASH_BYTES = 4

LONGEST_CURSOR = len(_VERSION) + -(-4 * (_HEAD.size + _HASH_BYTES * (MOST - 1)) // 3)
"""In characters: the last page of the longest list starts after `MOST` - 1 items at most."""
