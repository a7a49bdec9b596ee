"""The defaults that the pages state are those of the settings."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from angle_reco import Settings, rules

DOCS = Path(__file__).parents[2] / "docs"
UNITS: dict[str, Any] = {
    "s": timedelta(seconds=1),
    "min": timedelta(minutes=1),
    "days": timedelta(days=1),
    "MB": 1_000_000,
}


def value_of(text: str) -> Any:
    """Return a number or a span that a page states, several as a tuple, None for other texts."""
    values = []
    for one in text.split(", "):
        found = re.fullmatch(r"([\d.,]+)(?: (s|min|days|MB))?", one)
        if found is None:
            return None
        number = found[1].replace(",", "")
        values.append(float(number) * UNITS[found[2]] if found[2] else int(number))
    return values[0] if len(values) == 1 else tuple(values)


def rows(page: str, header: str) -> Iterator[list[str]]:
    """Yield the cells of the rows of the table with that header."""
    lines = (DOCS / page).read_text("utf-8").partition(header + "\n")[2].splitlines()
    for line in lines[1:]:
        if not line.startswith("|"):
            return
        yield [one.strip() for one in line.strip("|").split(" | ")]


def stated() -> dict[tuple[type, str], Any]:
    """Return the defaults that the pages state as numbers or spans."""
    cells = [("Settings", *one[:2]) for one in rows("api.md", "| setting | default | meaning |")]
    header = "| field | default | what it is |"
    cells += [("RunRules", *one[:2]) for one in rows("jobs.md", header)]
    rule = ""
    for cell, names, texts, *_ in rows("scoring.md", "| rule | field | default | meaning |"):
        rule = cell.strip("`") or rule
        cells.append((rule, names, texts))
    found: dict[tuple[type, str], Any] = {}
    for name, names, texts in cells:
        of: type = Settings if name == "Settings" else getattr(rules, name)
        fields = re.findall(r"`(\w+)`", names)
        parts = texts.split("; ") if len(fields) > 1 and "; " in texts else [texts]
        values = [value_of(one) for one in parts]
        if len(fields) > len(parts):
            values = [value_of(one) for one in texts.split(", ")]
        for field, value in zip(fields, values, strict=False):
            if value is not None:
                found[of, field] = value
    return found


STATED = stated()


def test_most_rules_have_stated_defaults() -> None:
    assert len(STATED) > 25
    assert {of.__name__ for of, _ in STATED} == {
        *("Settings", "RunRules", "InterestRule", "SimilarityRule", "PopularityRule"),
        *("AfterBidRule", "Ranker", "DecaySteps"),
    }


@pytest.mark.parametrize(("of", "field"), STATED, ids=lambda one: getattr(one, "__name__", one))
def test_a_stated_default_is_that_of_the_code(of: type, field: str) -> None:
    assert attrs.fields_dict(of)[field].default == STATED[of, field]
