"""The library's own tables; those of the reference schema are in `reference`."""

import re
from functools import lru_cache
from typing import Any

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from angle_reco.adapters.sql.core.types import TYPES_OF_IDS, ColumnType, Moment
from angle_reco.adapters.sql.schema.reference import reference_tables
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import IdKind, IdKinds
from angle_reco.domain.lists import ListKind

DEFAULT_PREFIX = "angle_reco_"

REFERENCE_SCHEMA = "reference schema"
"""Name among the additions: we created users, items, bids and watches, and may drop them."""

_LONGEST_SCHEMA = 63
_SCHEMA = re.compile("[^\x00\ud800-\udfff]{1,63}")
_PREFIX = re.compile("[a-z][a-z0-9_]{0,29}")


def _prefix(value: object) -> str:
    if type(value) is not str or not _PREFIX.fullmatch(value):
        expected = "up to 30 lower-case letters, digits and underscores, a letter first"
        raise InvalidValueError("prefix of tables", value, expected)
    return value


def _schema(value: object) -> str | None:
    if value is None or (type(value) is str and _is_name_of_schema(value)):
        return value
    raise InvalidValueError("schema of tables", value, "the name of a schema, or None")


def _is_name_of_schema(value: str) -> bool:
    return _SCHEMA.fullmatch(value) is not None and len(value.encode()) <= _LONGEST_SCHEMA


@attrs.frozen(kw_only=True, eq=False)
class Tables:
    """The tables for one choice of id kinds, names and place.

    *own* holds the library's tables, *reference* those of the reference schema. *version* and
    *additions* belong to the migrations: the revision of the schema, and what migrations added
    to tables of the host, so that they can remove it.
    """

    ids: IdKinds
    schema: str | None
    prefix: str
    own: sa.MetaData
    reference: sa.MetaData
    version: sa.Table
    additions: sa.Table
    users: sa.Table
    items: sa.Table
    bids: sa.Table
    watches: sa.Table
    permissions: sa.Table
    user_permissions: sa.Table
    sign_ins: sa.Table
    interests: sa.Table
    lists: dict[ListKind, sa.Table]
    coverage: sa.Table
    fences: sa.Table
    erasures: sa.Table
    keys: sa.Table
    runs: sa.Table
    changes: sa.Table
    models: sa.Table
    model_parts: sa.Table

    def __repr__(self) -> str:
        return f"Tables(schema={self.schema!r}, prefix={self.prefix!r})"

    @classmethod
    def of(
        cls, ids: IdKinds, *, schema: str | None = None, prefix: str = DEFAULT_PREFIX
    ) -> "Tables":
        """Return the tables whose ids are of these kinds.

        Raises:
            InvalidValueError: The schema or the prefix cannot be part of a name.
        """
        return cls._of(ids, _schema(schema), _prefix(prefix))

    @classmethod
    @lru_cache(maxsize=8)
    def _of(cls, ids: IdKinds, schema: str | None, prefix: str) -> "Tables":
        """Return the tables of a choice, cached, because creating the objects takes a while."""
        own, reference = sa.MetaData(schema=schema), sa.MetaData(schema=schema)
        user_id, item_id, category_id = (
            TYPES_OF_IDS[kind] for kind in (ids.user, ids.item, ids.category)
        )
        return cls(
            ids=ids,
            schema=schema,
            prefix=prefix,
            own=own,
            reference=reference,
            # Alembic creates and fills this table.
            version=sa.Table(
                f"{prefix}version",
                sa.MetaData(schema=schema),
                sa.Column("version_num", sa.String(32), primary_key=True),
            ),
            additions=sa.Table(
                f"{prefix}additions", own, sa.Column("name", sa.Text, primary_key=True)
            ),
            **reference_tables(reference, ids),
            sign_ins=sa.Table(
                f"{prefix}sign_ins",
                own,
                sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
                sa.Column("last_sign_in_at", Moment, nullable=False),
                sa.Column("sign_in_count", sa.BigInteger, nullable=False),
                sqlite_with_rowid=False,
                # On PostgreSQL the fillfactor is 70: the room left on each page lets updates of
                # the count leave the index alone.
            ),
            interests=sa.Table(
                f"{prefix}user_interests",
                own,
                sa.Column("user_id", user_id(), primary_key=True, autoincrement=False),
                sa.Column("category_id", category_id(), primary_key=True),
                sa.Column("score", sa.BigInteger, nullable=False),
                sa.Column("strength", sa.BigInteger, nullable=False),
                sa.Column("interaction_count", sa.BigInteger, nullable=False),
                sa.Column("last_interaction_at", Moment, nullable=False),
                sa.Column("recipe", sa.Text, nullable=False),
                sa.Column("computed_at", Moment, nullable=False),
                # Overrides, until a job replaces the row: an edited interest, a removed one.
                sa.Column("by_hand", sa.Boolean, nullable=False, server_default=sa.false()),
                sa.Column("removed", sa.Boolean, nullable=False, server_default=sa.false()),
                sa.CheckConstraint("score BETWEEN 0 AND 1000000", name="score_is_a_fraction"),
                sqlite_with_rowid=False,
            ),
            lists={
                ListKind.SIMILAR: _lists(f"{prefix}similar_lists", own, item_id, item_id),
                ListKind.PERSONAL: _lists(f"{prefix}personal_lists", own, user_id, item_id),
                ListKind.POPULAR: _lists(
                    f"{prefix}popular_lists", own, TYPES_OF_IDS[IdKind.TEXT], item_id
                ),
            },
            coverage=sa.Table(
                f"{prefix}coverage",
                own,
                sa.Column("kind", sa.Text, primary_key=True),
                sa.Column("started_at", Moment, nullable=False),
            ),
            erasures=sa.Table(
                f"{prefix}erasures",
                own,
                # A keyed hash of the id, the only data that remains of an erased user.
                sa.Column("user_digest", sa.Uuid, primary_key=True),
                sa.Column("erased_at", Moment, nullable=False),
                sqlite_with_rowid=False,
            ),
            keys=sa.Table(
                f"{prefix}keys",
                own,
                sa.Column("name", sa.Text, primary_key=True),
                sa.Column("value", sa.Text, nullable=False),
            ),
            runs=_runs(f"{prefix}runs", own),
            changes=_changes(f"{prefix}changes", own, user_id),
            # The model and the tuned weights, a row each.
            models=sa.Table(
                f"{prefix}models",
                own,
                sa.Column("name", sa.Text, primary_key=True),
                # JSON.
                sa.Column("details", sa.Text, nullable=False),
            ),
            model_parts=sa.Table(
                f"{prefix}model_parts",
                own,
                sa.Column("version", sa.Text, primary_key=True),
                sa.Column("name", sa.Text, primary_key=True),
                sa.Column("place", sa.Integer, primary_key=True),
                # The smallest hash of a user in the part.
                sa.Column("least", sa.BigInteger),
                sa.Column("data", sa.LargeBinary, nullable=False),
            ),
            fences=sa.Table(
                f"{prefix}fences",
                own,
                sa.Column("job", sa.Text, primary_key=True),
                sa.Column("number", sa.BigInteger, nullable=False),
            ),
        )

    def owner_kind(self, kind: ListKind) -> IdKind:
        """Return the kind of the ids of owners; categories are written as text."""
        match kind:
            case ListKind.SIMILAR:
                return self.ids.item
            case ListKind.PERSONAL:
                return self.ids.user
            case ListKind.POPULAR:
                return IdKind.TEXT


