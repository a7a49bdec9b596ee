"""Holds who may import whom, and that importing the library stays light."""

import ast
import re
import subprocess
import sys
from collections.abc import Collection, Iterator
from enum import Enum, auto
from pathlib import Path

import attrs
import pytest

ROOT = "angle_reco"
SOURCE = Path(__file__).parents[1] / "src"

TYPE_CHECKING = frozenset({"TYPE_CHECKING", "typing.TYPE_CHECKING"})
HEAVY = frozenset({"apscheduler", "click", "rich", "rich_click", "scipy", "sqlalchemy"})


@attrs.frozen(kw_only=True)
class Row:
    """What one layer may import besides itself and the standard library."""

    layers: frozenset[str] = frozenset()
    libraries: frozenset[str] | None = None  # None: any
    libraries_when_used: frozenset[str] = frozenset()


VALUES = frozenset({"attrs", "numpy"})
LIBRARY = frozenset(
    {
        "adapters",
        "aio",
        "application",
        "bootstrap",
        "domain",
        "editing",
        "ports",
        "recommender",
        "settings",
        "testing",
        "use_cases",
        "view",
    }
)
TABLE = {
    "domain": Row(libraries=VALUES, libraries_when_used=frozenset({"scipy"})),
    "ports": Row(layers=frozenset({"domain"}), libraries=VALUES),
    "application": Row(layers=frozenset({"domain", "ports", "settings"}), libraries=VALUES),
    "adapters": Row(layers=frozenset({"domain", "ports"})),
    "settings": Row(layers=frozenset({"domain"}), libraries=VALUES),
    "recommender": Row(layers=LIBRARY),
    "view": Row(layers=LIBRARY),
    "aio": Row(layers=LIBRARY),
    "editing": Row(layers=LIBRARY),
    "use_cases": Row(layers=LIBRARY),
    "bootstrap": Row(layers=LIBRARY),
    ROOT: Row(layers=LIBRARY),
    "simulation": Row(libraries=VALUES),
    "testing": Row(layers=LIBRARY | {ROOT, "simulation"}),
    "cli": Row(layers=LIBRARY | {ROOT, "simulation"}),
}


class When(Enum):
    """When the imported module is loaded."""

    AT_IMPORT = auto()
    IN_USE = auto()  # in a function, or for the type checker only


@attrs.frozen(kw_only=True)
class Import:
    """One module that another one imports; dots in front when it is relative."""

    target: str
    line: int
    when: When


def test_every_import_is_allowed() -> None:
    modules = modules_in(SOURCE)

    problems = [
        problem
        for name, path in modules.items()
        for problem in import_problems(name, path.read_text("utf-8"), modules)
    ]

    assert modules
    assert not problems, "\n".join(problems)


def test_every_package_says_what_it_offers() -> None:
    packages = {
        name: path for name, path in modules_in(SOURCE).items() if path.name == "__init__.py"
    }

    problems = [
        problem
        for name, path in packages.items()
        for problem in package_problems(name, path.read_text("utf-8"))
    ]

    assert packages
    assert not problems, "\n".join(problems)


def test_importing_the_library_loads_nothing_heavy() -> None:
    assert loaded_by("import angle_reco", HEAVY) == set()


def test_what_an_import_loads_is_seen() -> None:
    assert loaded_by("import rich.table", HEAVY) == {"rich"}


