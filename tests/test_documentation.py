"""Runs the code of every page: the Markdown files of the root and of docs/.

A page is one test. Its ```` ```python ```` blocks run from top to bottom in one
namespace and in an empty folder; where a block begins with ``>>>`` the answers are
compared. Blocks of other languages are for reading.
"""

import doctest
import re
from pathlib import Path

import pytest
from sybil import Document
from sybil.example import SybilFailure
from sybil.parsers.markdown import PythonCodeBlockParser

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial-django.md"  # Its blocks are files of a project.
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")} - {TUTORIAL})

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# A block that looks like Python and would not be run.
NEARLY_PYTHON = re.compile(
    r"^[ \t>]*(?:(?:[-*+]|\d+[.)])[ \t]+)?(?:`{3,}|~{3,})((?!python$)[ \t]*(?i:py).*)$",
    re.MULTILINE,
)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page: Path) -> None:
    run_page(page)


def test_blocks_share_a_namespace_and_other_languages_are_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Write:\n```python\nfrom pathlib import Path\nPath('out').write_text('1')\n```\n"
        "Not Python:\n```bash\nexit 1\n```\n```console\n$ exit 1\n```\n"
        "In a list:\n\n- read\n  ```python\n  >>> Path('out').read_text()\n  '1'\n  ```\n"
    )

    run_page(page)

    assert Path("out").read_text() == "1"
    assert Path("out").resolve().is_relative_to(tmp_path)


def test_pages_do_not_share_a_namespace(tmp_path: Path) -> None:
    first, second = tmp_path / "first.md", tmp_path / "second.md"
    first.write_text("```python\nanswer = 42\n```\n")
    second.write_text("```python\nanswer\n```\n")
    run_page(first)

    with pytest.raises(NameError, match="answer"):
        run_page(second)


def test_a_wrong_answer_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Sums:\n\n```python\n>>> 1 + 1\n2\n>>> 1 + 2\n4\n```\n")

    with pytest.raises(SybilFailure, match=r"page\.md, line 6(?s:.)*Expected:\n    4\nGot:\n    3"):
        run_page(page)


@pytest.mark.parametrize(
    "language", ["py", "Python", " python", "pycon", "python title='x'", "python3"]
)
def test_a_block_that_would_not_run_is_found(tmp_path: Path, language: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Look:\n```{language}\n1 / 0\n```\n")

    with pytest.raises(AssertionError, match=r"page\.md: call this block 'python'"):
        run_page(page)


def run_page(page: Path) -> None:
    """Run the Python blocks of a page, and raise what the first wrong one raises."""
    skipped = NEARLY_PYTHON.findall(page.read_text("utf-8"))
    assert not skipped, f"{page.name}: call this block 'python' so that it is run: {skipped[0]}"
    document = Document.parse(str(page), PythonCodeBlockParser(doctest_optionflags=OPTIONS))
    document.namespace["__name__"] = page.stem
    for example in document:
        example.evaluate()