def quoted_name(tables: Tables, name: str) -> str:
    """Return the name of a table or view of ours for SQL text, with its schema."""
    # A valid prefix makes names that need no quotes.
    full = name if name.startswith(tables.prefix) else f"{tables.prefix}{name}"
    if tables.schema is None:
        return full
    schema = tables.schema.replace('"', '""')
    return f'"{schema}".{full}'


def _lists(
    name: str,
    metadata: sa.MetaData,
    owner: ColumnType,
    item_id: ColumnType,
) -> sa.Table:
    # Arrays are in the order of the list, JSON text on SQLite; the parts of all lines are one
    # array. Reasons and sources are codes, which the views spell out. By the digest a job sees
    # that a list is unchanged without reading or sending the whole list.
    return sa.Table(
        name,
        metadata,
        sa.Column("owner", owner(), primary_key=True, autoincrement=False),
        sa.Column("items", _array(item_id()), nullable=False),
        sa.Column("scores", _array(sa.Integer()), nullable=False),
        sa.Column("parts", _array(sa.Integer()), nullable=False),
        sa.Column("reasons", _array(sa.SmallInteger()), nullable=False),
        sa.Column("sources", _array(sa.SmallInteger()), nullable=False),
        sa.Column("by_hand", _array(sa.Boolean())),
        sa.Column("recipe", sa.Text, nullable=False),
        sa.Column("digest", sa.Uuid, nullable=False),
        sa.Column("computed_at", Moment, nullable=False),
    )


def _array(of: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    return sa.Text().with_variant(ARRAY(of), "postgresql")


def _runs(name: str, metadata: sa.MetaData) -> sa.Table:
    text = TYPES_OF_IDS[IdKind.TEXT]
    is_open = sa.text("state IN ('due', 'running')")
    return sa.Table(
        name,
        metadata,
        # Arguments are JSON in the order of their names, or ''.
        sa.Column("job", text(), primary_key=True),
        sa.Column("arguments", text(), primary_key=True),
        sa.Column("slot", Moment, primary_key=True),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("due_at", Moment, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("lease_until", Moment),
        sa.Column("started_at", Moment),
        sa.Column("finished_at", Moment),
        sa.Column("outcome", sa.Text),
        sa.Column("error", sa.Text),
        sa.Index(f"{name}_open", "state", postgresql_where=is_open, sqlite_where=is_open),
    )


def _changes(name: str, metadata: sa.MetaData, user_id: ColumnType) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        # No number is reused, even after the newest rows were deleted.
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(),
            primary_key=True,
        ),
        sa.Column("told_at", Moment, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("user_id", user_id()),
        # Ids as a JSON array.
        sa.Column("items", sa.Text),
        sa.Column("job", sa.Text),
        # The transaction that wrote the row, on PostgreSQL.
        sa.Column("written_by", sa.BigInteger),
        *(
            sa.Index(
                f"{name}_{column}",
                column,
                postgresql_where=sa.text(f"{column} IS NOT NULL"),
                sqlite_where=sa.text(f"{column} IS NOT NULL"),
            )
            for column in ("user_id", "written_by")
        ),
        sqlite_autoincrement=True,
    )
