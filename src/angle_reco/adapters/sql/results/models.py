"""Trained models and tuned weights in tables; the rows of users are in parts of their own.

A new model is written part by part beside the old one, and one short transaction makes it the
stored one: neither readers nor other writers wait for it.
"""

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

import attrs
import numpy as np
import sqlalchemy as sa

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.market.erased_users import places_to_write
from angle_reco.adapters.sql.results.model_rows import (
    all_rows,
    read_head,
    trained_of,
    write_head,
    write_tuned,
)
from angle_reco.adapters.sql.results.runs import one_at_a_time, write_alone
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.arrays import Bools, Int64s
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import ModelError
from angle_reco.domain.ids import UserId
from angle_reco.domain.runs import Fence
from angle_reco.domain.scoring.blended.columns import (
    Columns,
    columns_of,
    columns_of_touches,
    model_of,
    packed,
    touches_of,
    unpacked,
)
from angle_reco.domain.scoring.blended.hashes import NO_HASH, hash_of_user, hashes_of
from angle_reco.domain.scoring.blended.model import Model, TouchCounts
from angle_reco.ports.models import ModelHead, Trained, TunedWeights

_log = logging.getLogger(__name__)

_TOUCHES, _SELLERS, _USERS = "touches", "sellers", "users"
_BYTES_OF_PART = 4_000_000
_USERS_OF_PART = 2_000


class _Part(NamedTuple):
    """Some columns as bytes; *least* is the smallest hash in a part of users."""

    name: str
    place: int
    least: int | None
    data: bytes


@attrs.frozen
class SqlModelStore:
    """`ModelStore` in SQL tables."""

    database: Database
    tables: Tables

    def trained(self) -> Trained:
        rows = self.database.rows(all_rows(self.tables.models))
        return trained_of({row.name: row.details for row in rows})

    def read(self, head: ModelHead) -> Model:
        parts = self.tables.model_parts.c
        names = self.database.rows(
            sa.select(parts.name).distinct().where(parts.version == head.version)
        )
        columns = dict[str, Any]()
        for (name,) in names:
            columns |= (
                _users_of(self._data(head, name)) if name == _USERS else self._part(head, name)
            )
        model = model_of(columns, version=head.version)
        self._require(head)
        return model

    def read_touches(self, head: ModelHead) -> TouchCounts:
        touches = touches_of(self._part(head, _TOUCHES))
        self._require(head)
        return touches

    def not_erased(self, users: IdColumn) -> Bools:
        with self.database.reading() as connection:
            return _not_erased(connection, self.tables, users)

    def write(
        self, model: Model, *, trained_at: datetime, people: IdColumn, fence: Fence | None = None
    ) -> ModelHead:
        models, parts, version = self.tables.models, self.tables.model_parts, uuid4().hex
        stored = self.trained().model
        # An interrupted writer may have left parts.
        kept = "" if stored is None else stored.version
        leftovers = sa.delete(parts).where(parts.c.version != kept)
        self.database.write(lambda connection: connection.execute(leftovers))
        known = self.not_erased(people)
        sizes = list[int]()
        for part in _parts_of(model.without_users(hashes_of(people.take(~known)))):
            self._insert(version, part)
            sizes.append(len(part.data))
        head = ModelHead(
            version=version,
            revision=uuid4().hex,
            trained_at=trained_at,
            counted_at=trained_at,
            size=sum(sizes),
        )

        def unit(connection: sa.Connection) -> ModelHead:
            erased = people.take(known & ~_not_erased(connection, self.tables, people))
            for one in hashes_of(erased).tolist():
                _remove_user(connection, self.tables, one, version)
            there = sa.select(sa.func.count()).where(parts.c.version == version)
            if connection.scalar(there) != len(sizes):
                # A run that was overtaken takes parts of a newer one for leftovers.
                raise ModelError("lost parts to another run before it was complete")
            write_head(connection, models, head)
            connection.execute(sa.delete(parts).where(parts.c.version != version))
            return head

        return write_alone(self.database, self.tables, models, unit, fence)

    def write_touches(
        self, touches: TouchCounts, *, counted_at: datetime, fence: Fence | None = None
    ) -> None:
        models, parts = self.tables.models, self.tables.model_parts
        data = packed(columns_of_touches(touches))

        def unit(connection: sa.Connection) -> None:
            head = read_head(connection, models)
            if head is None:
                return
            those = (parts.c.version == head.version, parts.c.name == _TOUCHES)
            connection.execute(sa.delete(parts).where(*those))
            values = [
                {"version": head.version, **part._asdict()} for part in _chunks(_TOUCHES, data)
            ]
            connection.execute(sa.insert(parts), values)
            write_head(connection, models, attrs.evolve(head, counted_at=counted_at))

        write_alone(self.database, self.tables, models, unit, fence)

    def remove(self, *, fence: Fence | None = None) -> None:
        models = self.tables.models

        def unit(connection: sa.Connection) -> None:
            write_head(connection, models, None)
            connection.execute(sa.delete(self.tables.model_parts))

        write_alone(self.database, self.tables, models, unit, fence)

    def write_weights(self, weights: TunedWeights | None) -> None:
        models = self.tables.models

        def unit(connection: sa.Connection) -> None:
            write_tuned(connection, models, weights)

        write_alone(self.database, self.tables, models, unit)

    def _insert(self, version: str, part: _Part) -> None:
        insert = sa.insert(self.tables.model_parts).values(version=version, **part._asdict())
        self.database.write(lambda connection: connection.execute(insert), is_repeatable=False)

    def _part(self, head: ModelHead, name: str) -> Columns:
        return _read(b"".join(self._data(head, name)))

    def _data(self, head: ModelHead, name: str) -> Iterator[bytes]:
        parts = self.tables.model_parts.c
        places = sa.select(parts.place).where(parts.version == head.version, parts.name == name)
        for (place,) in self.database.rows(places.order_by(parts.place)):
            data = self.database.scalar(
                sa.select(parts.data).where(
                    parts.version == head.version, parts.name == name, parts.place == place
                )
            )
            if data is None:
                raise ModelError("was replaced")
            if not isinstance(data, bytes):
                raise ModelError("is truncated or damaged")
            yield data

    def _require(self, head: ModelHead) -> None:
        """Refuse columns that are not all of one version and revision."""
        if self.trained().model != head:
            raise ModelError("was replaced")


