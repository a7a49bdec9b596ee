"""Mutation testing of a seeded sample: change one place of the code, and see a test fail.

    python -m tools.mutants --number 200 --seed 1

The tests run once to record which test covers which line, and how long it takes; after that only
if a source or test file has changed. Each mutant is then one changed file in a copy of the
project, in which the tests that cover the changed lines run until one fails.

`tools/mutants.toml` says which modules are mutated, in which areas, how many of the mutants of an
area have to be killed, and which mutants no test can kill. docs/decisions/mutants.md has the
reasons.
"""

import argparse
import ast
import copy
import fnmatch
import hashlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeAlias

import attrs

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "angle_reco"
STATE = ROOT / ".mutants"

SECONDS_NEAR, SECONDS_IN_ALL = 8.0, 60.0
"""How long the tests of the first attempt may take, those beside a module; and those of both."""

TESTS_A_ROUND = 10
"""How many tests of a file run before those of the next file, in the second attempt."""

SECONDS_A_FILE = 0.5
"""What it costs, about, to collect a test file."""

Key: TypeAlias = tuple[str, str, str]
"""What names a mutant: where it is, the text of its line, and what is changed."""

# What is mutated.

SWAPS: Mapping[type[ast.AST], type[Any]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "and_": "or_", "or_": "and_"}
CHAINED = frozenset({"where", "order_by", "limit", "distinct", "group_by", "having", "lower"})
NOT_BEHAVIOUR = frozenset(
    {"kw_only", "init", "repr", "slots", "weakref_slot", "strict", "name", "deterministic"}
)
"""Keyword arguments that matter to type checkers, readers and optimisers."""


@attrs.frozen(kw_only=True)
class Mutant:
    """One place of a module, in bytes, and what stands there instead.

    Its line has this *text*; whether that line moves makes no other mutant of it.
    """

    path: str
    where: str
    text: str
    line: int
    last_line: int
    start: int
    end: int
    before: str
    after: str
    constant: str | None = None

    @property
    def change(self) -> str:
        """Return what is changed, in one line."""
        before, after = (" ".join(one.split()) for one in (self.before, self.after))
        return f"{before} -> {after}"

    @property
    def name(self) -> str | None:
        """Return the constant of a module whose value is changed, with its module."""
        return None if self.constant is None else f"{self.path} {self.constant}"

    @property
    def key(self) -> "Key":
        """Return what names this mutant in the data file."""
        return (self.where, self.text, self.change)

    def applied(self, source: bytes) -> bytes:
        """Return the module with this change."""
        return source[: self.start] + self.after.encode() + source[self.end :]


