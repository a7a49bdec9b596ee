"""The public names: all are there, loaded when they are first used."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NewType, get_args, get_origin, get_type_hints

import alembic.operations
import numpy as np
import pytest
import sqlalchemy

import angle_reco
import angle_reco.ports
from angle_reco import Recommender, StoredView, view
from angle_reco.composition import Ports
from angle_reco.ports.clock import Clock

DOCS = Path(__file__).parents[1] / "docs"

MODULES = (
    ".components",
    "",
    ".django",
    ".errors",
    ".events",
    ".results",
    ".rules",
    ".sql",
    ".testing",
    ".types",
)
"""The modules that a host imports from."""


@pytest.mark.parametrize("name", angle_reco.__all__)
def test_every_public_name_can_be_used(name: str) -> None:
    value = getattr(angle_reco, name)

    assert value is not None
    # The second time it is there without being looked for.
    assert vars(angle_reco)[name] is value


@pytest.mark.parametrize("module", MODULES)
def test_they_are_sorted_and_there_once(module: str) -> None:
    there = importlib.import_module(f"angle_reco{module}")
    constants = [name for name in there.__all__ if name.isupper()]
    classes = [name for name in there.__all__ if name[0].isupper() and not name.isupper()]
    functions = [name for name in there.__all__ if name[0].islower()]

    assert [*sorted(constants), *sorted(classes), *sorted(functions)] == there.__all__
    assert len(set(there.__all__)) == len(there.__all__)
    assert all(hasattr(there, name) for name in there.__all__)


def test_the_root_has_what_most_hosts_need_and_no_more() -> None:
    assert len(angle_reco.__all__) <= 30


def test_a_name_that_has_moved_says_where_it_is() -> None:
    from angle_reco import rules

    with pytest.warns(DeprecationWarning, match="Ranker") as warned:
        moved = angle_reco.Ranker

    assert moved is rules.Ranker
    [warning] = warned
    assert str(warning.message) == (
        "Ranker is in angle_reco.rules now; angle_reco.Ranker goes with the next release"
    )
    assert warning.filename == __file__


@pytest.mark.parametrize(
    ("module", "name"),
    [(module, name) for module, names in angle_reco._MOVED.items() for name in names],
)
def test_every_name_that_has_moved_is_there(module: str, name: str) -> None:
    there = getattr(importlib.import_module(f"angle_reco.{module}"), name)

    with pytest.warns(DeprecationWarning, match=f"angle_reco.{module} now"):
        assert getattr(angle_reco, name) is there


@pytest.mark.parametrize("name", sorted(view._MOVED))
def test_a_name_that_has_moved_to_stored_warns_and_works(name: str) -> None:
    system: Any = Recommender.in_memory().system

    with pytest.warns(DeprecationWarning, match=name) as warned:
        moved = getattr(system, name)

    assert (moved.__self__, moved.__func__) == (system.stored, getattr(StoredView, name))
    [warning] = warned
    assert str(warning.message) == (
        f"View.{name} is View.stored.{name} now; the old name goes with the next release"
    )
    assert warning.filename == __file__
    assert name not in dir(system)


def test_an_unknown_name_of_a_view_is_an_error_as_for_any_object() -> None:
    system: Any = Recommender.in_memory().system

    with pytest.raises(AttributeError, match="'View' object has no attribute 'homepag'") as caught:
        system.homepag  # noqa: B018 — which is the point

    assert (caught.value.name, caught.value.obj) == ("homepag", system)


def test_every_class_in_a_public_signature_can_be_imported() -> None:
    public = [getattr(there, name) for there in public_modules() for name in there.__all__]
    named = [*PUBLIC_ELSEWHERE, *public]

    missing = {
        f"{where}: {one.__module__}.{one.__name__}"
        for value in public
        for where, function in functions_of(value)
        for one in classes_in(function)
        if one not in named
    }

    assert missing == set()


def test_no_public_call_returns_any() -> None:
    returned = {
        where: get_type_hints(function, localns=known_names()).get("return")
        for there in public_modules()
        for name in there.__all__
        for where, function in functions_of(getattr(there, name))
    }

    assert {where for where, one in returned.items() if Any in parts_of(one)} == {
        "JobStats.outcome"  # a JSON document of the release that ran the job
    }


def parts_of(hint: object) -> list[object]:
    """Return a type with all the types that it is made of, apart from shapes of arrays."""
    arguments = get_args(hint)[1:] if get_origin(hint) is np.ndarray else get_args(hint)
    inner = [part for one in arguments for part in (one if isinstance(one, list) else [one])]
    return [hint, *(found for part in inner for found in parts_of(part))]


def test_the_reference_has_every_public_module() -> None:
    pages = "".join(page.read_text("utf-8") for page in (DOCS / "reference").glob("[!R]*.md"))
    ports = {
        f"angle_reco.ports.{one.name}" for one in pkgutil.iter_modules(angle_reco.ports.__path__)
    }

    headings = re.findall(r"^#+ (angle_reco\S*)$", pages, re.MULTILINE)
    assert sorted(headings) == sorted(
        {f"angle_reco{module}" for module in MODULES}
        | {"angle_reco.composition", "angle_reco.testing.contracts", "angle_reco.ports"}
        | ports
    )


PUBLIC_ELSEWHERE: tuple[object, ...] = (Ports, Clock)
"""Those of a host that writes adapters (docs/adapters.md)."""

PRIVATE = {
    *(
        "Fingerprints",
        "MappedMarket",
        "Recipes",
        "SignedIn",
        "WithoutId",
        "BackgroundPool",
        "UseCases",
    ),
    # What a model is made of.
    *("Histories", "Signals", "Tastes", "Touched"),
    # What sentences draw on.
    "Grounds",
    *("Borrowed", "Database", "Fence", "SqlPermissions", "SqlPorts", "Statements", "Tables"),
}
"""In constructors that only the library calls, and in properties that it alone reads."""


def functions_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the public functions of a class, or the function itself."""
    if inspect.isfunction(value):
        yield value.__name__, value
    elif inspect.isclass(value):
        for name, one in inspect.getmembers(value):
            of = one.fget if isinstance(one, property) else one
            of = of.func if isinstance(of, cached_property) else of
            if (not name.startswith("_") or name == "__init__") and (
                inspect.isfunction(of) or inspect.ismethod(of)
            ):
                yield f"{value.__name__}.{name}", of


def classes_in(function: Any) -> Iterator[Any]:
    """Yield the classes of ours in the annotations of a function."""
    found = list(get_type_hints(function, localns=known_names()).values())
    while found:
        one = found.pop()
        found += [part for part in get_args(one) if not isinstance(part, str)]
        found += [part for many in get_args(one) if isinstance(many, list) for part in many]
        home = getattr(one, "__module__", "")
        is_class = isinstance(one, type | NewType) and get_origin(one) is None
        if is_class and home.startswith("angle_reco") and one.__name__ not in PRIVATE:
            yield one


def known_names() -> dict[str, Any]:
    """Return what is imported for type checkers alone: public by its name, or of a library."""
    ours = {name: getattr(there, name) for there in public_modules() for name in there.__all__}
    return {**ours, "sa": sqlalchemy, "Operations": alembic.operations.Operations}


def public_modules() -> Iterator[Any]:
    """Yield the modules that a host imports from."""
    for one in MODULES:
        yield importlib.import_module(f"angle_reco{one}")


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
