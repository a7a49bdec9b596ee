"""The benchmark of similar items runs, and stores what it found."""

import json
from pathlib import Path

import pytest

from angle_reco.adapters.kernels import NumpyKernels
from angle_reco.adapters.kernels.fast import FastKernels
from benchmarks.similarities import drawn, main, similar_to_all


@pytest.mark.parametrize("more", [[], ["--no-taste", "--no-growth"]])
def test_figures_of_a_small_marketplace_are_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    file = tmp_path / "figures.json"

    main(["--items", "300", "--interactions", "3000", "--rounds", "1", "--json", str(file), *more])

    figures = json.loads(file.read_text(encoding="utf-8"))
    names = ["fast", "numpy and scipy", "implicit"]
    assert list(figures["cpu_seconds"]) == names
    assert list(figures["growth_for_twice"]) == ([] if more else names)
    assert figures["over_implicit"]["implicit"] == 1
    assert {"processor", "cores", "numpy", "numba", "implicit"} < set(figures["machine"])
    assert "| fast | 0." in capsys.readouterr().out


def test_both_forms_rank_as_many_lines() -> None:
    case = drawn(400, 4_000, has_taste=True)

    lines = [
        similar_to_all(kernels, case)
        for kernels in (FastKernels(threads=2, least_pairs=0), NumpyKernels())
    ]

    assert lines[0] == lines[1] > 400 * 20
