"""Having every process forget what it has in memory, from the command line."""

import json
from datetime import timedelta
from pathlib import Path

from angle_reco import Recommender, Settings
from tests.application.memories import comes_true
from tests.cli.conftest import NOW, Angle


def test_another_process_forgets_at_its_next_look(angle: Angle, database: Path) -> None:
    angle("run", "all", "--as-of", NOW)
    settings = Settings(live_for=timedelta(seconds=1), deadline=timedelta(seconds=20))
    with Recommender.connect(f"sqlite:///{database}", settings=settings) as reco:

        def entries() -> int:
            reco.anonymous.popular_items()
            memory = reco.system.stats().memory
            assert memory is not None
            return memory.lists.entries

        reco.as_user("ann").homepage()
        assert entries() > 0

        said = angle("forget")

        assert (said.status, said.out) == (0, "")
        assert said.err.startswith("angle-reco: published: processes clear their memory")
        assert comes_true(lambda: entries() == 0)


def test_it_says_so_in_json(angle: Angle, database: Path) -> None:
    assert json.loads(angle("forget", "--json").out) == {"published": True}
