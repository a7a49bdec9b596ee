"""The benchmark of growth names its sizes, and stores one measurement of each."""

import json
from pathlib import Path
from typing import Any

import pytest

from angle_reco.domain.ids import IdKind
from benchmarks.markets import Size, made_up_ids
from benchmarks.scale import show_growth, store, total_of


@pytest.mark.parametrize(
    ("text", "users", "items", "events"),
    [("1000", 1_000, 1_000, 15_000), ("350:63:2250", 350, 63, 2_250)],
)
def test_a_size_is_one_number_or_three(text: str, users: int, items: int, events: int) -> None:
    size = Size.of(text)

    assert size == Size(users=users, items=items, events=events)
    assert (size.shape.users, size.shape.items) == (users, items)
    assert size.shape.bids + size.shape.watches == events


@pytest.mark.parametrize("kind", IdKind)
def test_made_up_ids_are_distinct_and_the_same_each_time(kind: IdKind) -> None:
    ids = made_up_ids(kind, 500, seed=1)

    assert len({*ids}) == 500
    assert ids.to_list() == made_up_ids(kind, 500, seed=1).to_list()


def test_a_measurement_replaces_the_last_one_of_its_size(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    for size, passed in (("1000", 1.0), ("2000", 2.0), ("1000", 3.0)):
        store(file, figures(size, passed))

    found = json.loads(file.read_text("utf-8"))
    assert [one["runs"][0]["jobs"][0]["passed"] for one in found] == [2.0, 3.0]


def test_growth_in_proportion_has_the_exponent_one(capsys: pytest.CaptureFixture[str]) -> None:
    some = [figures("1000", 1.0), figures("4000", 4.0)]

    show_growth(some)

    assert total_of(some[1]["runs"][0])["passed"] == 8.0
    assert "first                      passed 1.00, cpu 1.00" in capsys.readouterr().out


def figures(size: str, passed: float) -> dict[str, Any]:
    """Return made-up figures of a size."""
    names = ("passed", "cpu", "database_cpu", "statements", "bytes")
    job = {"job": "one", **dict.fromkeys(names, passed)}
    of = Size.of(size)
    return {
        "size": {"users": of.users, "items": of.items, "events": of.events},
        "ids": "uuid",
        "ranker": "classic",
        "server": {},
        "runs": [{"run": "first", "jobs": [job, job]}],
    }