KNOWN_MODULES = frozenset(
    {
        "angle_reco",
        "angle_reco.__main__",
        "angle_reco.adapters",
        "angle_reco.adapters.memory",
        "angle_reco.adapters.sql",
        "angle_reco.adapters.sql.tables",
        "angle_reco.application",
        "angle_reco.application.serving",
        "angle_reco.bootstrap",
        "angle_reco.cli",
        "angle_reco.cli_output",
        "angle_reco.domain",
        "angle_reco.domain.ids",
        "angle_reco.ports",
        "angle_reco.ports.cache",
        "angle_reco.recommender",
        "angle_reco.settings",
        "angle_reco.testing",
        "angle_reco.testing.clock",
    }
)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("domain.ids", "import attrs\nimport numpy as np\nfrom collections.abc import Iterator"),
        ("domain.ids", "def f():\n    from scipy import sparse"),
        ("domain.ids", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import scipy"),
        ("domain", "from angle_reco.domain.ids import ItemId"),
        ("ports.cache", "from angle_reco.domain import ItemId"),
        ("application.serving", "from angle_reco.application.jobs import Job"),
        ("application.serving", "from angle_reco.ports import Cache"),
        ("application.serving", "from angle_reco.settings import Settings"),
        ("adapters.sql", "import sqlalchemy\nfrom angle_reco.adapters.sql.tables import items"),
        ("settings", "from angle_reco.domain import ItemId"),
        ("recommender", "from angle_reco.bootstrap import Ports"),
        ("bootstrap", "from angle_reco.adapters.sql import SqlUserQueries"),
        ("bootstrap", "from angle_reco.adapters import memory"),
        ("testing.clock", "import pytest\nfrom angle_reco import Recommender"),
        ("cli", "import rich_click as click\nfrom angle_reco.cli_output import table"),
        ("__main__", "from angle_reco.cli import main"),
        ("", "from angle_reco.recommender import Recommender"),
    ],
)
def test_an_allowed_import_is_no_problem(module: str, source: str) -> None:
    assert import_problems(full_name(module), source, KNOWN_MODULES) == []


@pytest.mark.parametrize(
    ("module", "source", "problem"),
    [
        ("domain.ids", "import sqlalchemy", "may not import sqlalchemy"),
        ("domain.ids", "import scipy.sparse", "imports scipy.sparse where it is not used yet"),
        ("domain.ids", "class A:\n    import scipy", "imports scipy where it is not used yet"),
        ("domain.ids", "def f():\n    import pandas", "may not import pandas"),
        ("domain.ids", "if TYPE_CHECKING:\n    import pandas", "may not import pandas"),
        (
            "domain.ids",
            "if TYPE_CHECKING:\n    pass\nelse:\n    import scipy",
            "imports scipy where it is not used yet",
        ),
        ("domain.ids", "from angle_reco.ports import Cache", "may not import angle_reco.ports"),
        ("domain.ids", "import angle_reco.cli as cli", "may not import angle_reco.cli"),
        ("domain.ids", "from angle_reco import ports", "may not import angle_reco.ports"),
        ("domain.ids", "from angle_reco import Recommender", "may not import angle_reco"),
        ("domain.ids", "from angle_reco.domain import ItemId", "from its module"),
        ("domain.ids", "from . import items", "imports .items relatively"),
        ("domain.ids", "from ..ports import Cache", "imports ..ports.Cache relatively"),
        ("ports.cache", "from angle_reco.settings import Settings", "angle_reco.settings"),
        ("ports.cache", "from angle_reco.domain.ids import ItemId", "from angle_reco.domain"),
        ("ports.cache", "from angle_reco.domain import ids", "from angle_reco.domain"),
        ("application.serving", "import sqlalchemy", "may not import sqlalchemy"),
        ("application.serving", "import scipy", "may not import scipy"),
        ("application.serving", "import angle_reco.adapters.memory", "angle_reco.adapters.memory"),
        ("application.serving", "import angle_reco.bootstrap", "may not import"),
        ("adapters.memory", "from angle_reco.application import Jobs", "may not import"),
        ("adapters.memory", "from angle_reco.recommender import Recommender", "may not import"),
        ("adapters.memory", "from angle_reco.bootstrap import Ports", "may not import"),
        ("adapters.memory", "from angle_reco.settings import Settings", "may not import"),
        ("adapters.memory", "import angle_reco.adapters.sql", "another adapter"),
        ("adapters.sql.tables", "from angle_reco.adapters import memory", "another adapter"),
        ("adapters.sql.tables", "from angle_reco.adapters.sql import items", "from its module"),
        ("adapters.sql", "from angle_reco.ports.cache import Cache", "from angle_reco.ports"),
        ("settings", "from angle_reco.ports import Cache", "may not import angle_reco.ports"),
        ("settings", "import sqlalchemy", "may not import sqlalchemy"),
        ("recommender", "from angle_reco.cli import main", "may not import angle_reco.cli"),
        ("bootstrap", "import angle_reco.cli_output", "may not import angle_reco.cli_output"),
        ("bootstrap", "import angle_reco.adapters.sql.tables", "from angle_reco.adapters.sql"),
        ("testing.clock", "def f():\n    import angle_reco.cli", "may not import angle_reco.cli"),
        ("", "from angle_reco.cli import main", "may not import angle_reco.cli"),
        ("utils", "import json", "angle_reco.utils has no row in the table"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str, problem: str) -> None:
    [found] = import_problems(full_name(module), source, KNOWN_MODULES)

    assert problem in found


def test_a_problem_says_where_it_is() -> None:
    [problem] = import_problems("angle_reco.domain.ids", "\n\nimport rich", KNOWN_MODULES)

    assert problem == "angle_reco.domain.ids:3: the layer domain may not import rich"


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("domain", '"""Values."""\n__all__ = ["ONE", "Item", "decay"]'),
        ("domain", '"""Values."""\n__all__ = ["Top9", "Top10"]'),
        ("ports", '"""Ports."""\n__all__: list[str] = []'),
        ("adapters", '"""Ways to provide a port."""'),
        ("adapters.sql", '"""SQL."""\n__all__ = ("SqlUserQueries",)'),
    ],
)
def test_a_package_that_says_what_it_offers_is_no_problem(module: str, source: str) -> None:
    assert package_problems(full_name(module), source) == []


