"""What `make release-check` finds missing in a changelog."""

import pytest

from tools.release_check import missing_in

RELEASED = "# Changelog\n\n## Unreleased\n\n## 1.2.0 - 2026-11-29\n\n- Something.\n"


def test_a_changelog_with_a_dated_section_is_ready() -> None:
    assert list(missing_in(RELEASED, "1.2.0")) == []


@pytest.mark.parametrize("title", ["1.2.0", "1.2.00 - 2026-11-29", "1x2.0 - 2026-11-29"])
def test_a_version_without_a_dated_section_is_found(title: str) -> None:
    [problem] = missing_in(f"# Changelog\n\n## {title}\n\n- Something.\n", "1.2.0")

    assert problem == "CHANGELOG.md has no section '## 1.2.0 - YYYY-MM-DD'"


def test_changes_that_no_version_has_are_found() -> None:
    changelog = RELEASED.replace("## Unreleased\n", "## Unreleased\n\n- Something else.\n")

    [problem] = missing_in(changelog, "1.2.0")
    assert problem.startswith("CHANGELOG.md lists changes under 'Unreleased'")