class Finder(ast.NodeVisitor):
    """Finds the mutants of a module."""

    def __init__(self, path: str, source: bytes) -> None:
        self.found: list[Mutant] = []
        self._path = path
        self._source = source
        self._starts = [0, *(at.end() for at in re.finditer(rb"\n", source))]
        self._lines = [one.strip() for one in source.decode().split("\n")]
        self._names: list[str] = []
        self._constant: str | None = None
        self._positional: list[str] = []

    def _add(self, node: ast.expr | ast.stmt, after: ast.AST | str) -> None:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._starts[node.lineno - 1] + node.col_offset
        end = self._starts[node.end_lineno - 1] + node.end_col_offset
        text = after if isinstance(after, str) else ast.unparse(after)
        if isinstance(after, ast.expr) and not isinstance(after, ast.Constant | ast.Call):
            text = f"({text})"
        self.found.append(
            Mutant(
                path=self._path,
                where=".".join([Path(self._path).stem, *self._names]),
                text=self._lines[node.lineno - 1],
                line=node.lineno,
                last_line=node.end_lineno,
                start=start,
                end=end,
                before=self._source[start:end].decode(),
                after=text,
                constant=self._constant if not self._names else None,
            )
        )

    # What is left alone.

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Leave annotations, decorators and overloads alone."""
        if any(ast.unparse(one).endswith("overload") for one in node.decorator_list):
            return
        self._positional = [one.arg for one in (*node.args.posonlyargs, *node.args.args)][1:]
        defaults = (*node.args.defaults, *node.args.kw_defaults)
        self._within(node.name, [*filter(None, defaults), *node.body])

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815 — as ast has it

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Leave protocols, bases and decorators alone."""
        if not any("Protocol" in ast.unparse(base) for base in node.bases):
            self._within(node.name, node.body)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Leave annotations and aliases alone."""
        if node.value is not None and "TypeAlias" not in ast.unparse(node.annotation):
            self._assigned(node, [node.target], node.value)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Leave texts alone: within them places are not known."""

    def visit_Raise(self, node: ast.Raise) -> None:
        """Have nothing raised; what an error says is left alone."""
        self._add(node, "pass")

    def _within(self, name: str, body: Sequence[ast.AST]) -> None:
        self._names.append(name)
        for one in body:
            self.visit(one)
        self._names.pop()

    # Statements.

    def visit_Expr(self, node: ast.Expr) -> None:
        """Have a call not happen."""
        if isinstance(node.value, ast.Constant):
            return
        if isinstance(node.value, ast.Call):
            if ast.unparse(node.value.func) == "assert_never" or self._is_of_error(node.value):
                return
            self._add(node, "pass")
        self.generic_visit(node)

    def _is_of_error(self, call: ast.Call) -> bool:
        """Return whether an error hands its arguments to its base, which `__new__` did before."""
        return (
            ast.unparse(call.func) == "super().__init__"
            and len(self._names) > 1
            and self._names[-2].endswith("Error")
            and [ast.unparse(one) for one in call.args] == self._positional
        )

    def visit_Assign(self, node: ast.Assign) -> None:
        """Have nothing assigned to a part of something."""
        self._assigned(node, node.targets, node.value)

    def _assigned(self, node: ast.stmt, targets: Sequence[ast.expr], value: ast.expr) -> None:
        if isinstance(targets[0], ast.Attribute | ast.Subscript) and self._names:
            self._add(node, "pass")
        if isinstance(targets[0], ast.Tuple) and isinstance(value, ast.Tuple):
            for one, part in zip(targets[0].elts, value.elts, strict=True):
                self._constant_is(one, part)
        else:
            self._constant_is(targets[0], value)

    def _constant_is(self, target: ast.expr, value: ast.expr) -> None:
        name = target.id if isinstance(target, ast.Name) else ""
        if name.startswith("__"):
            return
        self._constant = name or None
        self.visit(value)
        self._constant = None

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Have nothing added, unless that is a text."""
        is_text = isinstance(node.value, ast.JoinedStr) or (
            isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        )
        if not is_text:
            self._add(node, "pass")
            self.generic_visit(node)

    def visit_Delete(self, node: ast.Delete) -> None:
        """Have nothing deleted, where that is more than a name."""
        if not isinstance(node.targets[0], ast.Name):
            self._add(node, "pass")

    def visit_Continue(self, node: ast.Continue) -> None:
        """End a loop."""
        self._add(node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        """Go on with a loop."""
        self._add(node, "continue")

    # Expressions.

    def _negated(self, test: ast.expr) -> None:
        if not isinstance(test, ast.Compare | ast.UnaryOp):  # which have mutants of their own
            self._add(test, ast.UnaryOp(ast.Not(), test))

    def visit_If(self, node: ast.If) -> None:
        """Negate a condition."""
        if ast.unparse(node.test) != "TYPE_CHECKING":
            self._negated(node.test)
            self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        """Negate a condition."""
        self._negated(node.test)
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        """Negate a condition."""
        self._negated(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Have every element pass."""
        for one in node.ifs:
            self._add(one, "True")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Move bounds, and negate."""
        is_of_time = any(map(_reads_clock, (node.left, *node.comparators)))
        for place, operator in enumerate(node.ops):
            if is_of_time and isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
                continue  # Two readings of the machine's clock are never equal.
            other = copy.deepcopy(node)
            other.ops[place] = SWAPS[type(operator)]()
            self._add(node, other)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Swap and with or, and leave out a part."""
        self._swap(node)
        if len(node.values) > 2:
            for place in range(len(node.values)):
                other = copy.deepcopy(node)
                del other.values[place]
                self._add(node, other)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Leave out what is unary."""
        if not isinstance(node.op, ast.UAdd):
            self._add(node, node.operand)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Swap operators, but those of texts."""
        sides = (node.left, node.right)
        is_text = any(
            isinstance(one, ast.JoinedStr | ast.List | ast.Tuple)
            or (isinstance(one, ast.Constant) and isinstance(one.value, str | bytes))
            for one in sides
        )
        if type(node.op) in SWAPS and not is_text:
            self._swap(node)
        self.generic_visit(node)

    def _swap(self, node: ast.BoolOp | ast.BinOp) -> None:
        other = copy.deepcopy(node)
        other.op = SWAPS[type(node.op)]()
        self._add(node, other)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Move numbers, and negate what is True or False."""
        if isinstance(node.value, bool):
            self._add(node, repr(not node.value))
        elif isinstance(node.value, int | float):
            self._add(node, repr(node.value + 1))

    def visit_Call(self, node: ast.Call) -> None:
        """Swap functions, and leave out links of a chain and parts of a condition."""
        func = node.func
        name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
        if name in NAMES:
            attribute = "attr" if isinstance(func, ast.Attribute) else "id"
            other = copy.deepcopy(node)
            setattr(other.func, attribute, NAMES[name])
            self._add(node, other)
        if name in ("and_", "or_") and len(node.args) > 1:
            for place in range(len(node.args)):
                other = copy.deepcopy(node)
                del other.args[place]
                self._add(node, other)
        if name in CHAINED and isinstance(func, ast.Attribute):
            self._add(node, func.value)
        self.visit(func)
        if name in ("isinstance", "is_a"):
            return
        for one in node.args:
            self.visit(one)
        for keyword in node.keywords:
            if keyword.arg not in NOT_BEHAVIOUR:
                self.visit(keyword.value)


def _reads_clock(node: ast.expr) -> bool:
    """Return whether the machine's clock is read, not one that a test moves."""
    return any(
        isinstance(one, ast.Call) and ast.unparse(one.func) == "monotonic" for one in ast.walk(node)
    )