def forget_user_of_model(connection: sa.Connection, tables: Tables, user_id: UserId) -> None:
    """Remove the rows of a user from the stored model, and from one that is being written."""
    one_at_a_time(connection, tables.models)
    parts = tables.model_parts
    versions = connection.scalars(sa.select(parts.c.version).distinct()).all()
    if not versions:
        return
    head = read_head(connection, tables.models)
    [one] = hash_of_user(user_id).tolist()
    for version in versions:
        stored = None if head is None or version != head.version else head
        try:
            is_changed = _remove_user(connection, tables, one, version)
        except ModelError as error:
            # What cannot be read is of no use, and may hold rows of the user.
            _log.error("model removed: problem=%s", error.problem)
            connection.execute(sa.delete(parts).where(parts.c.version == version))
            if stored is not None:
                write_head(connection, tables.models, None)
            continue
        if is_changed and stored is not None:
            newer = attrs.evolve(stored, revision=uuid4().hex)
            write_head(connection, tables.models, newer)


def _not_erased(connection: sa.Connection, tables: Tables, users: IdColumn) -> Bools:
    places = places_to_write(connection, tables, users)
    if places is None:
        return np.ones(len(users), np.bool_)
    stays = np.zeros(len(users), np.bool_)
    stays[places] = True
    return stays


