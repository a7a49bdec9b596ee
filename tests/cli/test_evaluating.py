"""Measuring what rankings are worth, from the command line."""

import json
import signal
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


def test_a_folder_whose_name_is_no_utf_8_has_a_page(
    angle: Angle, files: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "shop\udcff\x1b[31m"
    odd.symlink_to(files)

    said = angle("evaluate", str(odd), *QUICK, "--html", "page.html")

    assert said.status == 0
    assert "<title>What rankings would have hit: shop��[31m</title>" in Path("page.html").read_text(
        "utf-8"
    )


def test_a_link_into_no_folder_is_refused_before_the_work(angle: Angle, files: Path) -> None:
    Path("link.html").symlink_to("nowhere/page.html")

    said = angle("evaluate", str(files), *QUICK, "--html", "link.html")

    assert said.status == 2
    assert "the folder of link.html does not exist" in said.err.replace("\n", " ")
    assert "reading" not in said.err


def test_the_figures_are_printed_although_the_page_cannot_be_written(
    angle: Angle, files: Path
) -> None:
    said = angle("evaluate", str(files), *QUICK, "--html", "/dev/full")

    assert said.status == 2
    assert "No space left on device" in said.err
    assert "classic" in said.out


def test_what_sigterm_stops_leaves_no_file(
    angle: Angle, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    _app(
        tmp_path,
        "import signal\n"
        "from angle_reco import Recommender, Settings\n"
        "from angle_reco.components import Component\n"
        "from angle_reco.rules import Ranker\n"
        "def values(*_):\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "mine = Ranker.of('mine', {Component(name='mine', data='none', values=values): 1.0})\n"
        "reco = Recommender.in_memory(settings=Settings(presets=(mine,)))\n",
        name="stopped_app",
    )
    # So that the test fails rather than ends if the command does not take the signal.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        said = angle("evaluate", str(files), *QUICK, "--app", "stopped_app:reco")
        after = signal.getsignal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)

    assert (said.status, said.out) == (2, "")
    assert said.err.splitlines()[-1] == "angle-reco: stopped"
    assert list(temporary.iterdir()) == []
    assert after is signal.SIG_IGN


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
    assert (from_files["source"], from_database["source"]) == ("shop", "shop.db")
    assert (tmp_path / "shop.db").read_bytes() == before


def _app(folder: Path, text: str, *, name: str = "shop_for_evaluation") -> None:
    (folder / f"{name}.py").write_text(text)


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
    assert names[-3:] == ["classic", "blended", "mine"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--ranker", "nope"], "ranker is 'nope', but should be one of blended, classic"),
        (
            ["--baseline", "nope"],
            "baseline is 'nope', but should be one of blended, classic,",
        ),
        (["--cut", "2020-01-01"], "no bid and no watch is before the cut 2020-01-01 00:00"),
        (["--cut", "2030-01-01"], "no bid and no watch is after the cut 2030-01-01 00:00"),
        (["--until", "2020-01-01"], "up to 2020-01-01 00:00, only later ones"),
        (["--window", "3000"], "too short to split"),
        (["--window", "0"], "0"),
        (["--window", "nan"], "'nan' is no number of days"),
        (["--cut", "2026-04-01", "--every", "2"], "leave out --cuts and --every"),
        (["--every", "NaN"], "'NaN' is no number of days"),
        (["--html", "nowhere/page.html"], "folder of nowhere/page.html does not exist"),
        (["--html", ""], ". cannot be written"),
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


def test_a_figure_that_is_not_known_is_a_dash(angle: Angle, tmp_path: Path) -> None:
    # The one page that is asked for has one item, so nothing is alike.
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "users.csv").write_text(
        "user_id,inserted_at,last_sign_in_at,sign_in_count\nann,,,\nbob,,,\n"
    )
    header = "item_id,category_id,seller_id,title,starting_price,current_price,"
    header += "publication_status,starts_at,end_time,inserted_at\n"
    rows = "".join(f"i{n},,,,,,published,,,\n" for n in range(2))
    (folder / "items.csv").write_text(header + rows)
    (folder / "bids.csv").write_text(
        "user_id,item_id,amount,placed_at\n"
        "ann,i0,,2026-01-01T00:00:00Z\nbob,i0,,2026-01-01T00:00:00Z\nann,i1,,2026-01-03T00:00:00Z\n"
    )

    said = angle("evaluate", str(folder), "--cut", "2026-01-02", "--window", "5")

    assert said.status == 0
    assert "nan" not in said.out
    assert said.out.splitlines()[-2].split()[-1] == "–"
