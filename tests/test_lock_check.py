"""Checks how `make lock-check` reads what the project requires."""

from pathlib import Path

import pytest

from tools.lock_check import ADDRESS, group_in, requirements

PROJECT = {
    "project": {
        "name": "angle-reco",
        "optional-dependencies": {"cli": ["rich"], "web": ["flask"]},
    },
    "dependency-groups": {
        "dev": ["angle-reco[cli]", "angle-reco-plugin>=1", {"include-group": "test"}],
        "test": ["pytest>=9"],
        "web": ["sphinx>=9"],
    },
}


def test_all_extras_and_the_included_groups_are_required() -> None:
    assert requirements(PROJECT) == [".[cli,web]", "angle-reco-plugin>=1", "pytest>=9"]


@pytest.mark.parametrize(
    ("lock", "last"), [("web", "sphinx>=9"), ("dev", "pytest>=9"), ("oldest", "pytest>=9")]
)
def test_a_lock_file_answers_the_group_in_its_name(lock: str, last: str) -> None:
    required = requirements(PROJECT, group_in(Path(f"requirements-{lock}.txt")))

    assert required[-1] == last
    assert len(required) == len(set(required))


@pytest.mark.parametrize(
    "line",
    [
        "a @ https://example.org/a.whl",
        "-e git+ssh://example.org/a",
        "--extra-index-" + "url=https:x",
        "--find-" + "links wheels",
        "-f wheels",
    ],
)
def test_an_address_is_found(line: str) -> None:
    assert ADDRESS.search(f"b==1\n{line}\n")


def test_a_pin_is_no_address() -> None:
    assert not ADDRESS.search("a-f==1 ; sys_platform == 'win32' \\\n    --hash=sha256:0f\n")