def _remove_user(connection: sa.Connection, tables: Tables, one: int, version: str) -> bool:
    """Remove a user's rows from the parts of a version; return False if there were none."""
    parts, is_changed = tables.model_parts, False
    of_version = parts.c.version == version
    least = (
        sa.select(sa.func.max(parts.c.least))
        .where(of_version, parts.c.name == _USERS, parts.c.least <= one)
        .scalar_subquery()
    )
    touched = connection.execute(
        sa.select(parts).where(of_version, parts.c.name == _USERS, parts.c.least == least)
    ).one_or_none()
    if touched is not None:
        columns = _read(touched.data, "users", "lengths", "items", "last_at")
        stays = columns["users"] != one
        if not stays.all():
            rows = np.repeat(stays, columns["lengths"])
            without = {
                "users": columns["users"][stays],
                "lengths": columns["lengths"][stays],
                "items": columns["items"][rows],
                "last_at": columns["last_at"][rows],
            }
            _replace(connection, parts, touched, packed(without))
            is_changed = True
    sellers = sa.select(parts).where(of_version, parts.c.name == _SELLERS)
    for sold in connection.execute(sellers).all():
        seller = _read(sold.data, "items.seller")["items.seller"]
        if (seller == one).any():
            known = {"items.seller": np.where(seller == one, NO_HASH, seller)}
            _replace(connection, parts, sold, packed(known))
            is_changed = True
    return is_changed


def _read(data: object, *names: str) -> dict[str, Any]:
    """Return the columns of a part, which must have those of these *names*.

    Raises:
        ModelError: They cannot be read.
    """
    columns = unpacked(data) if isinstance(data, bytes) else {}
    if not columns or any(name not in columns for name in names):
        raise ModelError("is truncated or damaged")
    return columns


def _replace(connection: sa.Connection, parts: sa.Table, row: sa.Row[Any], data: bytes) -> None:
    connection.execute(
        sa.update(parts)
        .where(parts.c.version == row.version, parts.c.name == row.name, parts.c.place == row.place)
        .values(data=data)
    )


def _parts_of(model: Model) -> Iterator[_Part]:
    """Yield a model in parts; what follows from the histories is left out."""
    columns, touches = columns_of(model), columns_of_touches(model.touches)
    sellers = {"items.seller": columns.pop("items.seller")}
    histories = {name: columns.pop(f"histories.{name}") for name in ("offsets", "items", "last_at")}
    users = columns.pop("users")
    groups: dict[str, dict[str, Any]] = {}
    for name, column in columns.items():
        group = name.partition(".")[0]
        if name not in touches and not group.startswith(("fans", "histories")):
            groups.setdefault(group, {})[name] = column
    for name, some in {**groups, _TOUCHES: touches}.items():
        yield from _chunks(name, packed(some))
    # In one piece each, as rows are removed from them.
    yield _Part(_SELLERS, 0, None, packed(sellers))
    offsets = histories["offsets"]
    for place, first in enumerate(range(0, max(len(users), 1), _USERS_OF_PART)):
        last = min(first + _USERS_OF_PART, len(users))
        rows = slice(int(offsets[first]), int(offsets[last]))
        part = {
            "users": users[first:last],
            "lengths": np.diff(offsets[first : last + 1]),
            "items": histories["items"][rows],
            "last_at": histories["last_at"][rows],
        }
        yield _Part(_USERS, place, int(users[first]) if last else None, packed(part))


def _chunks(name: str, data: bytes) -> Iterator[_Part]:
    for place, first in enumerate(range(0, len(data), _BYTES_OF_PART)):
        yield _Part(name, place, None, data[first : first + _BYTES_OF_PART])


def _users_of(parts: Iterator[bytes]) -> dict[str, Any]:
    """Return the columns of the users and their histories."""
    found = [_read(part, "users", "lengths", "items", "last_at") for part in parts]
    joined = {
        name: np.concatenate([part[name] for part in found])
        for name in ("users", "lengths", "items", "last_at")
    }
    lengths: Int64s = joined["lengths"]
    return {
        "users": joined["users"],
        "histories.offsets": np.append(0, np.cumsum(lengths)),
        "histories.items": joined["items"],
        "histories.last_at": joined["last_at"],
    }
