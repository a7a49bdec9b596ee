"""The command `demo`: a simulated auction site, its jobs, and the shelves of one user."""

import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import rich_click as click
from rich.console import Console
from rich.text import Text

from angle_reco import Recommender, Settings, Suggestion
from angle_reco.application.jobs.schedule import BATCH_JOBS
from angle_reco.cli.output import (
    console,
    day,
    facts_table,
    indented,
    interests_table,
    money,
    plain,
    progress,
    shelf_text,
)
from angle_reco.composition import import_marketplace, storage_at
from angle_reco.domain.millionths import to_fraction
from angle_reco.simulation import Marketplace, MarketplaceShape, simulate

_Result = TypeVar("_Result")

_MARK = "angle_reco_demo"
_SHOWN = 5
_TITLE = 36
"""Characters of a title beside other columns."""


def show_demo(database: str, seed: int, picture: Path | None) -> None:
    """Simulate a marketplace, run the jobs, and show the shelves of one user."""
    path = _fresh_file(database)
    where, now = console(record=picture is not None), datetime.now(UTC).replace(microsecond=0)
    where.print(Text("angle_reco on a made-up auction site", style="bold"))
    where.print()

    shape = MarketplaceShape(
        users=1_000, items=2_500, bids=20_000, watches=10_000, sellers=100, seed=seed
    )
    with tempfile.TemporaryDirectory() as folder, progress(lines=False) as report:
        market = _timed(
            where,
            f"making up {shape.users:,} users and {shape.items:,} lots",
            lambda: simulate(shape, now=now),
        )
        market.write_csv(Path(folder), progress=report)
        with storage_at(database, Settings()) as storage:
            outcome = _timed(
                where,
                "importing them from CSV files into SQLite",
                lambda: import_marketplace(storage, Path(folder), progress=report),
            )
    counts = ", ".join(f"{one.new:,} {name}" for name, one in outcome.files.items())
    where.print(Text(f"  {counts}", style="dim"))

    with Recommender.connect(database) as recommender:
        with progress(lines=False) as report:
            for job in BATCH_JOBS:
                _timed(
                    where,
                    f"running {job}",
                    partial(recommender.system.run_job, job, progress=report),
                )
        if picture is not None:
            where.export_text(clear=True)
        _show_user(where, recommender, _lively_user(market, now), now)
        if picture is not None:
            # Without the web font, so that viewing the picture sends no request to a server.
            svg = where.export_svg(title="angle-reco demo")
            picture.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), "utf-8")
    _show_next(where, database, path)


def _fresh_file(database: str) -> Path:
    """Return the path of the database file, after removing the file of an earlier demo.

    An existing file is removed only if its name starts with `angle_reco_demo`.

    Raises:
        click.UsageError: The URL is not of a SQLite file, or another file exists there.
    """
    prefix = "sqlite:///"
    if not database.startswith(prefix) or "?" in database:
        raise click.UsageError(f"the demo needs a file of SQLite, such as {prefix}{_MARK}.db")
    path = Path(database.removeprefix(prefix))
    if path.exists() and not path.name.startswith(_MARK):
        raise click.UsageError(f"{path} is there already: name a new file for the demo")
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return path


def _timed(where: Console, what: str, work: Callable[[], _Result]) -> _Result:
    started = time.perf_counter()
    result = work()
    line = Text(f"  {what} ")
    line.append("." * max(2, 66 - len(what)), style="dim")
    line.append(f" {time.perf_counter() - started:4.1f} s")
    where.print(line)
    return result


def _lively_user(market: Marketplace, now: datetime) -> str:
    """Return a user who signed in lately, with about 14 bids and 8 watches in 60 days."""
    since = np.datetime64(int((now - timedelta(days=60)).timestamp()), "s")
    bids = np.bincount(market.bids.user[market.bids.placed_at > since], minlength=len(market.users))
    watches = np.bincount(
        market.watches.user[market.watches.inserted_at > since], minlength=len(market.users)
    )
    last = np.datetime64(int((now - timedelta(days=20)).timestamp()), "s")
    is_around = market.users.last_sign_in_at > last
    off = np.abs(bids - 14) + np.abs(watches - 8) + np.where(is_around, 0, 1_000)
    return str(market.users.user_id[int(off.argmin())])


