"""Checks how `make lock-check` reads what the project requires."""

import pytest

from tools.lock_check import ADDRESS, requirements

PROJECT = {
    "project": {
        "name": "angle-reco",
        "optional-dependencies": {"cli": ["rich"], "web": ["flask"]},
    },
    "dependency-groups": {
        "dev": ["angle-reco[cli]", "angle-reco-plugin>=1", {"include-group": "test"}],
        "test": ["pytest>=9"],
    },
}


def test_all_extras_and_the_included_groups_are_required() -> None:
    assert requirements(PROJECT) == [".[cli,web]", "angle-reco-plugin>=1", "pytest>=9"]


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
