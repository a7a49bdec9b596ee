"""The module that type checkers read leaves no public call out."""

import ast
import inspect
from functools import cached_property
from pathlib import Path

import pytest

from angle_reco import AsyncRecommender, AsyncView, Recommender, StoredView, View

TREE = ast.parse(Path(__file__).with_name("public_calls.py").read_text("utf-8"))


@pytest.mark.parametrize(
    ("of", "names"),
    [
        (Recommender, {"reco", "Recommender"}),
        (View, {"view"}),
        (StoredView, {"stored"}),
        (AsyncRecommender, {"aio"}),
        (AsyncView, {"aio_view"}),
    ],
)
def test_every_public_call_has_its_type(of: type, names: set[str]) -> None:
    public = {
        name
        for name, one in inspect.getmembers(of)
        if not name.startswith("_")
        and (inspect.isroutine(one) or isinstance(one, property | cached_property))
    }

    assert public
    assert public - calls_on(names) == set()


def calls_on(names: set[str]) -> set[str]:
    """Return the calls and properties of objects of these names whose types are asserted."""
    asserted = [
        node.args[0]
        for node in ast.walk(TREE)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "assert_type"
    ]
    bare = [one.value if isinstance(one, ast.Await) else one for one in asserted]
    called = [one.func if isinstance(one, ast.Call) else one for one in bare]
    return {
        one.attr
        for one in called
        if isinstance(one, ast.Attribute) and ast.unparse(one.value) in names
    }