# Areas.


@attrs.frozen(kw_only=True)
class Group:
    """Areas, of whose mutants a percentage has to be killed."""

    name: str
    at_least: float
    areas: Mapping[str, Sequence[str]]

    def area_of(self, path: str) -> str | None:
        """Return the first area with a pattern for a module, None if there is none."""
        for area, patterns in self.areas.items():
            if _matches(path, patterns):
                return area
        return None


@attrs.frozen(kw_only=True)
class Table:
    """What the data file says."""

    skipped: Sequence[str]
    groups: Sequence[Group]
    equivalent: Mapping[Key, str]
    tuned: Set[str] = frozenset()
    beside: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    compiled: Mapping[str, Sequence[str]] = attrs.field(factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Table":
        """Read the data file."""
        data = tomllib.loads(path.read_text("utf-8"))
        return cls(
            skipped=data["skipped"],
            groups=[Group(**one) for one in data["groups"]],
            equivalent={
                (one["where"], one["line"], one["change"]): one["why"]
                for one in data.get("equivalent", [])
            },
            tuned=frozenset(data["tuned"]),
            beside=data["beside"],
            compiled=data["compiled"],
        )

    def place_of(self, path: str) -> tuple[Group, str]:
        """Return the group and the area of a module."""
        for group in self.groups:
            area = group.area_of(path)
            if area is not None:
                return group, area
        raise LookupError(f"no area has a pattern for {path}")


def _matches(path: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, one) for one in patterns)


def all_mutants(table: Table) -> list[Mutant]:
    """Return the mutants of all modules, paths relative to the package."""
    found: list[Mutant] = []
    for file in sorted(PACKAGE.rglob("*.py")):
        path = file.relative_to(PACKAGE).as_posix()
        if not _matches(path, table.skipped):
            source = file.read_bytes()
            finder = Finder(path, source)
            finder.visit(ast.parse(source))
            found += finder.found
    names = {one.name for one in found}
    if unknown := table.tuned - names:
        raise LookupError(f"no constants of these names of mutants.toml: {sorted(unknown)}")
    return [one for one in found if one.name not in table.tuned]


