"""Views that show a row a suggestion, for people and reports."""

import sqlalchemy as sa

from angle_reco.adapters.sql.schema import Tables
from angle_reco.domain import REASONS, SOURCES, IdKind, ListKind, Reason, Source

_VIEWS = {
    ListKind.SIMILAR: ("angle_reco_item_similarities", "item_id", "similar_item_id"),
    ListKind.PERSONAL: ("angle_reco_recommended_items", "user_id", "item_id"),
    ListKind.POPULAR: ("angle_reco_popular_items", "category_id", "item_id"),
}


def create_views(connection: sa.Connection, tables: Tables) -> None:
    """Create the views; every name in them is a constant of this package."""
    for kind, (view, owner, item) in _VIEWS.items():
        connection.exec_driver_sql(
            f"""
            CREATE VIEW {view} AS
            SELECT {_owner(tables, kind)} AS {owner},
                   line.key + 1 AS rank,
                   line.value AS {item},
                   json_extract(lists.scores, '$[' || line.key || ']') / 1000000.0 AS score,
                   {_spelled_out("reasons", REASONS)} AS reason,
                   {_spelled_out("sources", SOURCES)} AS source,
                   coalesce(json_extract(lists.by_hand, '$[' || line.key || ']'), 0) AS by_hand,
                   strftime('%Y-%m-%dT%H:%M:%fZ', lists.computed_at / 1000000.0, 'unixepoch')
                       AS computed_at
              FROM {tables.lists[kind].name} AS lists, json_each(lists.items) AS line
            """  # noqa: S608 — names and codes come from this module
        )


def _owner(tables: Tables, kind: ListKind) -> str:
    # Categories are written as text there; UUIDs lose their dashes again, as items have them.
    is_text_of_uuid = kind is ListKind.POPULAR and tables.ids.category is IdKind.UUID
    return "replace(lists.owner, '-', '')" if is_text_of_uuid else "lists.owner"


def _spelled_out(column: str, names: tuple[Reason, ...] | tuple[Source, ...]) -> str:
    cases = " ".join(f"WHEN {name.code} THEN '{name.value}'" for name in names)
    return f"CASE json_extract(lists.{column}, '$[' || line.key || ']') {cases} END"
