"""Erasure of users: removing their rows, and recording that none may be written again."""

import secrets
from datetime import datetime

import attrs
import sqlalchemy as sa

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.dialect import length_of, upsert_into
from angle_reco.adapters.sql.market.erased_users import KEY_OF_ERASURES, key_of_erasures
from angle_reco.adapters.sql.results.changes import SqlChanges
from angle_reco.adapters.sql.results.feed_pruning import forget_user
from angle_reco.adapters.sql.results.models import forget_user_of_model
from angle_reco.adapters.sql.results.runs import one_at_a_time
from angle_reco.adapters.sql.results.watermarks import remove_watermarks
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.changes import Change, ChangeKind
from angle_reco.domain.erasure import Erased
from angle_reco.domain.fingerprints import digests_of_users
from angle_reco.domain.ids import UserId
from angle_reco.domain.lists import ListKind


@attrs.frozen
class SqlErasure:
    """`Erasure` from the SQL tables of this library."""

    database: Database
    tables: Tables
    changes: SqlChanges

    def erase(self, user_id: UserId, *, at: datetime) -> Erased:
        tables, personal = self.tables, self.tables.lists[ListKind.PERSONAL]

        def unit(connection: sa.Connection) -> Erased:
            # Bulk writers take these locks before they look up erased users.
            one_at_a_time(connection, tables.interests)
            one_at_a_time(connection, personal)
            self._note(connection, user_id, at)
            forget_user(connection, tables, user_id)
            forget_user_of_model(connection, tables, user_id)
            # Their digests cover the activity of the user.
            remove_watermarks(connection, tables)
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
        """Store the hash of an id; an existing row keeps its time."""
        erasures, keys = self.tables.erasures, self.tables.keys
        new = upsert_into(keys, connection.dialect.name).values(
            name=KEY_OF_ERASURES, value=secrets.token_hex(32)
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
            # A concurrent sign-in is one statement: it waits for this lock and then sees the
            # hash, because its snapshot is taken after it got the lock.
            name = connection.dialect.identifier_preparer.format_table(table)
            connection.exec_driver_sql(f"LOCK TABLE {name} IN SHARE ROW EXCLUSIVE MODE")
        return connection.execute(sa.delete(table).where(table.c.user_id == user_id)).rowcount
