"""Trained models and tuned weights in tables; the rows of users are in parts of their own.

A new model is written part by part beside the old one, and one short transaction makes it the
stored one: neither readers nor other writers wait for it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from uuid import uuid4

import attrs
import numpy as np
import sqlalchemy as sa

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.dialect import upsert_into
from angle_reco.adapters.sql.market.erased_users import places_to_write
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

_MODEL, _WEIGHTS = "blended", "weights"
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
        rows = {row.name: row for row in self.database.rows(sa.select(self.tables.models))}
        model, weights = rows.get(_MODEL), rows.get(_WEIGHTS)
        return Trained(
            None if model is None else _head(model),
            None if weights is None else _tuned(weights),
        )

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
        models, parts, version, size = self.tables.models, self.tables.model_parts, uuid4().hex, 0
        current = sa.select(models.c.version).where(models.c.name == _MODEL).scalar_subquery()
        # An interrupted writer may have left parts.
        leftovers = sa.delete(parts).where(parts.c.version != sa.func.coalesce(current, ""))
        self.database.write(lambda connection: connection.execute(leftovers))
        count = 0
        for part in _parts_of(model):
            self._insert(version, part)
            count, size = count + 1, size + len(part.data)
        head = ModelHead(
            version=version, revision=0, trained_at=trained_at, counted_at=trained_at, size=size
        )

        def unit(connection: sa.Connection) -> ModelHead:
            erased = people.take(~_not_erased(connection, self.tables, people))
            for one in hashes_of(erased).tolist():
                _remove_user(connection, self.tables, one, version)
            there = sa.select(sa.func.count()).where(parts.c.version == version)
            if connection.scalar(there) != count:
                # A run that was overtaken takes parts of a newer one for leftovers.
                raise ModelError("lost parts to another run before it was complete")
            _write_head(connection, models, head)
            connection.execute(sa.delete(parts).where(parts.c.version != version))
            return head

        return write_alone(self.database, self.tables, models, unit, fence)

    def write_touches(
        self, touches: TouchCounts, *, counted_at: datetime, fence: Fence | None = None
    ) -> None:
        models, parts = self.tables.models, self.tables.model_parts
        data = packed(columns_of_touches(touches))

        def unit(connection: sa.Connection) -> None:
            row = connection.execute(sa.select(models).where(models.c.name == _MODEL)).one_or_none()
            if row is None:
                return
            those = (parts.c.version == row.version, parts.c.name == _TOUCHES)
            connection.execute(sa.delete(parts).where(*those))
            values = [
                {"version": row.version, **part._asdict()} for part in _chunks(_TOUCHES, data)
            ]
            connection.execute(sa.insert(parts), values)
            _write_head(connection, models, attrs.evolve(_head(row), counted_at=counted_at))

        write_alone(self.database, self.tables, models, unit, fence)

    def remove(self, *, fence: Fence | None = None) -> None:
        models = self.tables.models

        def unit(connection: sa.Connection) -> None:
            connection.execute(sa.delete(models).where(models.c.name == _MODEL))
            connection.execute(sa.delete(self.tables.model_parts))

        write_alone(self.database, self.tables, models, unit, fence)

    def write_weights(self, weights: TunedWeights | None) -> None:
        models = self.tables.models

        def unit(connection: sa.Connection) -> None:
            if weights is None:
                connection.execute(sa.delete(models).where(models.c.name == _WEIGHTS))
                return
            details = {"weights": dict(weights.weights), "figures": dict(weights.figures)}
            values = {
                "version": weights.version,
                "revision": 0,
                "made_at": weights.tuned_at,
                "counted_at": weights.tuned_at,
                "size": 0,
                "details": json.dumps(details),
            }
            _upsert(connection, models, _WEIGHTS, values)

        write_alone(self.database, self.tables, models, unit)

    def _insert(self, version: str, part: _Part) -> None:
        insert = sa.insert(self.tables.model_parts).values(version=version, **part._asdict())
        self.database.write(lambda connection: connection.execute(insert), is_repeatable=False)

    def _part(self, head: ModelHead, name: str) -> Columns:
        return unpacked(b"".join(self._data(head, name)))

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
            yield data

    def _require(self, head: ModelHead) -> None:
        """Refuse columns that are not all of one version and revision."""
        if self.trained().model != head:
            raise ModelError("was replaced")


def forget_user_of_model(connection: sa.Connection, tables: Tables, user_id: UserId) -> None:
    """Remove the rows of a user from the stored model, and from one that is being written."""
    one_at_a_time(connection, tables.models)
    parts = tables.model_parts.c
    [one] = hash_of_user(user_id).tolist()
    for version in connection.scalars(sa.select(parts.version).distinct()).all():
        if _remove_user(connection, tables, one, version):
            connection.execute(
                sa.update(tables.models)
                .where(tables.models.c.name == _MODEL, tables.models.c.version == version)
                .values(revision=tables.models.c.revision + 1)
            )


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
        columns = unpacked(touched.data)
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
        seller = unpacked(sold.data)["items.seller"]
        if (seller == one).any():
            known = {"items.seller": np.where(seller == one, NO_HASH, seller)}
            _replace(connection, parts, sold, packed(known))
            is_changed = True
    return is_changed


def _replace(connection: sa.Connection, parts: sa.Table, row: sa.Row[Any], data: bytes) -> None:
    connection.execute(
        sa.update(parts)
        .where(parts.c.version == row.version, parts.c.name == row.name, parts.c.place == row.place)
        .values(data=data)
    )


def _write_head(connection: sa.Connection, models: sa.Table, head: ModelHead) -> None:
    values = {
        "version": head.version,
        "revision": head.revision,
        "made_at": head.trained_at,
        "counted_at": head.counted_at,
        "size": head.size,
        "details": "{}",
    }
    _upsert(connection, models, _MODEL, values)


def _upsert(
    connection: sa.Connection, models: sa.Table, name: str, values: Mapping[str, Any]
) -> None:
    insert = upsert_into(models, connection.dialect.name).values(name=name, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_=dict(values)))


def _head(row: sa.Row[Any]) -> ModelHead:
    return ModelHead(
        version=row.version,
        revision=row.revision,
        trained_at=row.made_at,
        counted_at=row.counted_at,
        size=row.size,
    )


def _tuned(row: sa.Row[Any]) -> TunedWeights:
    """Return tuned weights; none of them where the row does not hold an object of two objects."""
    weights, figures = None, None
    # `RecursionError` is what deeply nested JSON raises.
    with suppress(ValueError, RecursionError, KeyError, TypeError):
        details = json.loads(row.details, parse_constant=_refuse)
        weights, figures = details["weights"], details["figures"]
    if not isinstance(weights, dict) or not isinstance(figures, dict):
        weights, figures = {}, {}
    return TunedWeights(version=row.version, tuned_at=row.made_at, weights=weights, figures=figures)


def _refuse(constant: str) -> object:
    """Refuse NaN and infinity, which are not JSON."""
    raise ValueError(constant)


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
    found = [unpacked(part) for part in parts]
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
