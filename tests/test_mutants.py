"""The tool that mutates the code: what it changes, what it leaves alone, and its data file."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from coverage import CoverageData

from tools import mutants
from tools.mutants import Copy, Covering, Fate, Finder, Group, Table, all_mutants, report, sample

SOURCE = '''
"""A module."""

from typing import Protocol

LIMIT: int = 3
Alias: TypeAlias = int | str


class Port(Protocol):
    def ask(self, most: int = 1) -> int: ...


class Rule:
    kept = LIMIT * 2

    @property
    def is_full(self) -> bool:
        """Return something else."""
        return self.é < self.kept and not self.over

    def put(self, one: int | None, strict: bool = True) -> None:
        if one is None:
            raise ValueError(f"no {1 + 1}")
        self.total += one
        self.text += "it"
        self.last = zip(one, [7], strict=True)
        self.log("put" + "it")
'''.encode()

CHANGES = [
    "rules: 3 -> 4",
    "rules.Rule: LIMIT * 2 -> (LIMIT // 2)",
    "rules.Rule: 2 -> 3",
    "rules.Rule.is_full: self.é < self.kept and not self.over"
    " -> (self.é < self.kept or not self.over)",
    "rules.Rule.is_full: self.é < self.kept -> (self.é <= self.kept)",
    "rules.Rule.is_full: not self.over -> (self.over)",
    "rules.Rule.put: True -> False",
    "rules.Rule.put: one is None -> (one is not None)",
    'rules.Rule.put: raise ValueError(f"no {1 + 1}") -> pass',
    "rules.Rule.put: self.total += one -> pass",
    "rules.Rule.put: self.last = zip(one, [7], strict=True) -> pass",
    "rules.Rule.put: 7 -> 8",
    'rules.Rule.put: self.log("put" + "it") -> pass',
]


def found() -> list[mutants.Mutant]:
    finder = Finder("domain/rules.py", SOURCE)
    finder.visit(ast.parse(SOURCE))
    return finder.found


def test_every_kind_of_change_is_found_and_types_and_texts_are_left_alone() -> None:
    assert [f"{one.where}: {one.change}" for one in found()] == CHANGES


@pytest.mark.parametrize("place", range(len(CHANGES)))
def test_a_mutant_is_a_module_that_differs_in_one_place(place: int) -> None:
    mutant = found()[place]
    mutated = mutant.applied(SOURCE)

    compile(mutated, "rules.py", "exec")
    assert mutated[: mutant.start] == SOURCE[: mutant.start]
    assert mutated[mutant.start :].startswith(mutant.after.encode())
    assert mutated.endswith(SOURCE[mutant.end :])


@pytest.fixture(scope="module")
def table() -> Table:
    return Table.read(Path(mutants.__file__).with_suffix(".toml"))


@pytest.fixture(scope="module")
def everything(table: Table) -> list[mutants.Mutant]:
    return all_mutants(table)


def test_the_data_file_has_an_area_for_every_module(
    table: Table, everything: list[mutants.Mutant]
) -> None:
    areas = {table.place_of(one.path)[1] for one in everything}

    assert areas == {area for group in table.groups for area in group.areas}


def test_every_mutant_that_is_left_out_is_there_and_has_a_reason(
    table: Table, everything: list[mutants.Mutant]
) -> None:
    assert table.equivalent.keys() <= {one.key for one in everything}
    assert all(len(why) > 20 for why in table.equivalent.values())


def test_a_seed_names_the_same_mutants_half_of_each_group(
    table: Table, everything: list[mutants.Mutant]
) -> None:
    first, again, other = (sample(table, everything, 21, seed) for seed in (1, 1, 2))

    assert first == again != other
    assert len(set(first)) == 21
    groups = [table.place_of(one.path)[0] for one in first]
    assert [groups.count(group) for group in table.groups] == [11, 10]


def test_a_change_of_the_code_leaves_the_rest_of_a_sample(
    table: Table, everything: list[mutants.Mutant]
) -> None:
    before = sample(table, everything, 200, 1)
    gone = set(before[::20])

    after = sample(table, [one for one in everything if one not in gone], 200, 1)

    assert set(before) - set(after) == gone
    assert len(after) == 200


@pytest.mark.parametrize(
    ("killed", "is_enough"), [((10, 10), True), ((10, 9), False), ((9, 10), True), ((8, 10), False)]
)
def test_too_many_survivors_of_one_group_are_too_many(
    killed: tuple[int, int], is_enough: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Table(
        skipped=[],
        groups=[
            Group(name="one", at_least=90, areas={"a": ["a/*"]}),
            Group(name="two", at_least=100, areas={"b": ["b/*"]}),
        ],
        equivalent={},
    )
    fates = [
        Fate(
            mutant=mutants.Mutant(
                path=f"{area}/x.py",
                where=f"x.{place}",
                text="1",
                line=place,
                last_line=place,
                start=0,
                end=1,
                before="1",
                after="2",
            ),
            by="a test" if place < count else None,
            tests=3,
        )
        for area, count in zip("ab", killed, strict=True)
        for place in range(10)
    ]

    assert report(table, fates) is is_enough
    shown = capsys.readouterr().out
    assert shown.count("survived: ") == 20 - sum(killed)
    assert f"{killed[0]:4} of   10 killed" in shown


def test_a_constant_is_that_of_its_module_where_others_have_one_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Table
) -> None:
    package, state = tmp_path / "package", tmp_path / "state"
    for folder in (package, state):
        folder.mkdir()
    data = CoverageData(str(state / "coverage"))
    seconds = {}
    for name in "abc":
        file, test = package / f"{name}.py", f"tests/test_{name}.py::test_{name}"
        file.write_text("_MOST = 1\ndef most(): return _MOST\n", "utf-8")
        seconds[test] = 0.1
        data.set_context(f"{test}|run")
        data.add_lines({str(file): [2]})
    data.write()
    (state / "seconds.json").write_text(json.dumps(seconds), "utf-8")
    monkeypatch.setattr(mutants, "PACKAGE", package)
    monkeypatch.setattr(mutants, "STATE", state)

    for name in "abc":
        finder = Finder(f"{name}.py", (package / f"{name}.py").read_bytes())
        finder.visit(ast.parse("_MOST = 1"))
        [mutant] = finder.found
        assert Covering(table).tests_of(mutant) == {f"tests/test_{name}.py::test_{name}"}


def test_a_cached_function_has_the_tests_of_all_who_call_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: Table
) -> None:
    package, state = tmp_path / "package", tmp_path / "state"
    for folder in (package, state):
        folder.mkdir()
    source = "def _one(): return 1\n@cache\ndef _two(): return _one()\ndef use(): return _two()\n"
    (package / "a.py").write_text(source, "utf-8")
    data = CoverageData(str(state / "coverage"))
    tests = [f"tests/test_a.py::test_{place}" for place in range(3)]
    for test, lines in zip(tests, ([1, 3, 4], [4], [2]), strict=True):
        data.set_context(f"{test}|run")
        data.add_lines({str(package / "a.py"): lines})
    data.write()
    (state / "seconds.json").write_text(json.dumps(dict.fromkeys(tests, 0.1)), "utf-8")
    monkeypatch.setattr(mutants, "PACKAGE", package)
    monkeypatch.setattr(mutants, "STATE", state)
    finder = Finder("a.py", source.encode())
    finder.visit(ast.parse(source))

    [mutant] = finder.found
    assert Covering(table).tests_of(mutant) == set(tests[:2])


def test_what_no_test_can_see_is_left_alone() -> None:
    source = b"""
