"""Tuning the weights of `blended` from the command line."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from angle_reco.cli import run
from angle_reco.domain.scoring.blended_ranker import BLENDED
from tests.cli.conftest import Angle
from tests.evaluation.test_tune import market

QUICK = ["--cuts", "2", "--every", "4", "--window", "5"]
SHIPPED = {component.name: weight for component, weight in BLENDED.weights}


def write_market(folder: Path, *, loyalty: float) -> Path:
    """Write the files of a marketplace of which it is known whether tuning helps."""
    shop = market(loyalty=loyalty)
    folder.mkdir()
    files = {
        "users.csv": [
            "user_id,inserted_at,last_sign_in_at,sign_in_count",
            *(f"{one},,," for one in shop.users),
        ],
        "items.csv": [
            "item_id,category_id,seller_id,title,starting_price,current_price,"
            "publication_status,starts_at,end_time,inserted_at",
            *(
                f"{one.item_id},,{one.seller_id},{one.title},,,published,,,"
                f"{one.listed_at:%Y-%m-%dT%H:%M:%SZ}"
                for one in shop.items.values()
            ),
        ],
        "bids.csv": ["user_id,item_id,amount,placed_at"],
        "watches.csv": [
            "user_id,item_id,inserted_at",
            *(
                f"{one.user_id},{one.item_id},{one.watched_at:%Y-%m-%dT%H:%M:%SZ}"
                for one in shop.watches.values()
            ),
        ],
    }
    for name, lines in files.items():
        (folder / name).write_text("\n".join([*lines, ""]))
    return folder


@pytest.fixture(scope="module")
def loyal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a marketplace on which users stay with their sellers, imported."""
    folder = tmp_path_factory.mktemp("tuned")
    files = write_market(folder / "shop", loyalty=0.9)
    assert run(["import", str(files), "--database", f"sqlite:///{folder / 'shop.db'}"]) == 0
    return folder


