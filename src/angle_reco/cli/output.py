"""Output of commands: tables of at most 80 columns, JSON, remarks, and progress."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO, TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from angle_reco import ItemCard, Shelf, UserInterest
from angle_reco.domain.millionths import to_fraction

Report: TypeAlias = Callable[[str, int, int], None]

_WIDTH = 80
_LEAST_TITLE = 12
_SECONDS_BETWEEN_LINES = 5.0


def prepare_streams() -> None:
    """Make writing to stdout and stderr safe.

    A closed stream is replaced by the null device; characters that a stream cannot encode
    are written as replacement characters.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 — open until exit
            setattr(sys, name, nowhere)
        elif isinstance(stream, TextIOWrapper) and not _is_utf8(stream):
            stream.reconfigure(errors="replace")


def console(*, stderr: bool = False, record: bool = False) -> Console:
    """Return a console of at most 80 columns, as longer lines are hard to read."""
    width = min(Console(stderr=stderr).width, _WIDTH)
    return Console(stderr=stderr, highlight=False, width=width, record=record)


def print_json(answer: object) -> None:
    """Print a result as indented JSON, without wrapping or colour."""
    json.dump(answer, sys.stdout, indent=2, ensure_ascii=not _is_utf8(sys.stdout))
    sys.stdout.write("\n")


def remark(text: str) -> None:
    """Print a remark on standard error; a closed stderr is no error."""
    _say(f"angle-reco: {plain(text)}")


def _say(line: str) -> None:
    """Print a line on standard error; once its reader is gone, discard all further lines."""
    try:
        print(line, file=sys.stderr, flush=True)
    except BrokenPipeError:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 — open until exit


def plain(text: object) -> str:
    """Return *text* with unprintable characters, such as terminal escapes, replaced."""
    return "".join(one if one.isprintable() else "�" for one in str(text))


def shelf_text(shelf: Shelf) -> Text:
    """Return suggestions as text: title, id, price and score, and below why."""
    lines = Text(no_wrap=True, overflow="ellipsis")
    ids = [plain(one.item_id) for one in shelf]
    for_id = max(map(cell_len, ids), default=0)
    for_title = max(_LEAST_TITLE, _WIDTH - for_id - len(f"{1:3}  {0:>12}  0.00"))
    for one, item_id in zip(shelf, ids, strict=True):
        card: ItemCard = one.card
        lines.append(f"{one.rank:3} ", style="bold")
        lines.append(f"{_fitted(plain(card.title), for_title)} ")
        lines.append(_fitted(item_id, for_id), style="dim")
        lines.append(f"{money(card.price):>12}")
        lines.append(f"  {to_fraction(one.score):.2f}\n", style="bold green")
        why = ": ".join(filter(None, (plain(one.sentence), one.explanation)))
        lines.append(f"    {why}\n", style="dim")
    lines.rstrip()
    return lines


def _fitted(text: str, width: int) -> str:
    """Return a text cut or padded to *width* terminal columns; wide characters count as two."""
    if cell_len(text) > width:
        text = f"{set_cell_size(text, width - 1)}…"
    return set_cell_size(text, width)


def _is_utf8(stream: TextIO) -> bool:
    return (stream.encoding or "").lower().replace("-", "") == "utf8"


def money(amount: Decimal | None) -> str:
    """Return an amount for display, with cents only if it has any."""
    if amount is None:
        return "–"
    return f"{amount:,.2f}" if amount != amount.to_integral_value() else f"{amount:,.0f}"


def day(moment: datetime | None) -> str:
    """Return a moment for display, to the minute."""
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def minute(moment: datetime | None) -> str:
    """Return a recent moment for display, in UTC, to the minute and without the year."""
    return "–" if moment is None else f"{moment:%m-%d %H:%M}"


def interests_table(interests: Iterable[UserInterest]) -> Table:
    """Return a table of interests, with a bar for each score."""
    return facts_table(
        ("category", "score", "", "interactions", "last one"),
        [
            (
                plain(one.category_id),
                f"{to_fraction(one.score):.2f}",
                "█" * max(1, round(to_fraction(one.score) * 20)),
                str(one.interaction_count),
                day(one.last_interaction_at),
            )
            for one in interests
        ],
        right={1, 3},
    )


def facts_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()
) -> Table:
    """Return a plain table; the columns *right* are aligned to the right."""
    numbers = set(right)
    table = Table(box=None, header_style="bold", padding=(0, 1))
    for place, name in enumerate(header):
        table.add_column(
            name,
            justify="right" if place in numbers else "left",
            overflow="ellipsis",
            no_wrap=True,
        )
    for row in rows:
        table.add_row(*(Text(field) for field in row))
    return table


def indented(table: Table) -> Padding:
    """Return a table indented by two columns."""
    return Padding(table, (0, 0, 0, 2))


@contextmanager
def progress(*, lines: bool = True) -> Iterator[Report]:
    """Show the progress of long work: a bar on a terminal, else plain *lines* or nothing."""
    where = console(stderr=True)
    if where.is_terminal:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            console=where,
            transient=True,
        ) as bars:
            task = bars.add_task("", total=None)
            yield lambda what, done, total: bars.update(
                task, description=what, completed=done, total=max(total, 1)
            )
    else:
        yield _Lines() if lines else lambda what, done, total: None


class _Lines:
    """Progress as lines: one when a step starts, and one every few seconds.

    A closed stderr does not interrupt the work.
    """

    def __init__(self) -> None:
        self._what = ""
        self._last = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != self._what or now - self._last >= _SECONDS_BETWEEN_LINES:
            share = "" if not total or not done else f": {100 * done // total} %"
            _say(f"{what}{share}")
            self._what, self._last = what, now