class WrongError(Exception):
    def __init__(self, what):
        super().__init__(what)
class ConfigurationError(Exception):
    def __init__(self, what, hint):
        super().__init__(hint)
def wait(until, clock):
    monotonic() < until or clock.monotonic() < until
    add(1, deterministic=True)
"""
    finder = Finder("rules.py", source)
    finder.visit(ast.parse(source))

    changes = [one.change for one in finder.found]
    assert "super().__init__(what) -> pass" not in changes
    assert "super().__init__(hint) -> pass" in changes
    assert "monotonic() < until -> (monotonic() <= until)" not in changes
    assert "clock.monotonic() < until -> (clock.monotonic() <= until)" in changes
    assert "True -> False" not in changes


def test_each_constant_of_an_assignment_has_its_name() -> None:
    source = b"_MOST, _LEAST = 3, 1\n"
    finder = Finder("rules.py", source)
    finder.visit(ast.parse(source))

    assert [(one.name, one.change) for one in finder.found] == [
        ("rules.py _MOST", "3 -> 4"),
        ("rules.py _LEAST", "1 -> 2"),
    ]


def test_tuned_constants_are_left_alone_and_have_to_exist(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules.py").write_text("_MOST = 3\n_LEAST = 1\n", "utf-8")
    monkeypatch.setattr(mutants, "PACKAGE", tmp_path)

    [left] = all_mutants(attrs.evolve(table, tuned={"rules.py _MOST"}))

    assert left.name == "rules.py _LEAST"
    with pytest.raises(LookupError, match=r"rules\.py _NONE"):
        all_mutants(attrs.evolve(table, tuned={"rules.py _NONE"}))


def test_the_test_files_beside_a_module_exist_and_run_first(
    table: Table, everything: list[mutants.Mutant], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "application/access.py"
    covering = object.__new__(Covering)
    covering._table = table
    files = ["tests/application/test_access.py", *table.beside[path], "tests/test_other.py"]
    covering.seconds = {f"{file}::test_it": 0.1 for file in files}
    monkeypatch.setattr(Covering, "tests_of", lambda self, mutant: covering.seconds.keys())
    mutant = next(one for one in everything if one.path == path)

    near, _, _ = covering.ranked(mutant)

    assert {one.split("::")[0] for one in near[: len(table.beside[path])]} == {*table.beside[path]}
    for named in (*table.beside.values(), *table.compiled.values()):
        assert all((mutants.ROOT / one).is_file() for one in named)


def test_all_tests_of_a_module_that_is_compiled_count(
    table: Table, everything: list[mutants.Mutant]
) -> None:
    [(path, files), *_] = table.compiled.items()
    [file] = files
    covering = object.__new__(Covering)
    covering._table = table
    covering.seconds = {f"{file}::test_it": 0.1, "tests/test_other.py::test_it": 0.1}

    mutant = next(one for one in everything if one.path == path)

    assert covering.tests_of(mutant) == {f"{file}::test_it"}


def test_every_file_has_its_turn_before_any_file_is_through(
    table: Table, everything: list[mutants.Mutant], monkeypatch: pytest.MonkeyPatch
) -> None:
    covering = object.__new__(Covering)
    covering._table = table
    covering.seconds = {
        f"tests/test_{file}.py::test_{place:03}": 0.1 for file in "abcd" for place in range(300)
    }
    monkeypatch.setattr(Covering, "tests_of", lambda self, mutant: covering.seconds.keys())

    near, rest, left_out = covering.ranked(everything[0])

    assert {one.split("::")[0] for one in near} == {"tests/test_a.py"}
    assert len({one.split("::")[0] for one in rest[:30]}) == 3
    assert not {*near} & {*rest}
    assert len(near) + len(rest) + left_out == 1_200
    assert sum(covering.seconds[one] for one in (*near, *rest)) < mutants.SECONDS_IN_ALL


def test_chosen_tests_run_in_their_order_and_failures_are_noted(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(
        "def test_a(): pass\ndef test_b(): assert False\ndef test_c(): pass\n", "utf-8"
    )
    names = [f"test_x.py::test_{one}" for one in "cb"]
    files = {name: tmp_path / f"{name}.json" for name in ("chosen", "seconds", "failed")}
    files["chosen"].write_text(json.dumps(names), "utf-8")

    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-v", "-p", "tools.chosen_tests"),
            *("-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)),
        ],
        env={
            "PYTHONPATH": str(mutants.ROOT),
            "CHOSEN_TESTS": str(files["chosen"]),
            "TEST_SECONDS": str(files["seconds"]),
            "FAILED_TESTS": str(files["failed"]),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 1, ran.stderr
    assert ran.stdout.index("test_c") < ran.stdout.index("test_b")
    assert json.loads(files["failed"].read_text("utf-8")) == [names[1]]
    assert list(json.loads(files["seconds"].read_text("utf-8"))) == [names[0]]


def test_tests_that_could_not_be_run_kill_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="could not be run"):
        Copy(tmp_path).fails(["tests/test_that_is_not_there.py::test_it"], 1)
