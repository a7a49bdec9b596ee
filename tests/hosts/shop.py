"""A host's shop for the tests with real servers: its tables, its recommender, its applications.

Servers import it by name; where its database is they read from SHOP_DATABASE.
"""

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from angle_reco import HostSchema, IdKind, IdKinds, Recommender, Settings

USERS, LOTS = 40, 200
# Patient: what is shown here is not how fast a busy machine is.
SETTINGS = Settings(ids=IdKinds(user=IdKind.INT, item=IdKind.INT), deadline=timedelta(seconds=20))

metadata = sa.MetaData()
people = sa.Table("people", metadata, sa.Column("id", sa.Integer, primary_key=True))
lots = sa.Table(
    "lots", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("kind", sa.Text)
)
offers = sa.Table(
    "offers",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("who", sa.Integer),
    sa.Column("what", sa.Integer),
    sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.current_timestamp()),
)
HOST = HostSchema(
    users=sa.select(people.c.id.label("user_id")),
    items=sa.select(lots.c.id.label("item_id"), lots.c.kind.label("category_id")),
    bids=sa.select(
        offers.c.who.label("user_id"),
        offers.c.what.label("item_id"),
        offers.c.at.label("placed_at"),
    ),
)


def kind_of(user: int) -> str:
    """Return the kind of lots that a user bids on."""
    return f"kind {user % 4}"


def fill(url: str) -> None:
    """Create the host's tables and ours, with users who each bid on one kind of lots."""
    engine = sa.create_engine(url)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(people), [{"id": user} for user in range(1, USERS + 1)])
        connection.execute(
            sa.insert(lots), [{"id": 1_000 + lot, "kind": f"kind {lot % 4}"} for lot in range(LOTS)]
        )
        connection.execute(
            sa.insert(offers),
            [{"who": user, "what": 1_000 + user % 4} for user in range(1, USERS + 1)],
        )
    with Recommender.from_engine(engine, host=HOST, settings=SETTINGS, migrate=True) as reco:
        for job in ("refresh_user_interests", "generate_popular_items"):
            reco.system.run_job(job)
    engine.dispose()


def recommender(engine: sa.Engine | None = None) -> Recommender:
    """Return a recommender as an application makes it: on its engine, or by a URL."""
    if engine is None:
        url = os.environ["SHOP_DATABASE"]
        return Recommender.connect(url, host=HOST, settings=SETTINGS)
    return Recommender.from_engine(engine, host=HOST, settings=SETTINGS)


def wsgi_application() -> Callable[..., Iterable[bytes]]:
    """Return an application whose pages are a homepage, made as SHOP_CONNECTS says."""
    url = os.environ["SHOP_DATABASE"]
    engine = sa.create_engine(url) if os.environ.get("SHOP_CONNECTS") == "from_engine" else None
    reco = recommender(engine)

    def application(environ: dict[str, Any], respond: Callable[..., Any]) -> Iterable[bytes]:
        user = int(environ["PATH_INFO"].strip("/"))
        shelf = reco.as_user(user).homepage(limit=3)
        kinds = {str(one.card.category_id) for one in shelf}
        said = "degraded" if shelf.degraded_by else ",".join(sorted(kinds))
        respond("200 OK", [("Content-Type", "text/plain")])
        return [f"{os.getpid()} {said}".encode()]

    return application


def fastapi_application() -> Any:
    """Return an application whose requests each hold a session of the default pool."""
    from fastapi import FastAPI

    engine = sa.create_engine(os.environ["SHOP_DATABASE"])
    sessions = orm.sessionmaker(engine)
    reco = recommender(engine)
    app = FastAPI()

    def bid(session: orm.Session, user: int, lot: int) -> int:
        session.execute(sa.insert(offers).values(who=user, what=lot))
        return int(session.scalar(sa.select(sa.func.count()).where(offers.c.what == lot)) or 0)

    def without_ours(user: int, lot: int) -> dict[str, Any]:
        with sessions.begin() as session:
            bids = bid(session, user, lot)
        return {"bids": bids}

    def with_a_page(user: int, lot: int) -> dict[str, Any]:
        with sessions.begin() as session:
            bids = bid(session, user, lot)
            shelf = reco.as_user(user).homepage()
        return {"bids": bids, "shown": len(shelf)}

    def with_ours(user: int, lot: int) -> dict[str, Any]:
        with sessions.begin() as session:
            bids = bid(session, user, lot)
            shelf = reco.as_user(user).homepage()
            reco.bid_placed(user, lot, connection=session)
        return {"bids": bids, "shown": len(shelf)}

    app.get("/without/{user}/{lot}")(without_ours)
    app.get("/page/{user}/{lot}")(with_a_page)
    app.get("/with/{user}/{lot}")(with_ours)
    return app
