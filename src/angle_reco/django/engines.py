"""An engine of SQLAlchemy that connects as Django does."""

from typing import Any

import sqlalchemy as sa

_OF_DJANGO = ("context", "cursor_factory", "prepare_threshold")
"""Parameters that Django adds for its connections."""


def engine_of(wrapper: Any) -> sa.Engine:
    """Return an engine on the database of Django's *wrapper*; nothing connects yet.

    Each connection is made with what the wrapper says then, so that a backend which fetches
    tokens works.
    """
    named = wrapper.settings_dict
    if wrapper.vendor == "sqlite":
        engine = sa.create_engine(sa.URL.create("sqlite", database=str(named["NAME"])))
        sa.event.listen(engine, "connect", _add_functions)
        return engine
    port = str(named["PORT"] or "")
    url = sa.URL.create(
        "postgresql+psycopg",
        username=named["USER"] or None,
        host=named["HOST"] or None,
        port=int(port) if port.isdecimal() else None,
        database=named["NAME"] or None,
    )
    engine = sa.create_engine(url)

    def connect(_: sa.Dialect, __: object, args: list[Any], options: dict[str, Any]) -> None:
        args.clear()
        options.clear()
        options.update(_options(wrapper))

    sa.event.listen(engine, "do_connect", connect)
    return engine


def _options(wrapper: Any) -> dict[str, Any]:
    chosen = wrapper.settings_dict["OPTIONS"]
    options = {
        name: value
        for name, value in wrapper.get_connection_params().items()
        if name in chosen or name not in _OF_DJANGO
    }
    options.pop("cursor_factory", None)
    if role := chosen.get("assume_role"):
        options["options"] = f"{options.get('options', '')} -c role={role}".strip()
    return options


def _add_functions(raw: Any, _: object) -> None:
    """Add the functions that Django's SQL for SQLite calls."""
    from django.db.backends.sqlite3._functions import register

    register(raw)
