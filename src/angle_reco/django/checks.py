"""System checks: what is wrong with the configuration, in one line each."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks

from angle_reco import AngleRecoError
from angle_reco.application.jobs.news import has_other_settings
from angle_reco.django.configuration import ConfigurationError, configured
from angle_reco.django.connecting import recommender

_MIDDLEWARE = "angle_reco.django.middleware.reco_middleware"
_USERS = "django.contrib.auth.middleware.AuthenticationMiddleware"
_REQUEST = "django.template.context_processors.request"
_SHARED = (
    "the last run of the jobs had other settings: they changed since, or two applications differ"
)
_APART = (
    "Applications on one database need equal settings, or each a PREFIX or SCHEMA in ANGLE_RECO."
)


def check_configuration(app_configs: object, **_: Any) -> list[checks.CheckMessage]:
    """Check ANGLE_RECO, the market, the middleware and the templates; nothing is opened."""
    try:
        recommender()
    except ConfigurationError as error:
        return [checks.Error(str(error), hint=error.hint, id=error.id)]
    return [*_middleware(), *_templates()]


def check_database(
    app_configs: object, databases: Sequence[str] | None, **_: Any
) -> list[checks.CheckMessage]:
    """Check that the tables exist, and that the querysets can be read.

    These are warnings, because `migrate` runs the check before it creates the tables.
    """
    try:
        if configured().alias not in (databases or ()):
            return []
        reco = recommender()
        reco.check()
        is_shared = has_other_settings(reco.ports.interests, reco.settings)
    except ConfigurationError:
        return []  # `check_configuration` says why.
    except AngleRecoError as error:
        hint = "Run manage.py migrate, which creates the tables of angle_reco, too."
        return [checks.Warning(str(error), hint=hint, id="angle_reco.W010")]
    return [checks.Warning(_SHARED, hint=_APART, id="angle_reco.W011")] if is_shared else []


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
