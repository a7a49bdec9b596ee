"""Querysets as selects: Django's SQL with its parameters, and the types of the columns."""

import re
from collections.abc import Collection
from typing import Any

import attrs
import sqlalchemy as sa
from django.core.exceptions import FieldError
from django.db import DatabaseError, connections, models
from django.db.models.expressions import Col
from psycopg import sql

_PLACEHOLDER = re.compile("%s|%%")
_COLON = re.compile(r"(?<![:\w\\]):(?=\w)")

_TYPES: tuple[tuple[type[models.Field], type[sa.types.TypeEngine[Any]]], ...] = (
    (models.UUIDField, sa.Uuid),
    (models.BooleanField, sa.Boolean),
    (models.IntegerField, sa.BigInteger),
    (models.FloatField, sa.Float),
    (models.DecimalField, sa.Numeric),
    (models.CharField, sa.Text),
    (models.TextField, sa.Text),
    (models.DateField, sa.Date),
)
"""The types of columns by the classes of Django's fields; a subclass has the type of its base."""


_READ_AS = "number, text, boolean, moment or UUID"


class QuerysetError(Exception):
    """A queryset cannot be used as a select; the text says why."""


class UnreadableFieldError(QuerysetError):
    """A column has values that the library does not read."""


@attrs.frozen
class Column:
    """A labelled column: the field that has its type, and the model's own field if it is one."""

    label: str
    field: Any
    own: Any | None

    def type(self, further: Collection[str]) -> sa.types.TypeEngine[Any]:
        """Return the type in SQLAlchemy; one of *further* may have any but bytes.

        Raises:
            UnreadableFieldError: The field has values that the library does not read.
        """
        field = self.field
        if isinstance(field, models.DateTimeField):
            return sa.DateTime(timezone=True)
        for kind, found in _TYPES:
            if isinstance(field, kind):
                return found()
        if self.label in further and not isinstance(field, models.BinaryField):
            return sa.JSON() if isinstance(field, models.JSONField) else sa.types.NullType()
        raise UnreadableFieldError(
            f"{self.label} is a {type(field).__name__}, which holds no {_READ_AS}"
        )


@attrs.frozen
class LabelledQuery:
    """A queryset of `.values(…)` as its SQL with parameters and its columns."""

    text: str
    parameters: tuple[Any, ...]
    columns: tuple[Column, ...]
    names: tuple[str, ...]
    """The names of the columns in the text."""
    is_postgres: bool

    @classmethod
    def of(cls, queryset: Any, alias: str) -> "LabelledQuery":
        """Return a queryset on the database *alias*; nothing is sent to it.

        Raises:
            QuerysetError: It is no queryset of `.values(…)`, or cannot be written as SQL.
        """
        if not isinstance(queryset, models.QuerySet):
            raise QuerysetError(f"it is a {type(queryset).__name__}, no queryset")
        query = queryset.query
        if not issubclass(queryset._iterable_class, models.query.ValuesIterable):
            raise QuerysetError("it has no .values(…), which labels the columns")
        if not query.is_sliced:
            query = queryset.order_by().query  # Its order would cost time and have no effect.
        labels = list(getattr(query, "selected", None) or ()) or [
            *query.extra_select,
            *query.values_select,
            *query.annotation_select,
        ]
        try:
            # A condition that is never true is part of the text, as any other.
            compiler = query.clone().get_compiler(alias, elide_empty=False)
            text, parameters = compiler.as_sql(with_col_aliases=True)
        except (FieldError, NotImplementedError, ValueError, DatabaseError) as error:
            raise QuerysetError(f"it cannot be written as SQL: {error}") from error
        selected = [(expression, name) for expression, _, name in compiler.select]
        columns = (
            # Django refuses a label that is a field of the model: status_ stands for status.
            _column(label.removesuffix("_"), expression, query)
            for label, (expression, _) in zip(labels, selected, strict=True)
        )
        names = tuple(name for _, name in selected)
        is_postgres = connections[alias].vendor == "postgresql"
        return cls(text, tuple(parameters), tuple(columns), names, is_postgres)

    def select(self, further: Collection[str] = ()) -> sa.Select[Any]:
        """Return the select, in which the columns of *further* may have values of any type.

        Raises:
            UnreadableFieldError: A field has values that the library does not read.
        """
        text, binds = self._written()
        types = [
            sa.column(name, column.type(further))
            for name, column in zip(self.names, self.columns, strict=True)
        ]
        rows = sa.text(text).bindparams(*binds).columns(*types).subquery("django")
        return sa.select(
            *(
                rows.c[name].label(column.label)
                for name, column in zip(self.names, self.columns, strict=True)
            )
        )

    def _written(self) -> tuple[str, list[sa.BindParameter[Any]]]:
        """Return the text for SQLAlchemy, with its parameters.

        On PostgreSQL the driver quotes the values into the text, as it does for Django: the
        types of expressions depend on it, and with them an integer division.
        """
        values = iter(self.parameters)
        binds: list[sa.BindParameter[Any]] = []

        def written(found: re.Match[str]) -> str:
            if found[0] == "%%":
                return "%"
            value = next(values)
            if self.is_postgres:
                return _COLON.sub(r"\\:", sql.Literal(value).as_string(None))
            # Without a type, SQLAlchemy hands the value over unchanged. One statement may have
            # the texts of several querysets, whose parameters get distinct names.
            name = f"django_{len(binds)}"
            binds.append(sa.bindparam(name, value, sa.types.NullType(), unique=True))
            return f":{name}"

        return _PLACEHOLDER.sub(written, _COLON.sub(r"\\:", self.text)), binds


def _column(label: str, expression: Any, query: Any) -> Column:
    try:
        field = expression.output_field
    except FieldError as error:
        raise QuerysetError(f"{label} has no type: {error}") from error
    is_own = isinstance(expression, Col) and expression.alias == query.get_initial_alias()
    own = expression.target if is_own else None
    while isinstance(field, models.ForeignKey):
        field = field.target_field
    # The type of a generated field is that of its expression.
    return Column(label, getattr(field, "output_field", field), own)
