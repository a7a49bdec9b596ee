"""What similar items earn, beside those by the rule."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from angle_reco.simulation import MarketplaceShape, simulate
from benchmarks.similar import main

SHAPE = MarketplaceShape(users=60, items=80, bids=900, watches=200, sellers=6, days=120)


def test_the_model_is_compared_with_the_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate(SHAPE, now=datetime(2026, 6, 1, tzinfo=UTC)).write_csv(tmp_path / "shop")

    main([f"{tmp_path}/shop:2", "--every", "10"])

    title, *lines = capsys.readouterr().out.splitlines()
    assert title.endswith(" questions, 2 cuts")
    names = [line[:26].strip() for line in lines]
    assert names == [
        "similar items",
        "similar by the model",
        "popular in its category",
        "popular",
    ]
    assert lines[0].endswith("= 1.000 x the rule [1.000, 1.000]")
