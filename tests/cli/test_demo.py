"""The demo: a made-up auction site, from nothing to recommendations."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Angle


def test_it_shows_a_whole_auction_site_in_a_few_seconds(angle: Angle) -> None:
    angle("migrate", "up", "--database", "sqlite:///angle_reco_demo.db")  # an earlier one

    said = angle("demo", "--picture", "demo.svg")

    assert (said.status, said.err) == (0, "")
    assert max(map(len, said.out.splitlines())) <= 80
    for part in (
        *("making up", "importing", "running compute_item_similarities", "Recommended for them"),
        *("Similar to ", "you might also like", "Popular with everybody", "Try next"),
    ):
        assert part in said.out
    assert "http" not in Path("demo.svg").read_text("utf-8").split("<style>")[1]
    assert Path("demo.svg").read_text("utf-8").startswith("<svg")
    assert angle("stats", "--database", "sqlite:///angle_reco_demo.db").status == 0


class TestWhatItRefuses:
    @pytest.mark.parametrize("options", ["", "?timeout=5", "?mode=rw"])
    def test_a_file_that_is_not_a_demo_s_stays_as_it_is(self, refused: Any, options: str) -> None:
        mine = sqlite3.connect("mine.db")
        mine.execute("CREATE TABLE dear (memories)")
        mine.close()
        before = Path("mine.db").read_bytes()

        refused("demo", "--database", f"sqlite:///mine.db{options}")

        assert Path("mine.db").read_bytes() == before

    @pytest.mark.parametrize(
        "url", ["postgresql://db/shop", "mine.db", "sqlite://", "", "sqlite:///"]
    )
    def test_what_is_no_file_of_sqlite(self, refused: Any, url: str) -> None:
        assert "demo" in refused("demo", "--database", url)

    def test_a_folder(self, refused: Any) -> None:
        Path("angle_reco_demo.db").mkdir()

        assert refused("demo").startswith("angle_reco_demo.db: ")

    @pytest.mark.parametrize("seed", ["-1", "x", "1.5"])
    def test_a_seed_that_is_none(self, refused: Any, seed: str) -> None:
        assert "--seed" in refused("demo", "--seed", seed)
