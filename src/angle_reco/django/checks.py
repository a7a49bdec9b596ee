"""System checks: what is wrong with the configuration, in one line each."""

import json
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import QuerySet

from angle_reco import AngleRecoError, Recommender, SchemaError
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.django.configuration import ConfigurationError, configured
from angle_reco.django.connecting import recommender, with_our_command
from angle_reco.django.market import MappedMarket, Market

_MIDDLEWARE = "angle_reco.django.middleware.reco_middleware"
_USERS = "django.contrib.auth.middleware.AuthenticationMiddleware"
_REQUEST = "django.template.context_processors.request"
_MIGRATE = "Run manage.py migrate, which creates the tables of angle_reco, too."
_SHARED = "the last run of %s had other settings: they changed since, or two applications differ"
_APART = (
    "Applications on one database need equal settings, or each a PREFIX or SCHEMA in ANGLE_RECO."
)


def check_configuration(app_configs: object, **_: Any) -> list[checks.CheckMessage]:
    """Check ANGLE_RECO, the market, the middleware and the templates; nothing is opened."""
    try:
        recommender()
    except ConfigurationError as error:
        return [checks.Error(str(error), hint=error.hint, id=error.id)]
    return [*_middleware(), *_templates(), *_unread(configured().market)]


def check_database(
    app_configs: object, databases: Sequence[str] | None, **_: Any
) -> list[checks.CheckMessage]:
    """Check that the tables exist, and that the querysets can be read.

    These are warnings, because `migrate` runs the check before it migrates the tables. On a
    database that it has never migrated nothing is missing yet.
    """
    try:
        alias = configured().alias
        if alias not in (databases or ()):
            return []
        reco = recommender()
        reco.check()
        others = _jobs_of_other_settings(reco)
    except ConfigurationError:
        return []  # `check_configuration` says why.
    except AngleRecoError as error:
        if isinstance(error, SchemaError) and not _is_migrated(alias):
            return []
        text = with_our_command(str(error))
        hint = _MIGRATE if "manage.py reco migrate" in text else None
        return [checks.Warning(text, hint=hint, id="angle_reco.W010")]
    if not others:
        return []
    return [checks.Warning(_SHARED % ", ".join(others), hint=_APART, id="angle_reco.W011")]


def _jobs_of_other_settings(reco: Recommender) -> list[str]:
    ours = reco.settings.version
    last = reco.ports.ledger.last_of_each(BATCH_JOBS)
    # Runs of releases that stored no version count as ours.
    return [
        name
        for name, run in last.items()
        if json.loads(run.outcome or "{}").get("settings", ours) != ours
    ]


def _is_migrated(alias: str) -> bool:
    applied = MigrationRecorder(connections[alias]).applied_migrations()
    return any(app == "angle_reco" for app, _ in applied)


def _middleware() -> list[checks.CheckMessage]:
    known = list(settings.MIDDLEWARE)
    if _MIDDLEWARE in known and _USERS in known[known.index(_MIDDLEWARE) :]:
        text = f"{_MIDDLEWARE} comes before {_USERS}: every user is a visitor to it"
        return [checks.Error(text, hint="Move it below.", id="angle_reco.E010")]
    return []


def _templates() -> list[checks.CheckMessage]:
    engines = [
        one
        for one in settings.TEMPLATES
        if one.get("BACKEND") == "django.template.backends.django.DjangoTemplates"
    ]
    if all(_REQUEST in one.get("OPTIONS", {}).get("context_processors", ()) for one in engines):
        return []
    text = "templates have no request: the tags of {% load reco %} show what a visitor may see"
    hint = f"Add {_REQUEST} to the context_processors of TEMPLATES."
    return [checks.Warning(text, hint=hint, id="angle_reco.W001")]


def _unread(mapped: MappedMarket) -> list[checks.CheckMessage]:
    """Find querysets that nothing reads, such as `watch` for `watches`."""
    known = tuple(Market.__annotations__)
    own = vars(type(mapped.market))
    return [
        checks.Warning(
            f"{mapped.name}.{name} is not read: a market has {', '.join(known)}",
            hint="Correct the name, or let it begin with an underscore.",
            id="angle_reco.W002",
        )
        for name, value in own.items()
        if isinstance(value, QuerySet) and name not in known and not name.startswith("_")
    ]