@pytest.mark.parametrize(
    ("module", "source", "problem"),
    [
        ("domain", '__all__ = ["Item"]', "needs a one-line docstring"),
        ("domain", '"""Values.\n\nMore."""\n__all__ = ["Item"]', "needs a one-line docstring"),
        ("domain", '"""Values."""', "needs an __all__"),
        ("domain", '"""Values."""\n__all__ = list("ab")', "needs an __all__"),
        ("domain", '"""Values."""\n__all__ = ["Item", "Bid"]', "is not sorted"),
        ("domain", '"""Values."""\n__all__ = ["Item", "ONE"]', "is not sorted"),
        ("domain", '"""Values."""\n__all__ = ["decay", "Item"]', "is not sorted"),
        ("domain", '"""Values."""\n__all__ = ["Item", "Item"]', "names something twice"),
        ("adapters", '"""Adapters."""\n__all__ = []', "holds more than its docstring"),
    ],
)
def test_a_package_that_does_not_is_found(module: str, source: str, problem: str) -> None:
    [found] = package_problems(full_name(module), source)

    assert problem in found


def full_name(module: str) -> str:
    return f"{ROOT}.{module}" if module else ROOT


def modules_in(source: Path) -> dict[str, Path]:
    """Return the file of each module, by its dotted name."""
    return {
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((source / ROOT).rglob("*.py"))
    }


def import_problems(name: str, source: str, modules: Collection[str]) -> list[str]:
    """Return what the imports of the module *name* break, a sentence each."""
    row = TABLE.get(layer_of(name))
    if row is None:
        return [f"{name} has no row in the table of tests/test_architecture.py"]
    return [
        f"{name}:{found.line}: {problem}"
        for found in imports_of(source, modules)
        if (problem := import_problem(name, row, found)) is not None
    ]


def import_problem(name: str, row: Row, found: Import) -> str | None:
    if found.target.startswith("."):
        return f"imports {found.target} relatively"
    if found.target.split(".")[0] == ROOT:
        return inner_problem(name, row, found.target)
    return library_problem(name, row, found)


def inner_problem(name: str, row: Row, target: str) -> str | None:
    """Return what is wrong with importing the library's own module *target*."""
    package, layer = package_of(target), layer_of(name)
    if package == package_of(name):
        if target == package:
            return f"imports from its own package {package}: import from its module"
        return None
    if layer == layer_of(target) == "adapters":
        return f"imports another adapter, {target}"
    if layer_of(target) not in row.layers | {layer}:
        return f"the layer {layer} may not import {target}"
    if target != package:
        return f"reaches into {target}: import from {package}"
    return None


