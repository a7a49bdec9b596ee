"""The recommender of this process, on the database that Django is configured for."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import attrs
import sqlalchemy as sa
from django.apps import apps
from django.core.management.base import CommandError
from django.db import connections
from django.test.utils import _TestState

from angle_reco import AngleRecoError, InvalidValueError, Recommender
from angle_reco.adapters.sql.storage import Storage
from angle_reco.django.configuration import (
    Configuration,
    ConfigurationError,
    configured,
    forget_configuration,
)
from angle_reco.django.market import MarketError
from angle_reco.django.permissions import DjangoPermissions
from angle_reco.ports.clock import Clock

_TOO_EARLY = (
    "recommender() is called while applications are loaded, as by ready(), which also runs in"
    " every command, in tests and in processes that fork"
)

_lock = Lock()
_own: dict[int, Recommender] = {}
"""The recommender that opens connections itself, by the id of the configuration."""

_borrowing: "WeakKeyDictionary[Any, tuple[Any, Recommender]]" = WeakKeyDictionary()
"""The recommender on the connection of each wrapper of Django, with the driver's connection."""

_clocks: list[Clock] = []
"""The clocks that tests have set, the newest last."""


def recommender() -> Recommender:
    """Return the recommender of this process; nothing is sent to the database yet.

    In tests, and on a database in memory, it works on Django's connection of the calling
    thread: within its transaction, without a cache, and without jobs.

    Raises:
        ConfigurationError: The project's configuration cannot be used, or applications are still
            loaded: in `ready()` of one it is not known yet what the process is for.
    """
    if not apps.ready:
        raise ConfigurationError("E011", _TOO_EARLY, "Servers start the jobs by themselves.")
    configuration = configured()
    wrapper = connections[configuration.alias]
    if is_test() or _is_in_memory(wrapper):
        return borrowing(configuration)
    with _lock:
        if id(configuration) not in _own:
            _own.clear()
            _own[id(configuration)] = _with_own_connections(configuration, wrapper)
        return _own[id(configuration)]


def borrowing(configuration: Configuration) -> Recommender:
    """Return a recommender that works within the transaction of Django's connection."""
    wrapper = connections[configuration.alias]
    raw, known = _borrowing.get(wrapper, (None, None))
    if known is None or raw is not wrapper.connection:
        arguments = _arguments(configuration)
        with _configuring():
            known = Recommender.from_connection(wrapper, check=False, **arguments)
        known = _completed(known, configuration)
        _borrowing[wrapper] = wrapper.connection, known
    return known


def is_test() -> bool:
    """Return whether Django's test environment is set up."""
    # Django has no public name for it, and itself asks in this way.
    return hasattr(_TestState, "saved_data")


def opened() -> Recommender | None:
    """Return the recommender with its own connections if this process has used it."""
    return next(iter(_own.values()), None)


def forget() -> None:
    """Close the recommenders of this process; the next call makes new ones."""
    with _lock:
        known = [*_own.values()]
        _own.clear()
        _borrowing.clear()
    for one in known:
        one.close()


def use_clock(clock: Clock | None) -> None:
    """Use the clock of a test from now on, or the system's again."""
    _clocks[:] = [] if clock is None else [clock]
    forget()


def on_setting_changed(*, setting: str, **_: Any) -> None:
    """Read the configuration again if a test has changed a setting."""
    if setting in ("ANGLE_RECO", "DATABASES", "TIME_ZONE", "USE_TZ"):
        forget_configuration()
        forget()


def with_our_command(text: str) -> str:
    """Return the text of an error with the command that a Django project has for migrations."""
    text = text.replace(" (in Python: connect with migrate=True)", "")
    return text.replace("`angle-reco migrate up`", "`manage.py reco migrate`")


def create_tables(*, using: str, verbosity: int = 1, **_: Any) -> None:
    """Create or migrate the tables of the library after `manage.py migrate`.

    In tests they are emptied, too: Django calls this when it has emptied the tables of models
    after a test that commits.

    Raises:
        CommandError: The tables cannot be created.
    """
    try:
        if using != configured().alias:
            return
        storage = recommender().storage
        if storage is None:
            return
        is_new = storage.migrate_up()
        if is_test():
            _empty(storage)
    except ConfigurationError:
        return  # The system checks say what is wrong.
    except AngleRecoError as error:
        text = with_our_command(str(error))
        raise CommandError(f"tables of angle_reco: {text}") from error
    if is_new and verbosity >= 1:
        print("Created or migrated the tables of angle_reco.")


def _empty(storage: Storage) -> None:
    kept = (storage.tables.additions, storage.tables.keys)
    tables = [one for one in storage.tables.own.sorted_tables if one not in kept]

    def empty(connection: sa.Connection) -> None:
        for table in reversed(tables):
            connection.execute(sa.delete(table))

    storage.database.write(empty)


def _with_own_connections(configuration: Configuration, wrapper: Any) -> Recommender:
    from angle_reco.django.engines import engine_of

    # Django's setting for a pooler in transaction mode, such as PgBouncer.
    pooler = wrapper.vendor == "postgresql" and wrapper.settings_dict.get(
        "DISABLE_SERVER_SIDE_CURSORS", False
    )
    arguments = _arguments(configuration)
    with _configuring():
        ours = Recommender.from_engine(
            engine_of(wrapper), check=False, pooler=bool(pooler), **arguments
        )
    return _completed(ours, configuration)


def _arguments(configuration: Configuration) -> dict[str, Any]:
    market = configuration.market
    try:
        return {
            "host": market.host_schema,
            "settings": attrs.evolve(configuration.settings, ids=market.id_kinds),
            "schema": configuration.schema,
            "prefix": configuration.prefix,
        }
    except MarketError as error:
        raise ConfigurationError(error.id, str(error), error.hint) from error


@contextmanager
def _configuring() -> Iterator[None]:
    """Say which value of ANGLE_RECO cannot be used."""
    try:
        yield
    except InvalidValueError as error:
        raise ConfigurationError("E002", str(error)) from error


def _completed(ours: Recommender, configuration: Configuration) -> Recommender:
    """Return a recommender with Django's permissions, and the clock of a test if there is one."""
    ports = attrs.evolve(ours.ports, permissions=DjangoPermissions(configuration.market))
    if _clocks:
        ports = attrs.evolve(ports, clock=_clocks[-1])
    return Recommender(ports, ours.settings)


def _is_in_memory(wrapper: Any) -> bool:
    return wrapper.vendor == "sqlite" and bool(wrapper.is_in_memory_db())
