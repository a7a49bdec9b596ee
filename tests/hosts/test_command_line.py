"""The command line on an application of Django's, which it sets up."""

import os
import subprocess
import sys
from pathlib import Path

SETTINGS = """
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.db"}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
SECRET_KEY = "of a test"
"""

SHOP = """
import sqlalchemy as sa
from django.contrib.auth.models import User
from angle_reco import HostSchema, IdKind, IdKinds, Recommender, Settings

USERS = sa.table(User._meta.db_table, sa.column("id", sa.Integer))


def none_of(**types):
    columns = [sa.cast(sa.null(), of).label(name) for name, of in types.items()]
    return sa.select(*columns).where(sa.false())


def make():
    host = HostSchema(
        users=sa.select(USERS.c.id.label("user_id")),
        items=none_of(item_id=sa.Integer),
        bids=none_of(user_id=sa.Integer, item_id=sa.Integer, placed_at=sa.DateTime),
        watches=none_of(user_id=sa.Integer, item_id=sa.Integer, watched_at=sa.DateTime),
    )
    settings = Settings(ids=IdKinds(user=IdKind.INT, item=IdKind.INT))
    return Recommender.connect("sqlite:///site.db", settings=settings, host=host)
"""


def test_an_application_may_import_models(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text(SETTINGS, "utf-8")
    (tmp_path / "shop.py").write_text(SHOP, "utf-8")
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings", "NO_COLOR": "1"}

    def run(*args: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", *args],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    run("django", "migrate")

    assert "brought up to date" in run("angle_reco", "migrate", "up", "--app", "shop:make")
    assert (
        run("angle_reco", "--app", "shop:make", "check")
        == "nothing odd was found in the first 10,000 rows of each select\n"
    )
