"""Erased users: taken out of our tables, and kept out of them."""

import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any

import attrs
import numpy as np
import sqlalchemy as sa

from angle_reco.adapters.sql.changes import SqlChanges, forget_user
from angle_reco.adapters.sql.database import Database
from angle_reco.adapters.sql.dialect import among, length_of, upsert_into
from angle_reco.adapters.sql.runs import one_at_a_time
from angle_reco.adapters.sql.schema import Tables
from angle_reco.domain.arrays import Int64s
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.columns import IdColumn, IdIndex
from angle_reco.domain.erasure import Erased
from angle_reco.domain.errors import UserErasedError
from angle_reco.domain.fingerprints import digests_of_users
from angle_reco.domain.ids import IdKind, UserId
from angle_reco.domain.lists import ListKind

_KEY = "erasures"


@attrs.frozen
class SqlErasure:
    """`Erasure` from our tables."""

    database: Database
    tables: Tables
    changes: SqlChanges

    def erase(self, user_id: UserId, *, at: datetime) -> Erased:
        tables, personal = self.tables, self.tables.lists[ListKind.PERSONAL]

        def unit(connection: sa.Connection) -> Erased:
            # Who writes in bulk has these locks before asking who is erased.
            one_at_a_time(connection, tables.interests)
            one_at_a_time(connection, personal)
            self._note(connection, user_id, at)
            forget_user(connection, tables, user_id)
            erased = Change(kind=ChangeKind.ERASED, user_id=user_id)
            self.changes.publish([erased], connection=connection)
            lists = connection.execute(
                sa.delete(personal)
                .where(personal.c.owner == user_id)
                .returning(length_of(personal.c["items"], self.database.dialect))
            )
            lengths = lists.scalars().all()
            interests = sa.delete(tables.interests).where(tables.interests.c.user_id == user_id)
            return Erased(
                interests=connection.execute(interests).rowcount,
                lists=len(lengths),
                suggestions=sum(lengths),
                sign_ins=self._forget_sign_ins(connection, user_id),
            )

        return self.database.write(unit)

    def _note(self, connection: sa.Connection, user_id: UserId, at: datetime) -> None:
        """Keep the hash of an id; the first time stays."""
        erasures, keys = self.tables.erasures, self.tables.keys
        new = upsert_into(keys, connection.dialect.name).values(
            name=_KEY, value=secrets.token_hex(32)
        )
        connection.execute(new.on_conflict_do_nothing())
        key = key_of_erasures(connection, self.tables)
        [digest] = digests_of_users(key or b"", [user_id])
        note = upsert_into(erasures, connection.dialect.name).values(
            user_digest=digest, erased_at=at
        )
        connection.execute(note.on_conflict_do_nothing())

    def _forget_sign_ins(self, connection: sa.Connection, user_id: UserId) -> int:
        table = self.tables.sign_ins
        if connection.dialect.name == "postgresql":
            # A sign-in is one statement, so it waits here, and then sees what was noted: a
            # statement looks at the data as of when it got its locks.
            name = connection.dialect.identifier_preparer.format_table(table)
            connection.exec_driver_sql(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")
        return connection.execute(sa.delete(table).where(table.c.user_id == user_id)).rowcount


@attrs.define
class ErasedUsers:
    """Who was erased, as a condition of one statement; the key of the hashes is remembered."""

    tables: Tables
    _key: bytes | None = attrs.field(default=None, repr=False)

    def is_erased(self, user_id: UserId) -> sa.ColumnElement[bool]:
        """Return the condition that a user was erased.

        As long as no key is known here, it is that anybody was; so it is where the database
        has another one by now, as after a backup was restored.
        """
        erasures, keys = self.tables.erasures, self.tables.keys.c
        if self._key is None:
            return sa.exists().select_from(erasures)
        [digest] = digests_of_users(self._key, [user_id])
        is_key = sa.and_(keys.name == _KEY, keys.value == self._key.hex())
        return sa.or_(
            sa.exists().where(erasures.c.user_digest == digest), ~sa.exists().where(is_key)
        )

    @property
    def key(self) -> bytes | None:
        """Return the key that conditions go by, None as long as none is known."""
        return self._key

    def learn(self, ask: Callable[[sa.Select[Any]], Any]) -> bytes | None:
        """Look the key up by what returns the first field of a query, and return it."""
        self._key = _key_by(ask, self.tables)
        return self._key


def key_of_erasures(connection: sa.Connection, tables: Tables) -> bytes | None:
    """Return the key of the hashes, None before the first erasure."""
    return _key_by(connection.scalar, tables)


def _key_by(ask: Callable[[sa.Select[Any]], Any], tables: Tables) -> bytes | None:
    value = ask(sa.select(tables.keys.c.value).where(tables.keys.c.name == _KEY))
    return None if value is None else bytes.fromhex(value)


def places_to_write(connection: sa.Connection, tables: Tables, users: IdColumn) -> Int64s | None:
    """Return the places of users who were not erased, None when that is all of them.

    It holds for as long as nobody else writes to the table (`one_at_a_time`).
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
    """Make sure that a user was not erased.

    Raises:
        UserErasedError: They were.
    """
    kind = tables.ids.user
    if places_to_write(connection, tables, IdColumn.of(kind, [user_id])) is not None:
        raise UserErasedError
