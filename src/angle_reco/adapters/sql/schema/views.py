"""Views with one row per suggestion, for people and reports."""

from angle_reco.adapters.sql.schema.tables import Tables, quoted_name
from angle_reco.domain.ids import IdKind
from angle_reco.domain.lists import ListKind
from angle_reco.domain.suggestions import REASONS, SOURCES, Reason, Source

_VIEWS = {
    ListKind.SIMILAR: ("item_similarities", "item_id", "similar_item_id"),
    ListKind.PERSONAL: ("recommended_items", "user_id", "item_id"),
    ListKind.POPULAR: ("popular_items", "category_id", "item_id"),
}


def view_names(tables: Tables) -> list[str]:
    """Return the names of the views, with their schema, quoted."""
    return [quoted_name(tables, name) for name, _, _ in _VIEWS.values()]


def view_statements(tables: Tables, dialect: str) -> list[str]:
    """Return the statements that create the views; all names are ours, or checked and quoted."""
    as_rows = _of_sqlite if dialect == "sqlite" else _of_postgres
    return [
        f"CREATE VIEW {quoted_name(tables, name)} AS\n{as_rows(tables, kind, owner, item)}"
        for kind, (name, owner, item) in _VIEWS.items()
    ]


def _of_postgres(tables: Tables, kind: ListKind, owner: str, item: str) -> str:
    # Owners of popular lists are categories as text; the empty text means all categories.
    of = {IdKind.INT: "bigint", IdKind.UUID: "uuid"}.get(tables.ids.category)
    is_other = kind is ListKind.POPULAR and of is not None
    of_owner = f"nullif(lists.owner, '')::{of}" if is_other else "lists.owner"
    return f"""SELECT {of_owner} AS {owner},
       line.rank,
       line.item AS {item},
       line.score / 1000000.0 AS score,
       {_spelled_out("line.reason", REASONS)} AS reason,
       {_spelled_out("line.source", SOURCES)} AS source,
       coalesce(lists.by_hand[line.rank], false) AS by_hand,
       lists.computed_at
  FROM {quoted_name(tables, tables.lists[kind].name)} AS lists,
       unnest(lists.items, lists.scores, lists.reasons, lists.sources)
       WITH ORDINALITY AS line(item, score, reason, source, rank)"""  # noqa: S608 — see above


def _of_sqlite(tables: Tables, kind: ListKind, owner: str, item: str) -> str:
    # Owners of popular lists are categories as text; UUIDs lose their dashes, as in items.
    is_text_of_uuid = kind is ListKind.POPULAR and tables.ids.category is IdKind.UUID
    of_owner = "replace(lists.owner, '-', '')" if is_text_of_uuid else "lists.owner"

    def at(column: str) -> str:
        return f"json_extract(lists.{column}, '$[' || line.key || ']')"

    return f"""SELECT {of_owner} AS {owner},
       line.key + 1 AS rank,
       line.value AS {item},
       {at("scores")} / 1000000.0 AS score,
       {_spelled_out(at("reasons"), REASONS)} AS reason,
       {_spelled_out(at("sources"), SOURCES)} AS source,
       coalesce({at("by_hand")}, 0) AS by_hand,
       strftime('%Y-%m-%dT%H:%M:%fZ', lists.computed_at / 1000000.0, 'unixepoch') AS computed_at
  FROM {quoted_name(tables, tables.lists[kind].name)} AS lists, json_each(lists.items) AS line"""  # noqa: S608 — see above


def _spelled_out(code: str, names: tuple[Reason, ...] | tuple[Source, ...]) -> str:
    cases = " ".join(f"WHEN {name.code} THEN '{name.value}'" for name in names)
    return f"CASE {code} {cases} END"