def library_problem(name: str, row: Row, found: Import) -> str | None:
    """Return what is wrong with importing from outside the library."""
    library = found.target.split(".")[0]
    if library in sys.stdlib_module_names or row.libraries is None or library in row.libraries:
        return None
    if library not in row.libraries_when_used:
        return f"the layer {layer_of(name)} may not import {found.target}"
    if found.when is When.AT_IMPORT:
        return f"imports {found.target} where it is not used yet: import it inside the function"
    return None


def layer_of(name: str) -> str:
    """Return the row of a module: ``cli`` for all that is the command line.

    >>> layer_of("angle_reco.domain.ids"), layer_of("angle_reco.cli_output")
    ('domain', 'cli')
    """
    parts = name.split(".")
    if len(parts) == 1:
        return ROOT
    return "cli" if parts[1].startswith("cli") or parts[1] == "__main__" else parts[1]


def package_of(name: str) -> str:
    """Return where other layers import from; each adapter is its own package.

    >>> package_of("angle_reco.domain.ids"), package_of("angle_reco.adapters.sql.tables")
    ('angle_reco.domain', 'angle_reco.adapters.sql')
    """
    parts = name.split(".")
    return ".".join(parts[: 3 if parts[1:2] == ["adapters"] else 2])


def imports_of(source: str, modules: Collection[str]) -> Iterator[Import]:
    """Yield every import of a source text, wherever it stands."""
    yield from _imports_below(ast.parse(source), When.AT_IMPORT, modules)


def _imports_below(node: ast.AST, when: When, modules: Collection[str]) -> Iterator[Import]:
    match node:
        case ast.Import():
            for alias in node.names:
                yield Import(target=alias.name, line=node.lineno, when=when)
        case ast.ImportFrom():
            for target in _targets(node, modules):
                yield Import(target=target, line=node.lineno, when=when)
        case _:
            for child in ast.iter_child_nodes(node):
                in_use = _is_run_later(node, child)
                yield from _imports_below(child, When.IN_USE if in_use else when, modules)


def _is_run_later(parent: ast.AST, child: ast.AST) -> bool:
    """Return whether *child* does not run when the module is imported, though *parent* may."""
    if isinstance(parent, ast.If) and ast.unparse(parent.test) in TYPE_CHECKING:
        return child in parent.body
    return isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef)


def _targets(node: ast.ImportFrom, modules: Collection[str]) -> list[str]:
    """Return the modules a ``from`` imports: names that are modules count themselves."""
    if node.level:
        parent = "." * node.level + (f"{node.module}." if node.module else "")
        return [parent + alias.name for alias in node.names]
    parent = node.module or ""
    members = [f"{parent}.{alias.name}" for alias in node.names]
    return list(dict.fromkeys(name if name in modules else parent for name in members))


def package_problems(name: str, source: str) -> list[str]:
    """Return what is missing in the ``__init__.py`` of the package *name*."""
    tree = ast.parse(source)
    problems = []
    docstring = ast.get_docstring(tree, clean=False)
    if not docstring or "\n" in docstring:
        problems.append(f"{name} needs a one-line docstring")
    if name == f"{ROOT}.adapters":
        if len(tree.body) > 1:
            problems.append(f"{name} holds more than its docstring")
        return problems
    public = _public_names(tree)
    if public is None:
        problems.append(f"{name} needs an __all__ that is a list of names")
    elif len(set(public)) < len(public):
        problems.append(f"the __all__ of {name} names something twice")
    elif public != sorted(public, key=_place_in_all):
        problems.append(f"the __all__ of {name} is not sorted: ruff check --fix sorts it")
    return problems


def _public_names(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            value = getattr(node, "value", None)
            if isinstance(value, ast.List | ast.Tuple):
                return [str(ast.literal_eval(element)) for element in value.elts]
    return None


def _place_in_all(name: str) -> tuple[int, list[tuple[int, str]]]:
    """Return where a name stands: constants, classes, the rest; numbers by their value."""
    kind = 0 if len(name) > 1 and name.isupper() else 1 if name[0].isupper() else 2
    pieces = re.findall(r"(\d+)|(\D+)", name)
    return kind, [(int(digits or 0), text) for digits, text in pieces]


def loaded_by(statement: str, modules: Collection[str]) -> set[str]:
    """Return which of *modules* a fresh interpreter has loaded after the statement."""
    script = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split()) & set(modules)
