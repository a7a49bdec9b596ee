"""Executes statements on a host's connection of psycopg 3, in one round trip.

Savepoint, statement and release are one text. The parameters are quoted into it: a cursor of
the connection may expect other parameters, and takes longer than the server.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import attrs
import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from sqlalchemy.exc import DBAPIError

from angle_reco.adapters.sql.core.host_savepoint import RELEASE, SAVEPOINT, Executed, Savepoint
from angle_reco.adapters.sql.core.host_texts import PSYCOPG, Statement, Written
from angle_reco.adapters.sql.core.postgres import results_of


def execute_on_psycopg(raw: Any, statement: Statement, values: Mapping[str, Any]) -> Executed:
    """Execute a statement in the transaction of a connection of psycopg.

    Raises:
        DBAPIError: The statement failed; the transaction is unchanged.
    """
    written = Written.of(statement, PSYCOPG)
    # A value that cannot be quoted fails here, before anything is sent.
    literals = written.literals(values, literal_on(raw))
    try:
        return _executed(raw, written, literals)
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.InvalidSqlStatementName):
            raise
        # The host has discarded what was prepared, and may do so again.
        _sessions[raw] = _Session(may_prepare=False)
        return _executed(raw, written, literals)


def literal_on(raw: Any) -> Callable[[Any], str]:
    """Return a function that quotes a value for a connection, as psycopg does."""
    escape = pq.Escaping(raw.pgconn).escape_literal

    def literal(value: Any) -> str:
        if value is None:
            return "NULL"
        # Most values are one of these; psycopg would look for their types each time.
        if type(value) is int and value >= 0:
            return str(value)
        if type(value) is str and value.isascii():
            return bytes(escape(value.encode())).decode()
        transformer = Transformer(raw)
        return bytes(transformer.as_literal(value)).decode(transformer.encoding)

    return literal


def _executed(raw: Any, written: Written, literals: Mapping[str, str]) -> Executed:
    def execute(text: str) -> list[pq.abc.PGresult]:
        return results_of(raw, text.encode("ascii" if text.isascii() else raw.info.encoding))

    with Savepoint.on(raw, execute, psycopg.Error) as savepoint:
        if savepoint.is_bare:
            return Executed(execute(written.text % literals)[0].command_tuples or 0)
        if savepoint.was_idle:
            psycopg.ClientCursor(raw).execute("")  # Makes the driver begin a transaction.
        session = _session_of(raw)
        text = "; ".join((*session.texts(written, literals), RELEASE))
        if text.isascii():
            _, *results, _ = execute(f"{SAVEPOINT}; {text}")
        else:
            # The server may refuse the whole text for a character that its encoding lacks.
            execute(SAVEPOINT)
            savepoint.is_set = True
            *results, _ = execute(text)
        if session.may_prepare is None:
            session.may_prepare = _number(results[0]) == raw.info.backend_pid
        return Executed(results[-1].command_tuples or 0, _number(results[-1]), raw)


def _number(result: pq.abc.PGresult) -> int | None:
    """Return the first field of the last row, None without one."""
    found = result.get_value(result.ntuples - 1, 0) if result.ntuples else None
    return None if found is None else int(found)


@attrs.define(eq=False)
class _Session:
    """What is prepared in the server's session behind a connection.

    The server takes longer to parse and plan the text of an event than to execute it, so a
    statement is prepared when it is sent for the second time.
    """

    may_prepare: bool | None
    """None until the server has named its process.

    A pooler, which may use another session for each transaction, has named another process.
    """

    _left: int = attrs.field(default=100, init=False)
    """How many more statements may be prepared."""

    _is_prepared: "WeakKeyDictionary[Written, bool]" = attrs.field(
        factory=WeakKeyDictionary, init=False
    )
    """Whether a statement is prepared, for those that were sent."""

    def texts(self, written: Written, literals: Mapping[str, str]) -> Sequence[str]:
        """Return the texts to send for a statement; the result of the last one is its own."""
        is_prepared = self._is_prepared.get(written)
        if is_prepared:
            return (written.execute(literals),)
        prepares = bool(self.may_prepare and is_prepared is not None and self._left)
        self._is_prepared[written] = prepares
        if prepares:
            self._left -= 1
            return (written.prepare(literals), written.execute(literals))
        text = written.text % literals
        return (text,) if self.may_prepare is not None else ("SELECT pg_backend_pid()", text)


_sessions: "WeakKeyDictionary[Any, _Session]" = WeakKeyDictionary()


def _session_of(raw: Any) -> _Session:
    if (found := _sessions.get(raw)) is None:
        # A host turns preparing off because of a pooler, too.
        found = _sessions[raw] = _Session(None if raw.prepare_threshold is not None else False)
    return found
