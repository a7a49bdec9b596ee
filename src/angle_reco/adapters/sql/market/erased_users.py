"""The erased users, as conditions of statements that must not write about them."""

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import sqlalchemy as sa

from angle_reco.adapters.sql.core.dialect import among
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.arrays import Int64s
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.errors import UserErasedError
from angle_reco.domain.fingerprints import digests_of_users
from angle_reco.domain.ids import IdKind, UserId

KEY_OF_ERASURES = "erasures"
"""The name of the key of the hashes, in the table of keys."""


@attrs.define
class ErasedUsers:
    """Returns conditions for erased users, and caches the key of their hashes."""

    tables: Tables
    _key: bytes | None = attrs.field(default=None, repr=False)

    def is_erased(self, user_id: UserId) -> sa.ColumnElement[bool]:
        """Return the condition that a user was erased.

        Without a cached key, it holds if any user was erased. It also holds if the key in the
        database differs from the cached one, as after restoring a backup.
        """
        erasures, keys = self.tables.erasures, self.tables.keys.c
        if self._key is None:
            return sa.exists().select_from(erasures)
        [digest] = digests_of_users(self._key, [user_id])
        is_key = sa.and_(keys.name == KEY_OF_ERASURES, keys.value == self._key.hex())
        return sa.or_(
            sa.exists().where(erasures.c.user_digest == digest), ~sa.exists().where(is_key)
        )

    @property
    def key(self) -> bytes | None:
        """Return the cached key that conditions use, or None before one is cached."""
        return self._key

    def learn(self, ask: Callable[[sa.Select[Any]], Any]) -> bytes | None:
        """Read the key with *ask*, which returns the first field of a query, and cache it."""
        self._key = _key_by(ask, self.tables)
        return self._key


def key_of_erasures(connection: sa.Connection, tables: Tables) -> bytes | None:
    """Return the key of the hashes, or None before the first erasure."""
    return _key_by(connection.scalar, tables)


def _key_by(ask: Callable[[sa.Select[Any]], Any], tables: Tables) -> bytes | None:
    value = ask(sa.select(tables.keys.c.value).where(tables.keys.c.name == KEY_OF_ERASURES))
    return None if value is None else bytes.fromhex(value)


def places_to_write(connection: sa.Connection, tables: Tables, users: IdColumn) -> Int64s | None:
    """Return the places of the users that were not erased, or None if none was erased.

    The result stays valid while no other connection writes to the table (`one_at_a_time`).
    """
    key = key_of_erasures(connection, tables)
    if key is None or len(users) == 0:
        return None
    digests = digests_of_users(key, map(UserId, users))
    column, dialect = tables.erasures.c.user_digest, connection.dialect.name
    query = sa.select(column).where(among(column, digests, IdKind.UUID, dialect))
    found = connection.scalars(query).all()
    if not found:
        return None
    erased = IdIndex.of(IdKind.UUID, IdColumn.of(IdKind.UUID, found))
    places: Int64s = np.flatnonzero(erased.codes(digests) < 0)
    return places


def refuse_erased(connection: sa.Connection, tables: Tables, user_id: UserId) -> None:
    """Refuse a user that was erased.

    Raises:
        UserErasedError: The user was erased.
    """
    kind = tables.ids.user
    if places_to_write(connection, tables, IdColumn.of(kind, [user_id])) is not None:
        raise UserErasedError
