"""Signs of mistakes in an import whose rows are all valid: sentences, each with an example."""

from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from angle_reco.adapters.sql.market.market import PUBLISHED
from angle_reco.adapters.sql.schema.tables import Tables
from angle_reco.domain.errors import shown

_NEARLY_ALL = 0.9
"""The share of sellers that are not users from which on a mistake is likely."""

_POINT_ZERO = ".0"


def oddities(
    connection: sa.Connection,
    tables: Tables,
    staged: Mapping[str, sa.Table],
    names: Mapping[str, str],
) -> tuple[str, ...]:
    """Return sentences on odd values in the imported rows, with the *names* of the files."""
    return tuple(_oddities(connection, tables, staged, names))


def _oddities(
    connection: sa.Connection,
    tables: Tables,
    staged: Mapping[str, sa.Table],
    names: Mapping[str, str],
) -> Iterator[str]:
    users, items = staged["users"], staged["items"]
    sellers_are_decimals = False
    for name, column, known in (
        ("users", users.c.user_id, tables.users.c.user_id),
        ("items", items.c.item_id, tables.items.c.item_id),
        ("items", items.c.category_id, tables.items.c.category_id),
        ("items", items.c.seller_id, tables.users.c.user_id),
    ):
        found = _decimals(connection, column, known)
        if found is not None:
            sellers_are_decimals |= column.name == "seller_id"
            yield f"{names[name]}, column {column.name}: {found}"
    sellers = None if sellers_are_decimals else _unknown_sellers(connection, tables, items)
    if sellers is not None:
        yield f"{names['items']}, column seller_id: {sellers}"
    unpublished = _nothing_published(connection, tables, items)
    if unpublished is not None:
        yield f"{names['items']}, column publication_status: {unpublished}"


def _decimals(
    connection: sa.Connection, column: sa.ColumnElement[Any], known: sa.Column[Any]
) -> str | None:
    """Look for ids such as 12.0 beside 12: some programs write whole numbers as decimals."""
    if not isinstance(known.type, sa.Text):
        return None
    decimals = sa.select(column.label("id")).where(column.endswith(_POINT_ZERO)).distinct()
    some = decimals.subquery("decimals")
    whole = sa.func.substr(some.c.id, 1, sa.func.length(some.c.id) - len(_POINT_ZERO))
    others = sa.select(known.label("id")).distinct().subquery("others")
    both = sa.select(some.c.id).select_from(some.join(others, others.c.id == whole))
    rows = both.add_columns(sa.func.count().over()).order_by(some.c.id).limit(1)
    row = connection.execute(rows).first()
    if row is None:
        return None
    example, count = row
    return (
        f"ids that end in {_POINT_ZERO} are others than those without it, such as"
        f" {shown(example)} beside {shown(example.removesuffix(_POINT_ZERO))} ({count:,} in all):"
        " whole numbers may have been written as decimals"
    )


def _unknown_sellers(connection: sa.Connection, tables: Tables, items: sa.Table) -> str | None:
    of_items = sa.select(items.c.seller_id.label("id")).where(items.c.seller_id.is_not(None))
    sellers, known = of_items.distinct().subquery("sellers"), tables.users.c.user_id
    beside = sellers.outerjoin(tables.users, known == sellers.c.id)
    counts = sa.select(sa.func.count(), sa.func.count(known)).select_from(beside)
    [(total, among_users)] = connection.execute(counts)
    unknown = total - among_users
    if unknown == 0 or unknown < _NEARLY_ALL * total:
        return None
    some = sa.select(sellers.c.id).select_from(beside).where(known.is_(None))
    example = connection.scalar(some.order_by(sellers.c.id).limit(1))
    return (
        f"{unknown:,} of {total:,} sellers are not among the users, such as {_written(example)}:"
        " sellers are shown their own items unless they have the same id as users"
    )


def _nothing_published(connection: sa.Connection, tables: Tables, items: sa.Table) -> str | None:
    published = sa.exists().where(tables.items.c.publication_status == PUBLISHED)
    rows = (
        sa.select(items.c.item_id, items.c.publication_status, sa.func.count().over())
        .where(~published)
        .order_by(items.c.line)
        .limit(1)
    )
    row = connection.execute(rows).first()
    if row is None:
        return None
    item_id, status, count = row
    return (
        f"none of {count:,} items is {PUBLISHED}, so none can be suggested; item"
        f" {_written(item_id)} is {shown(status)}"
    )


def _written(one: object) -> str:
    """Return an id for display, as written in the file."""
    return shown(one if isinstance(one, str) else str(one))
