"""What `make release-check` finds missing before a release."""

import pytest

from tools.release_check import missing_in, missing_in_dist, wrong_version

RELEASED = (
    "# Changelog\n\n## 1.2.0 - 2026-11-29\n\nThe tables have revision 0007.\n\n- Something.\n"
)


def problems(changelog: str) -> list[str]:
    return list(missing_in(changelog, "1.2.0", revision="0007"))


def test_a_changelog_with_a_dated_section_is_ready() -> None:
    assert problems(RELEASED) == []
    assert problems(RELEASED.replace("## 1", "## Unreleased\n\n## 1")) == []


@pytest.mark.parametrize("title", ["1.2.0", "1.2.00 - 2026-11-29", "1x2.0 - 2026-11-29"])
def test_a_version_without_a_dated_section_is_found(title: str) -> None:
    [problem, *_] = problems(f"# Changelog\n\n## {title}\n\n- Something in revision 0007.\n")

    assert problem == "CHANGELOG.md has no section '## 1.2.0 - YYYY-MM-DD'"


def test_a_section_without_its_date_is_found() -> None:
    [problem] = problems(RELEASED.replace("2026-11-29", "unreleased"))

    assert problem.startswith("CHANGELOG.md has no date in '## 1.2.0 - unreleased'")


@pytest.mark.parametrize("title", ["Unreleased", "1.3.0 - unreleased"])
def test_changes_that_the_version_does_not_have_are_found(title: str) -> None:
    [problem] = problems(RELEASED.replace("## 1", f"## {title}\n\n- Something else.\n\n## 1"))

    assert problem.startswith(f"CHANGELOG.md lists changes under '{title}'")


def test_a_section_that_names_another_revision_is_found() -> None:
    [problem] = problems(RELEASED.replace("0007", "0006"))

    assert problem == "CHANGELOG.md does not say under 1.2.0 that the tables have revision 0007"


@pytest.mark.parametrize("tags", [[], ["v0.9.0"], ["v1.1.9", "v1.2.0rc1"], ["v0.10.0"]])
def test_a_version_after_all_tags_is_right(tags: list[str]) -> None:
    assert list(wrong_version("1.2.0", tags)) == []


@pytest.mark.parametrize(
    ("version", "tags", "problem"),
    [
        ("1.2.0", ["v1.2.0"], "the tag v1.2.0 exists"),
        ("1.2.0", ["v1.9.0", "v1.10.0"], "the tag v1.10.0 exists"),
        ("1.2.0-rc1", [], "the packages would be called 1.2.0rc1"),
        ("next", [], "next is no version"),
    ],
)
def test_a_version_that_cannot_be_the_next_is_found(
    version: str, tags: list[str], problem: str
) -> None:
    [found] = wrong_version(version, tags)

    assert found.startswith(problem)


def test_packages_of_other_versions_are_found() -> None:
    right = ["angle_reco-1.2.0.tar.gz", "angle_reco-1.2.0-py3-none-any.whl"]

    assert list(missing_in_dist(right, "1.2.0")) == []
    assert list(missing_in_dist([right[0], "angle_reco-1.1.0.tar.gz"], "1.2.0")) == [
        "dist/ lacks angle_reco-1.2.0-py3-none-any.whl: run make package",
        "dist/ has other files, which would be uploaded: angle_reco-1.1.0.tar.gz",
    ]
