"""A queryset as a select has the rows that Django reads."""

import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from django.contrib.auth import get_user_model
from django.db import connections
from django.db.models import Case, CharField, Count, Exists, F, OuterRef, Q, Value, When
from django.db.models.functions import Coalesce, Concat, Lower, TruncDate
from django.test import TestCase

from angle_reco.adapters.sql.core.borrowing import borrow
from angle_reco.django.querysets import LabelledQuery, QuerysetError, UnreadableFieldError
from tests.django import project
from tests.django.shop.models import Bid, Category, Lot, Odd, SpecialLot, Watch

STRANGE = "50% off: \\ :id ::x %s %(a)s '12:30' \"?\""

QUERYSETS: dict[str, Callable[[], Any]] = {
    "fields": lambda: Lot.objects.values("title", "seller_id", item_id=F("pk")),
    "a condition": lambda: Lot.objects.filter(title=STRANGE).values("title"),
    "like": lambda: Lot.objects.filter(title__icontains="% OFF: \\ :id").values("title"),
    "moments": lambda: Lot.objects.filter(created_at__lt=datetime(2030, 1, 1, tzinfo=UTC)).values(
        "created_at", "closes_at"
    ),
    "texts of colons": lambda: Lot.objects.values(name=Concat("title", Value(" :x ::y %"))),
    "a joined table": lambda: Lot.objects.values("seller__username", kind=F("category__name")),
    "a case": lambda: Lot.objects.values(
        status=Case(
            When(state="open", then=Value("active")), default=F("state"), output_field=CharField()
        )
    ),
    "decimals": lambda: Bid.objects.values(amount=F("cents") / Decimal(100)),
    "a remainder": lambda: Bid.objects.values(rest=F("cents") % 7),
    "groups with values": lambda: (
        Lot.objects.annotate(kind=Concat(Value("a"), Lower("category__name"), Value("a")))
        .values("kind")
        .annotate(how_many=Count("pk"))
    ),
    "a subquery": lambda: Lot.objects.filter(
        Exists(Bid.objects.filter(lot=OuterRef("pk"), cents__gt=5))
    ).values("title"),
    "nothing": lambda: Lot.objects.filter(pk__in=[]).values("title"),
    "none": lambda: Lot.objects.none().values("title"),
    "a slice": lambda: Lot.objects.order_by("-title").values("title")[:1],
    "a union": lambda: (
        Lot.objects.filter(Q(title="b"))
        .order_by()
        .values(name=F("title"))
        .union(Category.objects.values("name"), all=True)
        .order_by()
    ),
    "distinct": lambda: Lot.objects.order_by().values("category_id").distinct(),
    "a proxy": lambda: SpecialLot.objects.values("title"),
    "uuids and texts as ids": lambda: Odd.objects.values("code", "token", "owner_id"),
    "one uuid": lambda: Odd.objects.filter(token=uuid.UUID(int=7)).values("token"),
    "days and floats": lambda: Odd.objects.values("day", "weight"),
    "booleans": lambda: Bid.objects.filter(is_cancelled=False).values("is_cancelled"),
    "functions of Django": lambda: Lot.objects.values(
        name=Coalesce("title", Value("-")), day=TruncDate("created_at")
    ),
    "a regular expression": lambda: Lot.objects.filter(title__iregex="^B").values("title"),
}


