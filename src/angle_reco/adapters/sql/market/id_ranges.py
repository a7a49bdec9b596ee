"""Ranges of ids, which PostgreSQL reads from an index faster than many single ids."""

from collections.abc import Iterator
from typing import Any

import attrs
import numpy.typing as npt
import sqlalchemy as sa

from angle_reco.adapters.sql.core.database import Database
from angle_reco.adapters.sql.core.types import id_type
from angle_reco.domain.columns import NONE, IdColumn, IdIndex
from angle_reco.domain.ids import IdKind

_MANY = 2_000
_MOST_IN_ALL = 1.5
"""As many users as are asked for, and half as many others."""


@attrs.frozen
class IdRange:
    """The ids between the first and the last of some ids."""

    ids: IdIndex

    @classmethod
    def of_users(
        cls, database: Database, known: sa.ColumnElement[Any], users: IdColumn
    ) -> "IdRange | None":
        """Return the range of many *users*, None if too many others of the *known* ones are in it.

        To look for each id of an array takes PostgreSQL twice the time. Texts may have another
        order there.
        """
        if not database.is_postgres or len(users) < _MANY or users.kind is IdKind.TEXT:
            return None
        some = cls(IdIndex.of(users.kind, users))
        most = int(_MOST_IN_ALL * len(some.ids))
        in_range = sa.select(known).where(some.has(known)).limit(most + 1).subquery()
        in_all = database.scalar(sa.select(sa.func.count()).select_from(in_range))
        return some if in_all <= most else None

    def has(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        """Return the condition that an id is in the range."""
        ids = self.ids.ids
        # As texts: the driver writes the smallest integer as the negative of one that is too large.
        first, last = (
            sa.cast(sa.literal(str(ids[place]), sa.Text), id_type(ids.kind))
            for place in (0, len(ids) - 1)
        )
        return column.between(first, last)

    def without_others(
        self, batches: Iterator[list[npt.NDArray[Any]]]
    ) -> Iterator[list[npt.NDArray[Any]]]:
        """Yield the rows of which the first column is one of the ids themselves."""
        for batch in batches:
            is_one = self.ids.codes(IdColumn(self.ids.ids.kind, batch[0])) != NONE
            yield [column[is_one] for column in batch]
