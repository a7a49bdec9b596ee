"""The figures of tuned weights on known data."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from angle_reco.simulation import MarketplaceShape, simulate
from benchmarks.tuning import main

SHAPE = MarketplaceShape(users=60, items=80, bids=900, watches=200, sellers=6, days=120)


def test_shipped_and_tuned_weights_are_rows_beside_the_baselines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(SHAPE, now=datetime(2026, 6, 1, tzinfo=UTC)).write_csv(tmp_path / "shop")

    main([f"{tmp_path}/shop:1", "--every", "10", "--window", "20"])

    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0].endswith(" questions, 1 cuts")
    assert [line[:23].strip() for line in lines[1:]] == [
        "popular",
        "recent popular",
        "popular in categories",
        "ending soonest",
        "blended",
        "blended, tuned",
    ]
    # The weights of the one cut.
    assert said.err.count(": taste 0.") == 1

    main([f"{tmp_path}/shop", "--order"])

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(" questions, 1 cuts")
    assert [line[:23].strip() for line in lines[-2:]] == ["blended", "blended, tuned"]