def sample(table: Table, mutants: Sequence[Mutant], number: int, seed: int) -> list[Mutant]:
    """Return as many mutants of each group, by chance.

    Each mutant has a rank by its name and the seed, so a change of the code leaves the rest of a
    sample as it is.
    """
    chosen: list[Mutant] = []
    counts, ranks = Counter[Key](), dict[Mutant, bytes]()
    for one in mutants:
        # Two places of a line may be changed in the same way.
        counts[one.key] += 1
        name = "\0".join((str(seed), *one.key, str(counts[one.key])))
        ranks[one] = hashlib.sha256(name.encode()).digest()
    for place, group in enumerate(table.groups):
        those = [one for one in mutants if table.place_of(one.path)[0] is group]
        count = number // len(table.groups) + (place < number % len(table.groups))
        chosen += sorted(those, key=ranks.__getitem__)[:count]
    return chosen


# Which test covers which line.


def project_files() -> list[str]:
    """Return the files that are, or are about to be, tracked."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = sorted(set(listed.stdout.decode().split("\0")) - {""})
    return [name for name in names if (ROOT / name).is_file()]


def digest_of_code() -> str:
    """Return what changes with any source or test file."""
    digest = hashlib.sha256()
    for name in project_files():
        if name.startswith(("src/", "tests/")):
            digest.update(name.encode() + b"\0" + (ROOT / name).read_bytes())
    return digest.hexdigest()


def record(workers: int) -> None:
    """Run the tests once, and note what covers what."""
    shutil.rmtree(STATE, ignore_errors=True)
    STATE.mkdir()
    config = STATE / "settings.ini"  # coverage takes coverage.* for its own
    config.write_text("[run]\nparallel = true\nsource_pkgs = angle_reco\n", "utf-8")
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "tools.chosen_tests"),
            *("-p", "no:cacheprovider", "--numprocesses", str(workers)),
            *("--ignore=tests/reliability", "--ignore=tests/hosts"),
            *("--cov", f"--cov-config={config}", "--cov-context=test", "--cov-report="),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "COVERAGE_FILE": str(STATE / "coverage"),
            "TEST_SECONDS": str(STATE / "seconds.json"),
            "FAILED_TESTS": str(STATE / "failed.json"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ran.returncode not in (0, 1):
        sys.exit(f"the tests could not be run:\n{ran.stdout[-3_000:]}")
    failed = json.loads((STATE / "failed.json").read_text("utf-8"))
    if failed:
        print(f"left out, as they fail without a mutant: {', '.join(failed)}", flush=True)
    (STATE / "digest").write_text(digest_of_code(), "utf-8")


class Covering:
    """What was recorded, and which tests are worth running for a mutant."""

    def __init__(self, table: Table) -> None:
        from coverage import CoverageData

        self._table = table
        self._data = CoverageData(str(STATE / "coverage"))
        self._data.read()
        self._files = {
            Path(one).relative_to(PACKAGE).as_posix(): one
            for one in self._data.measured_files()
            # With --no-record a file may have moved since.
            if Path(one).is_relative_to(PACKAGE) and Path(one).is_file()
        }
        self.seconds: dict[str, float] = json.loads((STATE / "seconds.json").read_text("utf-8"))

    @cache  # noqa: B019 — there is one for all of a run
    def _by_line(self, path: str) -> Mapping[int, frozenset[str]]:
        lines = self._data.contexts_by_lineno(self._files[path]) if path in self._files else {}
        return {
            line: frozenset(one.rpartition("|")[0] for one in contexts) & self.seconds.keys()
            for line, contexts in lines.items()
        }

    def _on(self, path: str, lines: Iterable[int]) -> set[str]:
        by_line = self._by_line(path)
        return {test for line in lines for test in by_line.get(line, ())}

    @cached_property
    def _sources(self) -> Mapping[str, Sequence[str]]:
        return {path: (PACKAGE / path).read_text("utf-8").splitlines() for path in self._files}

    def tests_of(self, mutant: Mutant) -> set[str]:
        """Return the tests that run a mutant's lines, or use its constant, or its module."""
        if files := self._table.compiled.get(mutant.path):
            # Coverage does not see the lines of compiled code.
            return {test for test in self.seconds if test.split("::")[0] in files}
        if mutant.constant is None:
            found = self._on(mutant.path, range(mutant.line, mutant.last_line + 1))
            found |= self._of_cached(mutant)
            if found:
                return found
            # A line of a class, or of a statement that began earlier.
            tree = ast.parse((PACKAGE / mutant.path).read_text("utf-8"))
            for node in reversed(_around(tree, mutant)):
                found = self._on(mutant.path, range(node.lineno, (node.end_lineno or 0) + 1))
                if found:
                    return found
        else:
            word = re.compile(rf"\b{mutant.constant}\b")
            # Another module may have a constant of the same name.
            for path in sorted(self._sources, key=lambda path: (path != mutant.path, path)):
                uses = [at for at, text in enumerate(self._sources[path], 1) if word.search(text)]
                if found := self._on(path, uses):
                    return found
        return self._on(mutant.path, self._by_line(mutant.path))

    def _of_cached(self, mutant: Mutant) -> set[str]:
        """Return the tests that call a cached function which runs a mutant's lines.

        Of those that do, the lines are recorded for the first one alone.
        """
        tree = ast.parse((PACKAGE / mutant.path).read_text("utf-8"))
        functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]
        names = {one.name for one in _around(tree, mutant) if isinstance(one, ast.FunctionDef)}
        while callers := {
            one.name for one in functions if one.name not in names and names & _names_in(one)
        }:
            names |= callers
        found = set[str]()
        for one in functions:
            if one.name in names and any(map(_caches, one.decorator_list)):
                word = re.compile(rf"\b{one.name}\b")
                for path, lines in self._sources.items():
                    if path == mutant.path or not one.name.startswith("_"):
                        uses = [at for at, text in enumerate(lines, 1) if word.search(text)]
                        found |= self._on(path, uses)
        return found

    def ranked(self, mutant: Mutant) -> tuple[list[str], list[str], int]:
        """Return the tests of a first and a second attempt, and how many were left out."""
        by_file = defaultdict[str, list[str]](list)
        for test in self.tests_of(mutant):
            by_file[test.split("::")[0]].append(test)
        for tests in by_file.values():
            tests.sort(key=lambda test: (self.seconds[test], test))

        beside = self._table.beside.get(mutant.path, ())

        def kinship(file: str) -> tuple[bool, int, float, str]:
            shared = _words(mutant.path) & _words(file)
            return (
                file not in beside,
                -len(shared),
                -len(by_file[file]) / (1 + self._sum(by_file[file])),
                file,
            )

        files = sorted(by_file, key=kinship)
        near = self._within(SECONDS_NEAR, [test for file in files for test in by_file[file]])
        # A few tests of each file, then the next few: what a line does may show anywhere.
        longest = max(map(len, by_file.values()), default=0)
        rounds = [
            test
            for first in range(0, longest, TESTS_A_ROUND)
            for file in files
            for test in by_file[file][first : first + TESTS_A_ROUND]
            if test not in near
        ]
        rest = self._within(SECONDS_IN_ALL - SECONDS_NEAR, rounds)
        return list(near), list(rest), len(rounds) - len(rest)

    def _within(self, seconds: float, tests: Iterable[str]) -> Mapping[str, None]:
        """Return the first of the tests that take so many *seconds* together, one at least."""
        chosen, files, spent = dict[str, None](), set[str](), 0.0
        for test in tests:
            file = test.split("::")[0]
            spent += self.seconds[test] + SECONDS_A_FILE * (file not in files)
            if chosen and spent >= seconds:
                break
            files.add(file)
            chosen[test] = None
        return chosen

    def _sum(self, tests: Iterable[str]) -> float:
        return sum(self.seconds[one] for one in tests)


