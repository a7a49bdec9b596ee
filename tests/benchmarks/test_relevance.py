"""The table of figures on known data."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from angle_reco.simulation import MarketplaceShape, simulate
from benchmarks.relevance import main

SHAPE = MarketplaceShape(users=60, items=80, bids=900, watches=200, sellers=6, days=120)


def test_each_directory_is_a_column_and_each_ranking_a_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(SHAPE, now=datetime(2026, 6, 1, tzinfo=UTC)).write_csv(tmp_path / "shop")

    main([f"{tmp_path}/shop:2", f"{tmp_path}/shop:1", "--no-peers"])

    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert {len(line) for line in lines} == {3}
    assert [line[0].removeprefix("| ") for line in lines[2:]] == [
        "questions",
        "seconds",
        "popular",
        "recent popular",
        "popular in categories",
        "ending soonest",
        "classic",
        "blended",
    ]
    assert " × [" in lines[-1][1]


def test_lots_are_measured_at_cuts_close_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(SHAPE, now=datetime(2026, 6, 1, tzinfo=UTC)).write_csv(tmp_path / "shop")
    close = ["--every", "1", "--window", "3", "--baseline", "classic"]

    main([f"{tmp_path}/shop:2", "--no-peers", "--json", *close])

    [report] = json.loads(capsys.readouterr().out).values()
    homepage = report["surfaces"][0]
    first, last = (datetime.fromisoformat(one["moment"]) for one in homepage["cuts"])
    assert report["window_days"] == 3
    assert (last - first).days == 1
    assert homepage["baseline"] == "classic"


def test_a_directory_that_cannot_be_measured_ends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "nowhere"), "--no-peers"])

    assert ended.value.code == 2
    assert "nowhere" in capsys.readouterr().err
