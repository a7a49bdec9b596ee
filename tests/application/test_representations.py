"""What `repr` shows of objects a host holds: little, and nothing secret or personal."""

from pathlib import Path
from typing import Any

import attrs
import pytest
import sqlalchemy as sa

from angle_reco import Recommender, Settings
from angle_reco.composition import Ports

LONGEST = 500
USER = "visitor-in-a-request"
SECRETS = ["s3cret-of-the-log", "s3cret-of-the-database", USER]


def shown(reco: Recommender) -> dict[str, str]:
    """Return how what a host holds is shown, by what it is."""
    held: dict[str, Any] = {
        "recommender": reco,
        "ports": reco.ports,
        "storage": reco.storage,
        "view": reco.as_user(USER),
        "system": reco.system,
        "anonymous": reco.anonymous,
        "use cases": reco.system._use_cases,
        "aio": reco.aio,
        "view of aio": reco.aio.as_user(USER),
        **{field.name: getattr(reco.ports, field.name) for field in attrs.fields(Ports)},
    }
    return {name: repr(one) for name, one in held.items()}


@pytest.fixture(params=["memory", "sqlite"])
def reco(request: pytest.FixtureRequest, tmp_path: Path) -> Recommender:
    """Return a recommender that has erased a user, and so knows the key of erasures."""
    settings = Settings(log_key=SECRETS[0])
    if request.param == "memory":
        reco = Recommender.in_memory(settings=settings)
    else:
        reco = Recommender.connect(
            f"sqlite:///{tmp_path / 'shop.db'}", settings=settings, migrate=True
        )
    reco.system.erase_user(USER)
    reco.signed_in("another")
    return reco


def test_what_a_host_holds_is_shown_in_a_line(reco: Recommender) -> None:
    too_long = {name: len(text) for name, text in shown(reco).items() if len(text) > LONGEST}

    assert too_long == {}


def test_no_secret_is_shown(reco: Recommender) -> None:
    secrets = [*SECRETS, *keys_of(reco)]

    found = [name for name, text in shown(reco).items() if any(one in text for one in secrets)]

    assert found == []


def test_the_password_of_a_database_is_not_shown() -> None:
    reco = Recommender.connect(
        f"postgresql://shop:{SECRETS[1]}@127.0.0.1:1/shop?sslpassword={SECRETS[1]}", check=False
    )

    assert [name for name, text in shown(reco).items() if SECRETS[1] in text] == []


def test_a_view_says_whose_it_is_but_not_which_user() -> None:
    reco = Recommender.in_memory()

    assert repr(reco) == "<Recommender in memory>"
    assert repr(reco.system) == "View(system)"
    assert repr(reco.anonymous) == "View(anonymous)"
    assert repr(reco.as_user(USER)) == "View(signed in)"
    assert repr(reco.as_user(USER).stored) == "StoredView(signed in)"
    assert repr(reco.ports).startswith("Ports(users=MemoryUsers, activity=MemoryActivity")


def keys_of(reco: Recommender) -> list[str]:
    """Return the key of erasures as it might be shown."""
    if reco.storage is None:
        return []
    value = reco.storage.database.scalar(sa.select(reco.storage.tables.keys.c.value))
    return [value, repr(bytes.fromhex(value))]