def _around(tree: ast.AST, mutant: Mutant) -> list[ast.stmt]:
    """Return the statements that a mutant is in, the outermost first."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt)
        and node.lineno <= mutant.line
        and mutant.last_line <= (node.end_lineno or 0)
    ]


def _names_in(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}


def _caches(decorator: ast.expr) -> bool:
    return ast.unparse(decorator).partition("(")[0] in ("cache", "lru_cache")


def _words(path: str) -> frozenset[str]:
    words = re.findall(r"[a-z]+", path.removesuffix(".py"))
    return frozenset(one.removesuffix("s") for one in words) - {"src", "test", "angle", "reco"}


# Running them.


@attrs.frozen(kw_only=True)
class Fate:
    """What became of a mutant: *by* says which test, or what else, killed it."""

    mutant: Mutant
    by: str | None
    tests: int
    left_out: int = 0

    @property
    def is_killed(self) -> bool:
        """Return whether a test failed."""
        return self.by is not None


class Copy:
    """A copy of the project, in which one module at a time is another one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in project_files():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        self._scratch = folder / ".mutants"
        self._scratch.mkdir()

    def fails(self, tests: Collection[str], expected: float) -> str | None:
        """Return which of the tests fails first, None if none does."""
        chosen, failed = self._scratch / "chosen.json", self._scratch / "failed.json"
        chosen.write_text(json.dumps(list(tests)), "utf-8")
        failed.unlink(missing_ok=True)
        files = list(dict.fromkeys(one.split("::")[0] for one in tests))
        with (self._scratch / "output").open("w") as output:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "pytest", "-x", "-q", "-p", "tools.chosen_tests"),
                    *("-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", *files),
                ],
                cwd=self._folder,
                env={
                    **os.environ,
                    "PYTHONPATH": str(self._folder / "src"),
                    # A module of the same size, changed in the same second, is another one.
                    "PYTHONDONTWRITEBYTECODE": "1",
                    "CHOSEN_TESTS": str(chosen),
                    "CPU_SECONDS": str(30 + 5 * round(expected)),
                    "FAILED_TESTS": str(failed),
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                # A busy machine makes tests slow, but not their processor time.
                status = process.wait(timeout=60 + 10 * expected)
            except subprocess.TimeoutExpired:
                return "time out"
            finally:
                _kill_group(process)
        if status == 0:
            return None
        if -status == signal.SIGXCPU:
            return "time out"
        names: list[str] = json.loads(failed.read_text("utf-8")) if failed.exists() else []
        if names:
            return names[0]
        said = (self._scratch / "output").read_text("utf-8", "replace")
        if -status in _FROM_OUTSIDE or (status in _NOT_RUN and "ImportError" not in said):
            # That says nothing about the mutant.
            raise RuntimeError(f"the tests could not be run, status {status}:\n{said[-3_000:]}")
        return f"exit status {status}"

    def fate_of(self, mutant: Mutant, covering: Covering, without: Collection[str] = ()) -> Fate:
        """Return whether a test fails on a mutant."""
        near, rest, left_out = covering.ranked(mutant)
        file = self._folder / "src" / PACKAGE.name / mutant.path
        source, times = file.read_bytes(), file.stat()
        file.write_bytes(mutant.applied(source))
        try:
            ran = 0
            for attempt in (near, rest):
                if tests := [one for one in attempt if one not in without]:
                    ran += len(tests)
                    by = self.fails(tests, sum(covering.seconds[one] for one in tests))
                    if by is not None:
                        return Fate(mutant=mutant, by=by, tests=ran)
        finally:
            file.write_bytes(source)
            os.utime(file, (times.st_atime, times.st_mtime))
        return Fate(mutant=mutant, by=None, tests=ran, left_out=left_out)


_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_NOT_RUN = (4, 5)
"""How pytest ends where it is used wrongly, or a conftest fails, and where it finds no tests."""


def _kill_group(process: "subprocess.Popen[Any]") -> None:
    """End what a test left behind, too."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def fates_of(
    mutants: Sequence[Mutant], covering: Covering, workers: int, table: Table
) -> Iterator[Fate]:
    """Yield what becomes of mutants; those killed by a test that fails anyway get another try."""
    copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()

    def one_fate(mutant: Mutant, without: Collection[str] = ()) -> Fate:
        mine = copies.get()
        try:
            return mine.fate_of(mutant, covering, without)
        finally:
            copies.put(mine)

    with ExitStack() as stack:
        _share_a_server(stack)
        for _ in range(workers):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mutants-"))
            copies.put(Copy(Path(folder)))
        threads = stack.enter_context(ThreadPoolExecutor(workers))
        done: list[Fate] = []
        for fate in threads.map(one_fate, mutants):
            done.append(fate)
            yield fate
        killers = sorted({one.by for one in done if one.by and "::" in one.by})
        if killers:
            mine = copies.get()
            unreliable = set[str]()
            while by := mine.fails([one for one in killers if one not in unreliable], len(killers)):
                unreliable.add(by)
                if "::" not in by:
                    sys.exit(f"the tests fail without a mutant: {by}")
            copies.put(mine)
            again = [one.mutant for one in done if one.by in unreliable]
            if again:
                print(f"failed without a mutant, left out: {', '.join(unreliable)}", flush=True)
                yield from threads.map(lambda one: one_fate(one, unreliable), again)


def _share_a_server(stack: ExitStack) -> None:
    """Have all tests use one PostgreSQL server, where there is one."""
    from tests.postgres import URL_VARIABLE, NoPostgresError, shared_server

    try:
        os.environ[URL_VARIABLE] = stack.enter_context(shared_server())
    except NoPostgresError as missing:
        print(f"tests on PostgreSQL do not run: {missing}", flush=True)


# The report.


def report(table: Table, fates: Collection[Fate]) -> bool:
    """Print how many were killed, by area, and which survived; return whether it is enough."""
    for fate in fates:
        if not fate.is_killed:
            one, note = fate.mutant, f"{fate.tests} tests"
            note += f", {fate.left_out} left out" if fate.left_out else ""
            print(f"survived: {one.path}:{one.line} ({note})")
            for name, text in zip(("where", "line", "change"), one.key, strict=True):
                print(f"    {name} = {json.dumps(text, ensure_ascii=False)}")
    is_enough = True
    for group in table.groups:
        total, killed = Counter[str](), Counter[str]()
        for fate in fates:
            of, area = table.place_of(fate.mutant.path)
            if of is group:
                total[area] += 1
                killed[area] += fate.is_killed
        for area in group.areas:
            if total[area]:
                print(f"  {area:20} {_share(killed[area], total[area])}")
        if total:
            share = 100 * killed.total() / total.total()
            is_enough &= share >= group.at_least
            print(
                f"{group.name:22} {_share(killed.total(), total.total())}"
                f", at least {group.at_least:g} % needed"
            )
    return is_enough


def _share(killed: int, total: int) -> str:
    return f"{killed:4} of {total:4} killed, {100 * killed / total:5.1f} %"


def main() -> int:
    """Run a sample; return 1 if too many of it survive."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--number", type=int, default=200, help="how many mutants (200)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (1)")
    parser.add_argument("--only", default="*", help="of modules that match, as domain/*")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, help="write what became of each mutant there")
    parser.add_argument(
        "--no-record", action="store_true", help="use what was recorded, although files changed"
    )
    given = parser.parse_args()
    table = Table.read(Path(__file__).with_suffix(".toml"))
    mutants = all_mutants(table)
    if unknown := table.equivalent.keys() - {one.key for one in mutants}:
        sys.exit(f"no mutant is like these of mutants.toml: {sorted(unknown)}")
    mutants = [
        one
        for one in mutants
        if one.key not in table.equivalent and fnmatch.fnmatchcase(one.path, given.only)
    ]
    began = time.monotonic()
    digest = STATE / "digest"
    is_recorded = digest.is_file() and digest.read_text("utf-8") == digest_of_code()
    if not is_recorded and not given.no_record:
        print("recording which test covers which line ...", flush=True)
        record(given.workers)
    chosen = sample(table, mutants, given.number, given.seed)
    print(
        f"{len(chosen)} of {len(mutants)} mutants, seed {given.seed},"
        f" {time.monotonic() - began:.0f} s to record",
        flush=True,
    )
    fates: dict[Mutant, Fate] = {}
    for fate in fates_of(chosen, Covering(table), given.workers, table):
        fates[fate.mutant] = fate
        if len(fates) % 10 == 0 or not fate.is_killed:
            survived = sum(not one.is_killed for one in fates.values())
            print(
                f"{len(fates)} of {len(chosen)}: {survived} survived,"
                f" {time.monotonic() - began:.0f} s",
                flush=True,
            )
    if given.json:
        given.json.write_text(
            json.dumps([{**attrs.asdict(one), "killed": one.is_killed} for one in fates.values()]),
            "utf-8",
        )
    return 0 if report(table, fates.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
