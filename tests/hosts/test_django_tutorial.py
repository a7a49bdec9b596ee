"""Runs the tutorial for Django: its files are written, its commands executed, in a new folder."""

import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "tutorial-django.md"
BLOCK = re.compile(r"^```(python|html|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"(?:#|\{#) ([\w./]+)(, at the end)?(?: #\})?\n")
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
NOT_RUN = ("pip install", "python manage.py runserver")

PAGES = """
from django.test import Client
from django.contrib.auth import get_user_model
visitor, ann = Client(), Client()
ann.force_login(get_user_model().objects.get(username="ann"))
for client in (visitor, ann):
    print(client.get("/", headers={"host": "localhost"}).content.decode())
print(ann.get("/lots/1/", headers={"host": "localhost"}).content.decode())
print(ann.get("/login/", headers={"host": "localhost"}).status_code)
"""


def test_the_tutorial_leads_to_suggestions_with_reasons(tmp_path: Path) -> None:
    for language, text in BLOCK.findall(PAGE.read_text("utf-8")):
        if language == "console":
            for command in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                asked, _, expected = command.partition("\n")
                if not asked.startswith(NOT_RUN):
                    compare(asked, expected, run(asked, tmp_path))
        else:
            write(text, tmp_path)

    (tmp_path / "pages.py").write_text(PAGES, "utf-8")
    pages = run("python manage.py shell < pages.py", tmp_path)
    visitor, ann, lot = pages.split("<h1>")[1:]
    assert "Popular</h1>" in visitor
    assert visitor.count("<li>") == 3
    assert "For ann</h1>" in ann
    assert ">Omega" not in ann
    assert ann.index("Heuer Carrera") < ann.index(". Because you bid on Omega Seamaster")
    assert "Heuer Carrera" in lot
    assert pages.rstrip().endswith("200")


def write(text: str, folder: Path) -> None:
    """Write a block to the file that its first line names, or add it there."""
    named = FILE.match(text)
    assert named is not None, text
    file = folder / named[1]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a" if named[2] else "w", encoding="utf-8") as opened:
        opened.write(text[named.end() :])


def run(command: str, folder: Path) -> str:
    """Execute a command of the page, and return what it writes."""
    scripts = Path(sys.executable).parent
    found = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        command.replace("django-admin", "python -m django"),
        shell=True,
        cwd=folder,
        env={**found, "PATH": f"{scripts}:{os.environ['PATH']}", "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    # Progress, which is a passing bar on a terminal, comes after the result.
    written = done.stdout + done.stderr
    assert done.returncode == 0, f"{command}: {written}"
    return written


def compare(command: str, expected: str, found: str) -> None:
    """Compare what a command wrote with what the page says, as in doctests."""
    expected = re.sub(r"^\.\.\.$", "<BLANK>", expected.strip("\n"), flags=re.MULTILINE)
    expected = expected.replace("<BLANK>", "...") + "\n" if expected else ""
    if expected:
        checker = doctest.OutputChecker()
        assert checker.check_output(expected, found, OPTIONS), f"{command}:\n{found}"