@pytest.fixture
def database(loyal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a database with that marketplace, which commands use by default."""
    mine = tmp_path / "mine.db"
    shutil.copy(loyal / "shop.db", mine)
    monkeypatch.setenv("ANGLE_RECO_DATABASE", f"sqlite:///{mine}")
    return mine


def stored(angle: Angle) -> Any:
    return json.loads(angle("tune", "--show", "--json").out)["stored"]


def test_better_weights_are_stored_shown_used_and_removed(angle: Angle, database: Path) -> None:
    said = angle("tune", *QUICK)

    assert said.status == 0
    lines = said.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in said.out
    assert "0 bids and 560 watches" in said.out
    assert "of 40 users on 120 items" in said.out
    [seller] = [line.split() for line in lines if line.strip().startswith("seller")]
    assert seller[1] == "0.050"
    assert float(seller[2]) > 0.05
    assert seller[3].startswith("+")
    assert "stored: the tuned weights changed the NDCG@10" in said.out
    assert "tuning: comparing weights" in said.err
    assert "train_models" in said.err

    found = stored(angle)
    assert found["problem"] is None
    assert sum(found["weights"].values()) == 1_000_000
    assert found["figures"]["seed"] == 0
    assert found["figures"]["is_better"] is True
    assert len(found["figures"]["fitted"]) == 3
    assert f"{found['weights']['seller']}" in angle("tune", "--show").out

    removed = angle("tune", "--undo")
    assert (removed.status, removed.out.split(":")[0]) == (0, "removed")
    assert stored(angle) is None
    assert angle("tune", "--undo").out == "no weights were stored\n"
    assert json.loads(angle("tune", "--undo", "--json").out) == {"is_removed": False}
    assert angle("tune", "--show").out == "no weights are stored: the shipped ones count\n"


def test_a_dry_run_stores_nothing_and_says_the_same(
    angle: Angle, database: Path, loyal: Path
) -> None:
    before = database.read_bytes()

    assert "not stored, though better: " in angle("tune", *QUICK, "--dry-run").out
    said = angle("tune", *QUICK, "--dry-run", "--json")
    from_files = angle("tune", str(loyal / "shop"), *QUICK, "--json")

    found, of_files = json.loads(said.out), json.loads(from_files.out)
    assert database.read_bytes() == before
    assert (said.status, from_files.status) == (0, 0)
    assert (found.pop("is_stored"), of_files.pop("is_stored")) == (False, False)
    assert (found.pop("source"), of_files.pop("source")) == ("mine.db", "shop")
    assert found == of_files
    assert "nothing is stored: a directory has no place for weights" in from_files.err


def test_weights_that_are_not_better_are_not_stored(angle: Angle, database: Path) -> None:
    """And those that are stored stay."""
    assert angle("tune", *QUICK).status == 0
    kept = stored(angle)

    said = angle("tune", *QUICK, "--users", "5")

    assert said.status == 1
    assert "not stored: the tuned weights changed" in said.out
    assert "may be chance" in said.out.replace("\n", " ")
    assert "stay; --undo removes them" in said.err
    assert stored(angle) == kept


def test_an_application_in_memory_stores_nothing(angle: Angle, tmp_path: Path) -> None:
    (tmp_path / "shop_to_tune.py").write_text(
        "from angle_reco import Recommender\n"
        "from tests.evaluation.test_tune import market\n"
        "reco = Recommender.in_memory(market(loyalty=0.9))\n"
    )

    said = angle("tune", *QUICK, "--app", "shop_to_tune:reco", "--json")

    assert said.status == 0
    assert json.loads(said.out)["is_stored"] is False
    assert "nothing is stored: the application keeps its data in memory" in said.err


def test_an_application_whose_ranker_is_fixed_is_remarked(
    angle: Angle, database: Path, tmp_path: Path
) -> None:
    (tmp_path / "shop_with_classic.py").write_text(
        "from angle_reco import Recommender, Settings\n"
        f"reco = Recommender.connect('sqlite:///{database}', settings=Settings(ranker='classic'))\n"
    )

    said = angle("tune", *QUICK, "--app", "shop_with_classic:reco")

    assert said.status == 0
    assert "with the ranker auto, but the settings name classic" in said.err
    assert stored(angle) is not None


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--window", "90"], "too short to split"),
        (["--window", "18"], "too short to tune"),
        (["--every", "nan"], "'nan' is no number of days"),
        (["--seed", "-1"], "-1 is not in the range"),
        (["--show", "--undo"], "go without each other, and without tuning"),
        (["--undo", "--dry-run"], "go without each other, and without tuning"),
        (["--show", "--seed", "1"], "go without each other, and without tuning"),
        (["shop", "--undo"], "go with a database, which stores the weights"),
        (["shop", "--database", "sqlite:///x.db"], "name one of them"),
        (["no-such-folder"], "no-such-folder"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    angle: Angle, database: Path, args: list[str], said: str
) -> None:
    answer = angle("tune", *args)

    assert (answer.status, answer.out) == (2, "")
    assert said in answer.err.splitlines()[-1]


def edit(database: Path, details: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        done = connection.execute(
            "UPDATE angle_reco_models SET details = ? WHERE name = 'weights'", [details]
        )
        assert done.rowcount == 1


NONSENSE = {
    "an unknown component": (
        '{"weights": {"magic": 1000000}, "figures": {}}',
        "component of blended is 'magic'",
    ),
    "a negative weight": (
        '{"weights": {"taste": -5, "heat": 1000000}, "figures": {}}',
        "weight of taste, in millionths, is -5",
    ),
    "a fraction": ('{"weights": {"taste": 0.5}, "figures": {}}', "weight of taste"),
    "a text": ('{"weights": {"taste": "1"}, "figures": {}}', "weight of taste"),
    "more than 1": (
        '{"weights": {"taste": 800000, "heat": 800000}, "figures": {}}',
        "sum of the weights of a ranker is 1.6",
    ),
    "a sum of 0": (
        '{"weights": {"taste": 0}, "figures": {}}',
        "sum of the weights of blended is 0",
    ),
    "no weights": ('{"weights": {}, "figures": {}}', "sum of the weights of blended is 0"),
    "no JSON": ("nonsense", "sum of the weights of blended is 0"),
    "NaN": ('{"weights": {"taste": NaN}, "figures": {}}', "sum of the weights of blended is 0"),
    "a list": ("[1, 2]", "sum of the weights of blended is 0"),
    "a number": ("7", "sum of the weights of blended is 0"),
    "no key": ("{}", "sum of the weights of blended is 0"),
    "deep nesting": ("[" * 100_000, "sum of the weights of blended is 0"),
    "weights in a list": ('{"weights": [1], "figures": {}}', "sum of the weights of blended is 0"),
    "figures in a list": ('{"weights": {}, "figures": []}', "sum of the weights of blended is 0"),
}


@pytest.fixture(scope="module")
def with_weights(loyal: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with a model and tuned weights."""
    mine = tmp_path_factory.mktemp("weights") / "shop.db"
    shutil.copy(loyal / "shop.db", mine)
    where = ["--database", f"sqlite:///{mine}"]
    assert run(["tune", *QUICK, *where]) == 0
    return mine


@pytest.mark.parametrize("kind", NONSENSE)
def test_weights_that_were_edited_into_nonsense_are_shown_and_removed(
    angle: Angle, with_weights: Path, database: Path, kind: str
) -> None:
    shutil.copy(with_weights, database)
    details, problem = NONSENSE[kind]
    edit(database, details)

    said = angle("tune", "--show")

    assert said.status == 0
    assert "the stored weights cannot be used, and the shipped ones count" in said.err
    assert problem in said.err
    assert stored(angle)["problem"] is not None
    assert angle("tune", "--undo").out.startswith("removed: ")
    assert stored(angle) is None
