"""The setting ANGLE_RECO of a Django project."""

from collections.abc import Mapping
from typing import Any

import attrs
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.module_loading import import_string
from django.utils.translation import get_language

from angle_reco.django.market import MappedMarket, Market
from angle_reco.settings import Settings

_EXAMPLE = 'ANGLE_RECO = {"MARKET": "shop.reco.Market"}'
_KNOWN = ("MARKET", "DATABASE", "SETTINGS", "SCHEMA", "PREFIX", "JOBS_IN_SERVERS")
_VENDORS = ("postgresql", "sqlite")


class ConfigurationError(ImproperlyConfigured):
    """The project's configuration cannot be used; *id* is that of the system check."""

    def __init__(self, id: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.id = f"angle_reco.{id}"
        self.hint = hint


@attrs.frozen(kw_only=True)
class Configuration:
    """The values of ANGLE_RECO.

    The market is in the database *alias*; the tables of the library are beside it, in *schema*
    and with *prefix*. With *jobs_in_servers* the processes that serve requests run the jobs.
    """

    market: MappedMarket
    alias: str
    settings: Settings
    schema: str | None
    prefix: str | None
    jobs_in_servers: bool


def configured() -> Configuration:
    """Return the configuration of the project.

    Raises:
        ConfigurationError: A value is missing or cannot be used; the text says which and why.
    """
    given = getattr(django_settings, "ANGLE_RECO", None)
    if given is None:
        raise ConfigurationError("E001", "ANGLE_RECO is not set", f"Add {_EXAMPLE}.")
    if not isinstance(given, Mapping):
        raise ConfigurationError("E002", f"ANGLE_RECO is a {type(given).__name__}, no dict")
    if unknown := sorted(str(name) for name in given if name not in _KNOWN):
        raise ConfigurationError(
            "E002", f"ANGLE_RECO has an unknown key {unknown[0]!r}", f"Known: {', '.join(_KNOWN)}."
        )
    if not _known or _known[0][0] is not given:
        _known[:] = [(given, _configuration(given))]
    return _known[0][1]


_known: list[tuple[object, Configuration]] = []
"""The setting and what it says; another object is read again."""


def forget_configuration() -> None:
    """Read the setting again at the next call."""
    _known.clear()


def _configuration(given: Mapping[str, Any]) -> Configuration:
    alias = _alias(given)
    return Configuration(
        market=_market(given, alias),
        alias=alias,
        settings=_settings(given),
        schema=_text(given, "SCHEMA"),
        prefix=_text(given, "PREFIX"),
        jobs_in_servers=_flag(given, "JOBS_IN_SERVERS"),
    )


def _market(given: Mapping[str, Any], alias: str) -> MappedMarket:
    path = given.get("MARKET")
    if path is None:
        raise ConfigurationError("E001", "ANGLE_RECO has no MARKET", f"Add {_EXAMPLE}.")
    try:
        found = import_string(path) if isinstance(path, str) else path
    except ImportError as error:
        raise ConfigurationError("E003", f"MARKET {path!r} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Market)):
        raise ConfigurationError(
            "E003", f"MARKET {path!r} is no subclass of angle_reco.django.Market"
        )
    return MappedMarket(found(), alias)


def _alias(given: Mapping[str, Any]) -> str:
    alias = given.get("DATABASE", DEFAULT_DB_ALIAS)
    if not isinstance(alias, str) or alias not in connections.settings:
        raise ConfigurationError("E009", f"DATABASE {alias!r} is not one of DATABASES")
    vendor = connections[alias].vendor
    if vendor not in _VENDORS:
        raise ConfigurationError(
            "E009", f"the database {alias!r} is {vendor}; supported are PostgreSQL and SQLite"
        )
    return alias


def _settings(given: Mapping[str, Any]) -> Settings:
    found = given.get("SETTINGS")
    if found is None:
        return Settings(language=get_language)
    if isinstance(found, str):
        try:
            found = import_string(found)
        except ImportError as error:
            raise ConfigurationError("E002", f"SETTINGS cannot be imported: {error}") from error
    if not isinstance(found, Settings):
        raise ConfigurationError(
            "E002", "SETTINGS is no angle_reco.Settings, and no path such as shop.reco.settings"
        )
    return found


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError("E002", f"{name} is {value!r}, and should be a text or None")
    return value


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name, True)
    if not isinstance(value, bool):
        raise ConfigurationError("E002", f"{name} is {value!r}, and should be True or False")
    return value