class Querysets(project.OnDatabase):
    databases: frozenset[str]

    @classmethod
    def setUpTestData(cls) -> None:
        ann = get_user_model().objects.create_user("ann")
        kind = Category.objects.create(name="Kind")
        for title in ("a", "b", STRANGE):
            lot = Lot.objects.create(title=title, category=kind, seller=ann)
            Bid.objects.create(bidder=ann, lot=lot, cents=1_234)
        Odd.objects.create(
            code="x", token=uuid.UUID(int=7), day=date(2026, 2, 28), weight=0.5, owner=ann
        )

    def test_the_rows_are_those_of_django(self) -> None:
        for name, made in QUERYSETS.items():
            with self.subTest(name):  # type: ignore[attr-defined]  # of the TestCase beside it
                self.compare(made())

    def test_several_querysets_in_one_statement_have_parameters_each(self) -> None:
        texts = [
            LabelledQuery.of(Lot.objects.filter(title=title).values("title"), self.alias).select()
            for title in ("a", "b")
        ]

        with borrow(connections[self.alias]).engine.connect() as connection:
            found = connection.execute(sa.union_all(*texts)).all()

        assert sorted(map(tuple, found)) == [("a",), ("b",)]

    def compare(self, queryset: Any) -> None:
        select = LabelledQuery.of(queryset, self.alias).select()
        expected = [
            {name: plain(value) for name, value in row.items()}
            for row in queryset.using(self.alias)
        ]

        # As the library uses it: as a subquery, with a condition of its own.
        of_library = select.subquery("rows")
        # The driver's values: Django's connections convert those of SQLite themselves.
        rows = sa.select(
            *(sa.type_coerce(one, sa.types.NullType()).label(one.name) for one in of_library.c)
        ).subquery("raw")
        with borrow(connections[self.alias]).engine.connect() as connection:
            found = [
                {name: plain(value) for name, value in row._mapping.items()}
                for row in connection.execute(sa.select(rows).where(sa.literal(1) == 1))
            ]

        assert sorted(map(repr, found)) == sorted(map(repr, expected))


def plain(value: Any) -> Any:
    """Return a value in one form, whatever the driver makes of it."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, uuid.UUID):
        return value.hex
    is_number = isinstance(value, Decimal | float | int) and not isinstance(value, bool)
    return float(value) if is_number else value


class TestOnSqlite(Querysets, TestCase):
    alias = project.SQLITE
    databases = frozenset({project.SQLITE})


@pytest.mark.postgres
@pytest.mark.usefixtures("postgres")
class TestOnPostgres(Querysets, TestCase):
    alias = project.POSTGRES
    databases = frozenset({project.SQLITE, project.POSTGRES})


@pytest.mark.parametrize(
    ("queryset", "reason"),
    [
        (
            lambda: Lot.objects.values(odd=F("title") + F("seller")),
            "odd has no type|cannot be written as SQL",
        ),
        (Lot.objects.all, r"it has no \.values\(…\), which labels the columns"),
        (lambda: Lot.objects.values_list("pk"), r"it has no \.values\(…\)"),
        (lambda: Lot, "it is a ModelBase, no queryset"),
        (lambda: [1], "it is a list, no queryset"),
    ],
)
def test_what_is_no_labelled_queryset_is_refused(queryset: Any, reason: str) -> None:
    with pytest.raises(QuerysetError, match=reason):
        LabelledQuery.of(queryset(), project.SQLITE)


def test_public_columns_may_have_other_values() -> None:
    query = LabelledQuery.of(Odd.objects.values("data", "lasts"), project.SQLITE)

    kinds = [type(column.type) for column in query.select({"data", "lasts"}).selected_columns]

    assert kinds == [sa.JSON, sa.types.NullType]


@pytest.mark.parametrize(("field", "kind"), [("data", "JSONField"), ("lasts", "DurationField")])
def test_a_field_of_other_values_is_refused(field: str, kind: str) -> None:
    query = LabelledQuery.of(Odd.objects.values(field), project.SQLITE)

    with pytest.raises(UnreadableFieldError, match=f"{field} is a {kind}, which holds no number"):
        query.select()


def test_the_order_of_a_model_is_left_out() -> None:
    assert "ORDER BY" not in LabelledQuery.of(Lot.objects.values("pk"), project.SQLITE).text
    assert Watch.objects.values("pk").query.order_by == ()


def test_a_label_may_end_in_an_underscore() -> None:
    query = LabelledQuery.of(Lot.objects.values(title_=Lower("title")), project.SQLITE)

    assert [column.key for column in query.select().selected_columns] == ["title"]
