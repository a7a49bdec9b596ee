"""A Django project for this process: its settings, and its databases."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings

SQLITE, POSTGRES, FILE = "default", "pg", "file"

chosen = [SQLITE]
"""The database that models use, the last one counts."""


class Router:
    """Sends the models to the chosen database."""

    def db_for_read(self, model: object, **_: object) -> str:
        return chosen[-1]

    def db_for_write(self, model: object, **_: object) -> str:
        return chosen[-1]


def set_up() -> None:
    """Configure Django, once in a process; no variable of the environment is set."""
    if settings.configured:
        return
    settings.configure(**SETTINGS)
    django.setup()


@contextmanager
def on(alias: str) -> Iterator[None]:
    """Use one of the databases, for the models and for the recommendations."""
    from django.db import connections
    from django.test.utils import override_settings

    chosen.append(alias)
    connections.settings[POSTGRES]["ATOMIC_REQUESTS"] = alias == POSTGRES
    try:
        with override_settings(ANGLE_RECO={**SETTINGS["ANGLE_RECO"], "DATABASE": alias}):
            yield
    finally:
        chosen.pop()
        connections.settings[POSTGRES]["ATOMIC_REQUESTS"] = False


class OnDatabase:
    """What a `TestCase` beside it needs to work on the database *alias*."""

    alias: str
    chosen: Any

    @classmethod
    def setUpClass(cls) -> None:
        cls.chosen = on(cls.alias)
        cls.chosen.__enter__()
        super().setUpClass()  # type: ignore[misc]  # of the TestCase beside it

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()  # type: ignore[misc]  # of the TestCase beside it
        cls.chosen.__exit__(None, None, None)


SETTINGS: dict[str, Any] = {
    "SECRET_KEY": "for tests",
    "ALLOWED_HOSTS": ["*"],
    "DEBUG": False,
    "USE_TZ": True,
    "TIME_ZONE": "Europe/Berlin",
    "STATIC_URL": "/static/",
    "ROOT_URLCONF": "tests.django.shop.views",
    "DATABASES": {
        SQLITE: {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": ":memory:",
            "ATOMIC_REQUESTS": True,
        },
        POSTGRES: {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "set by a fixture",
        },
        FILE: {
            "ENGINE": "django.db.backends.sqlite3",
            # Where no file can be: what connects before the fixture fails.
            "NAME": "/no/folder/set by a fixture",
        },
    },
    "DATABASE_ROUTERS": [Router()],
    "INSTALLED_APPS": [
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "angle_reco.django",
        "tests.django.shop.apps.ShopConfig",
    ],
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "angle_reco.django.middleware.reco_middleware",
    ],
    "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
    "LOGIN_URL": "/login/",
    "LOGGING_CONFIG": None,
    "MIGRATION_MODULES": {"auth": None, "contenttypes": None},
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
        }
    ],
    "ANGLE_RECO": {"MARKET": "tests.django.shop.reco.ShopMarket"},
}
