"""The public names: all are there, loaded when they are first used."""

import importlib
import subprocess
import sys

import pytest

import angle_reco


@pytest.mark.parametrize("name", angle_reco.__all__)
def test_every_public_name_can_be_used(name: str) -> None:
    value = getattr(angle_reco, name)

    assert value is not None
    # The second time it is there without being looked for.
    assert vars(angle_reco)[name] is value


def test_they_are_sorted_and_there_once() -> None:
    constants = [name for name in angle_reco.__all__ if name.isupper()]
    classes = [name for name in angle_reco.__all__ if name[0].isupper() and not name.isupper()]
    functions = [name for name in angle_reco.__all__ if name[0].islower()]

    assert [*sorted(constants), *sorted(classes), *sorted(functions)] == angle_reco.__all__
    assert len(set(angle_reco.__all__)) == len(angle_reco.__all__)


def test_an_unknown_name_is_an_error_as_for_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'angle_reco' has no attribute 'Recomender'"):
        angle_reco.Recomender  # noqa: B018 — which is the point
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from angle_reco import nothing  # noqa: F401 — the point

    assert not hasattr(angle_reco, "__version__")


def test_dir_has_every_public_name() -> None:
    assert set(angle_reco.__all__) <= set(dir(angle_reco))
    assert dir(angle_reco) == sorted(dir(angle_reco))
    assert "__name__" in dir(angle_reco)


def test_importing_the_library_loads_none_of_it() -> None:
    program = (
        "import sys, angle_reco;"
        "print(sorted(m for m in sys.modules if m.startswith('angle_reco') or m == 'numpy'));"
        "angle_reco.Freshness;"
        "print(*(f'angle_reco.{m}' in sys.modules for m in ('domain.suggestions', 'recommender')))"
    )

    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert said.stdout.splitlines() == ["['angle_reco']", "True False"]


def test_a_star_import_brings_them_all() -> None:
    names: dict[str, object] = {}

    exec("from angle_reco import *", names)

    assert set(angle_reco.__all__) <= set(names)


def test_a_submodule_can_still_be_imported() -> None:
    assert importlib.import_module("angle_reco.domain.suggestions").Shelf is angle_reco.Shelf


HEAVY = frozenset({"apscheduler", "click", "rich", "rich_click", "scipy", "sqlalchemy"})


@pytest.mark.parametrize(
    ("statement", "loaded"),
    [("import angle_reco", set()), ("import rich.table", {"rich"})],
)
def test_importing_the_library_loads_nothing_heavy(statement: str, loaded: set[str]) -> None:
    program = f"import sys; {statement}; print(*sys.modules)"

    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert set(said.stdout.split()) & HEAVY == loaded
