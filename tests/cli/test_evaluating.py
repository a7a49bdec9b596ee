"""Measuring what rankings are worth, from the command line."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from angle_reco.simulation import MarketplaceShape, simulate
from tests.cli.conftest import Angle, write_files

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SHAPE = MarketplaceShape(users=80, items=120, bids=1_500, watches=400, sellers=8, days=120)
QUICK = ["--cuts", "2"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the files of a simulated marketplace."""
    folder = tmp_path_factory.mktemp("simulated") / "shop"
    simulate(SHAPE, now=NOW).write_csv(folder)
    return folder


def test_a_directory_is_measured_without_a_database(angle: Angle, files: Path) -> None:
    said = angle("evaluate", str(files), *QUICK)

    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[0].startswith("homepage: ")
    assert lines[0].endswith("users, 2 cuts; baseline: popular")
    assert lines[1].split() == ["NDCG@10", "95", "%", "×", "base", "95", "%", "hit"]
    assert [line.split("  ")[0].strip() for line in lines[2:6]] == [
        "popular",
        "recent popular",
        "ending soonest",
        "classic",
    ]
    assert max(map(len, lines)) <= 80
    assert "…" not in said.out
    assert "ranking: classic" in said.err
    # Nothing was left behind.
    assert list(Path.cwd().iterdir()) == []


def test_json_has_all_figures(angle: Angle, files: Path) -> None:
    said = angle("evaluate", str(files), *QUICK, "--order", "--json", "--ranker", "classic")

    report = json.loads(said.out)
    assert [one["name"] for one in report["surfaces"]] == [
        "homepage",
        "order",
        "similar items",
        "after a bid",
    ]
    homepage = report["surfaces"][0]
    assert len(homepage["cuts"]) == 2
    classic = homepage["rankers"][-1]
    assert classic["name"] == "classic"
    for name in ("ndcg", "recall", "mrr", "hit", "served", "novelty", "similarity", "ratio"):
        figure = classic[name]
        assert figure["low"] <= figure["value"] <= figure["high"]


def test_the_same_seed_gives_the_same_figures(angle: Angle, files: Path) -> None:
    few = [*QUICK, "--users", "5", "--json"]
    first, again, other = (
        json.loads(angle("evaluate", str(files), *few, "--seed", seed).out) for seed in "112"
    )

    assert first == again
    assert first != other
    assert first["surfaces"][0]["questions"] == 10


def test_a_page_is_written(angle: Angle, files: Path, tmp_path: Path) -> None:
    said = angle("evaluate", str(files), *QUICK, "--html", "page.html")

    assert said.status == 0
    assert (tmp_path / "page.html").read_text("utf-8").startswith("<!DOCTYPE html>")


def test_a_database_has_the_same_figures_as_its_files_and_is_not_changed(
    angle: Angle, files: Path, tmp_path: Path
) -> None:
    where = ["--database", "sqlite:///shop.db"]
    assert angle("import", str(files), *where).status == 0
    (tmp_path / "shop.db").chmod(stat.S_IRUSR | stat.S_IWUSR)
    before = (tmp_path / "shop.db").read_bytes()

    from_files = json.loads(angle("evaluate", str(files), *QUICK, "--json").out)
    from_database = json.loads(angle("evaluate", *where, *QUICK, "--json").out)

    assert from_database["surfaces"] == from_files["surfaces"]
    assert (tmp_path / "shop.db").read_bytes() == before


def _app(folder: Path, text: str) -> None:
    (folder / "shop_for_evaluation.py").write_text(text)


def test_rankers_of_an_application_are_measured_on_files(
    angle: Angle, files: Path, tmp_path: Path
) -> None:
    _app(
        tmp_path,
        "from angle_reco import Recommender, Settings\n"
        "from angle_reco.rules import Ranker\n"
        "mine = Ranker.preset('mine', popularity=1.0)\n"
        "reco = Recommender.in_memory(settings=Settings(presets=(mine,)))\n",
    )

    said = angle("evaluate", str(files), *QUICK, "--json", "--app", "shop_for_evaluation:reco")

    names = [one["name"] for one in json.loads(said.out)["surfaces"][0]["rankers"]]
    assert names[-2:] == ["classic", "mine"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--ranker", "nope"], "ranker is 'nope', but should be one of classic"),
        (["--baseline", "nope"], "baseline is 'nope', but should be one of classic, ending"),
        (["--cut", "2020-01-01"], "no bid and no watch is before the cut 2020-01-01 00:00"),
        (["--cut", "2030-01-01"], "no bid and no watch is after the cut 2030-01-01 00:00"),
        (["--until", "2020-01-01"], "up to 2020-01-01 00:00, only later ones"),
        (["--window", "3000"], "too short to split"),
        (["--window", "0"], "0"),
        (["--html", "nowhere/page.html"], "folder of nowhere/page.html does not exist"),
        (["--database", "sqlite:///x.db"], "name one of them"),
    ],
)
def test_what_cannot_be_measured_is_said_in_a_sentence(
    angle: Angle, files: Path, args: list[str], said: str
) -> None:
    answer = angle("evaluate", str(files), *args)

    assert answer.status == 2
    assert said in answer.err.replace("\n", " ")
    assert answer.out == ""


def test_bad_files_are_refused_as_by_an_import(angle: Angle, tmp_path: Path) -> None:
    folder = write_files(tmp_path / "files")
    (folder / "items.csv").write_text("item_id\n")

    answer = angle("evaluate", str(folder))

    assert answer.status == 2
    assert "items.csv" in answer.err
    assert angle("evaluate", "no-such-folder").status == 2


def test_a_tiny_marketplace_is_too_short(angle: Angle, tmp_path: Path) -> None:
    answer = angle("evaluate", str(write_files(tmp_path / "files")))

    assert (answer.status, answer.out) == (2, "")
    assert "is too short to split" in answer.err
