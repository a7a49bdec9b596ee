"""What tracking sign-ins saves: how many users a refresh works for, hour by hour of a month.

    python benchmarks/sign_ins.py DIRECTORY --month 2011-10

DIRECTORY is one that `angle-reco import` reads. On each day with a bid a user signs in, at
their first one; the sign-ins are replayed in order, and at every hour of the month those
whom `refresh_user_interests` would work for are counted, beside every user created by then.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from angle_reco import Settings, UserId
from angle_reco.adapters.sql.storage import Storage
from angle_reco.composition import import_marketplace, storage_at

HOUR = timedelta(hours=1)


def main() -> None:
    """Replay, and print the averages."""
    asked = argparse.ArgumentParser(description="Replay sign-ins and count who is active.")
    asked.add_argument("directory", type=Path)
    asked.add_argument("--month", default="2011-10", metavar="YYYY-MM")
    asked.add_argument("--json", action="store_true")
    options = asked.parse_args()
    first = datetime.strptime(options.month, "%Y-%m").replace(tzinfo=UTC)
    with (
        tempfile.TemporaryDirectory() as folder,
        storage_at(f"sqlite:///{folder}/replay.db", Settings()) as storage,
    ):
        import_marketplace(storage, options.directory, skip_bad_rows=True)
        hours = list(replayed(storage, first, Settings().active_for))
    refreshed = sum(active for active, _ in hours) / len(hours)
    everyone = sum(created for _, created in hours) / len(hours)
    shares = [active / created for active, created in hours if created]
    fewer = 1 - sum(shares) / len(shares)
    if options.json:
        figures = {"hours": len(hours), "refreshed": refreshed, "everyone": everyone}
        print(json.dumps({**figures, "fewer": fewer}, indent=2))
        return
    print(
        f"{len(hours)} hours of {options.month}: {refreshed:,.0f} users refreshed on average,"
        f" where {everyone:,.0f} had been created: {fewer:.0%} fewer"
    )


def replayed(storage: Storage, first: datetime, active_for: timedelta) -> Iterator[tuple[int, int]]:
    """Yield for each hour of the month how many users are active, and how many there are."""
    sign_ins = iter(sign_ins_of(storage))
    coming = next(sign_ins, None)
    forget_sign_ins(storage)
    users, now = storage.ports().users, first
    while now.month == first.month:
        while coming is not None and coming[0] <= now:
            users.record_sign_in(coming[1], coming[0])
            coming = next(sign_ins, None)
        yield len(users.active_since(now - active_for, until=now)), users.total(until=now)
        now += HOUR


def sign_ins_of(storage: Storage) -> list[tuple[datetime, UserId]]:
    """Return the first bid of every user on every day, in order."""
    bids, firsts = storage.tables.bids.c, dict[tuple[UserId, object], datetime]()
    query = sa.select(bids.placed_at, bids.user_id).order_by(bids.placed_at)
    for placed_at, user_id in storage.database.rows(query):
        firsts.setdefault((user_id, placed_at.date()), placed_at)
    return sorted((at, user_id) for (user_id, _), at in firsts.items())


def forget_sign_ins(storage: Storage) -> None:
    """Have nobody ever signed in, as before the first of them."""
    users = storage.tables.users
    none = sa.update(users).values(last_sign_in_at=None, sign_in_count=0)
    storage.database.write(lambda connection: connection.execute(none))


if __name__ == "__main__":
    main()
