"""Statements as texts for the drivers of hosts, compiled once."""

from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary

import attrs
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg2

Statement = sa.Insert | sa.Update | sa.Delete

# A random name, which no savepoint and no prepared statement of the host has.
NAME = f"angle_reco_{uuid4().hex}"

_numbers = count(1)


@attrs.frozen(eq=False)
class Written:
    """A statement compiled for a driver: its text, its parameters and their conversions."""

    text: str
    values: Mapping[str, Any]
    processes: Mapping[str, tuple[str, Callable[[Any], Any] | None]]
    """Maps the name of each parameter to its name in the text and its conversion, if any."""

    name: str = attrs.field(factory=lambda: f"{NAME}_{next(_numbers)}", init=False)
    """The name under which connections prepare it."""

    @classmethod
    def of(cls, statement: Statement, dialect: sa.Dialect) -> "Written":
        """Return a statement compiled for a driver, from a cache by statement object."""
        known = _written.setdefault(statement, {})
        if (found := known.get(dialect.driver)) is None:
            compiled: Any = statement.compile(dialect=dialect)
            in_text = compiled.escaped_bind_names or {}
            processes = {
                name: (
                    in_text.get(name, name),
                    bind.type.dialect_impl(dialect).bind_processor(dialect),
                )
                for name, bind in compiled.binds.items()
            }
            found = cls(str(compiled), compiled.params, processes)
            known[dialect.driver] = found
        return found

    def sent(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters converted by their types, as SQLAlchemy passes them on."""
        sent = {}
        for name, value in {**self.values, **values}.items():
            in_text, process = self.processes[name]
            sent[in_text] = value if process is None else process(value)
        return sent

    def literals(self, values: Mapping[str, Any], literal: Callable[[Any], str]) -> dict[str, str]:
        """Return the parameters as *literal* quotes them, by their names in the text."""
        return {name: literal(value) for name, value in self.sent(values).items()}

    def prepare(self, names: Iterable[str]) -> str:
        """Return the text that prepares the statement, with the parameters of these *names*."""
        places = {name: f"${place}" for place, name in enumerate(names, 1)}
        return f"PREPARE {self.name} AS {self.text % places}"

    def execute(self, literals: Mapping[str, str]) -> str:
        """Return the text that executes the statement once it is prepared."""
        return f"EXECUTE {self.name}" + (f"({','.join(literals.values())})" if literals else "")


_written: "WeakKeyDictionary[Statement, dict[str, Written]]" = WeakKeyDictionary()


SQLITE3 = sqlite.dialect(paramstyle="named")
# Adds no casts to parameters: quoted into the text, `-1::bigint` would be `-(1::bigint)`.
PSYCOPG = psycopg2.dialect()  # type: ignore[no-untyped-call]  # of SQLAlchemy