def _show_user(where: Console, recommender: Recommender, user: str, now: datetime) -> None:
    me, system = recommender.as_user(user), recommender.system
    sign_ins = me.sign_ins()
    _headline(where, f"{user}: what they did")
    if sign_ins is not None:
        where.print(f"  signed in {sign_ins.count} times, last on {day(sign_ins.last_at)}")
    _show_activity(where, recommender, user)

    _headline(where, "Their interests", "me.interests()")
    where.print(indented(interests_table(me.interests(6))))

    _headline(where, "Recommended for them", "me.homepage(7)")
    where.print(shelf_text(me.homepage(7)))

    # The category of weakest interest on the whole page shows the largest rise after a bid.
    strength = {one.category_id: one.score for one in me.interests(1_000)}
    one = min(me.homepage(60), key=lambda line: strength.get(line.card.category_id, 0))
    _headline(where, f"Similar to {plain(one.card.title)}", "me.similar_items(item, 4)")
    where.print(shelf_text(me.similar_items(one.item_id, 4)))

    _bid(where, recommender, user, one, now)

    _headline(where, "Popular with everybody", "reco.anonymous.popular_items(4)")
    where.print(shelf_text(recommender.anonymous.popular_items(4)))
    taken = system.stats()
    lists = sum(one.owners for one in taken.lists.values())
    where.print()
    where.print(
        Text(
            f"  Stored for everybody: {taken.interests.rows:,} interests and {lists:,} lists.",
            style="dim",
        )
    )


def _show_activity(where: Console, recommender: Recommender, user: str) -> None:
    activity, catalog = recommender.ports.activity, recommender.ports.catalog
    bids = activity.user_bids(recommender.settings.ids.user_id(user))
    watches = activity.user_watchlist(recommender.settings.ids.user_id(user))
    where.print(f"  {len(bids)} bids and {len(watches)} watched lots; the newest:")
    happened = [
        *((bid.placed_at, bid.item_id, f"bid {money(bid.amount)}") for bid in bids[:_SHOWN]),
        *((watch.watched_at, watch.item_id, "watched") for watch in watches[:_SHOWN]),
    ]
    happened.sort(key=lambda one: one[0], reverse=True)
    cards = catalog.cards([one[1] for one in happened], at=recommender.ports.clock.now())
    rows = [
        (day(moment), what, _brief(cards[item_id].title), plain(cards[item_id].category_id))
        for moment, item_id, what in happened[:_SHOWN]
    ]
    where.print(indented(facts_table(("when", "", "lot", "category"), rows)))


def _bid(
    where: Console, recommender: Recommender, user: str, one: Suggestion, now: datetime
) -> None:
    """Place a bid, and show what it changes at once and after the next job run."""
    me, category = recommender.as_user(user), one.card.category_id
    before = {line.category_id: line.score for line in me.interests()}
    price = one.card.price + max(one.card.price // 20, Decimal(1))
    recommender.bid_placed(user, one.item_id, amount=price, at=now)
    _headline(where, f"They bid {money(price)} on it: you might also like", "me.after_bid(item, 4)")
    where.print(shelf_text(me.after_bid(one.item_id, 4)))

    recommender.system.run_job("refresh_user_interests")
    after = {line.category_id: line.score for line in me.interests()}
    rise = f"{to_fraction(before.get(category, 0)):.2f} to {to_fraction(after[category]):.2f}"
    where.print()
    if one.item_id not in me.homepage(60).ids:
        where.print(Text("  The lot has left their homepage at once.", style="dim"))
    line = f"  With the next run their interest in {plain(category)} goes from {rise}."
    where.print(Text(line, style="dim"))


def _brief(title: str) -> str:
    text = plain(title)
    return text if len(text) <= _TITLE else f"{text[: _TITLE - 1]}…"


def _headline(where: Console, text: str, call: str = "") -> None:
    where.print()
    line = Text(text, style="bold cyan", no_wrap=True, overflow="ellipsis")
    where.print(line)
    if call:
        where.print(Text(call, style="dim"))


def _show_next(where: Console, database: str, path: Path) -> None:
    command = _command()
    _headline(where, "Try next")
    where.print(Text(f"  export ANGLE_RECO_DATABASE={database}"))
    for rest in (
        "stats",
        "homepage user-0001",
        "similar lot-04321 --json",
        "popular --category watches",
        "--help",
    ):
        where.print(Text(f"  {command} {rest}"))
    where.print(Text(f"  (all of it is in the file {path}, which you may delete)", style="dim"))


def _command() -> str:
    """Return how the user can call this command from the current directory."""
    if shutil.which("angle-reco"):
        return "angle-reco"
    script = Path(sys.argv[0])
    return os.path.relpath(script) if script.name == "angle-reco" else "python -m angle_reco"
