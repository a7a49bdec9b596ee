"""`Market`: querysets that say what users, items, bids and watches are."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import attrs
from django.contrib.auth import get_user_model
from django.db import connections, models
from django.db.models.query import ModelIterable

from angle_reco.adapters.sql.schema.host_schema import LABELS, HostSchema
from angle_reco.django.querysets import Column, LabelledQuery, QuerysetError, UnreadableFieldError
from angle_reco.domain.errors import InvalidValueError, SchemaError
from angle_reco.domain.ids import IdKind, IdKinds

_REQUIRED = ("users", "items", "bids")

_IDS = {"user_id": "users", "item_id": "items", "category_id": "items"}
"""The querysets whose fields say of which kind ids are, by label."""

_REFERENCES = (
    *(("items", "seller_id"), ("categories", "category_id")),
    *(("bids", "user_id"), ("bids", "item_id"), ("watches", "user_id"), ("watches", "item_id")),
)
"""The columns with ids of others."""


class MarketError(Exception):
    """A market cannot be used; *id* is that of the system check."""

    def __init__(self, id: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.id = id
        self.hint = hint


class Market:
    """The marketplace of a Django project: subclass it, and name the class in ANGLE_RECO.

    Each attribute is a queryset whose `.values(…)` has the labels of `HostSchema`, such as
    `Bid.objects.values("amount", "placed_at", user_id=F("bidder"), item_id=F("lot"))`.
    A label may end in an underscore, because Django refuses the names of the model's fields:
    `status_=Case(…)`.
    `watches` and `categories` may be left out. *public* names columns of `items`, further ones or
    some of these, that `suggestion.public` and `to_json()` have. *cards* is the queryset from
    which suggested items are read, by default all objects of the model of `items`.
    """

    users: Any
    items: Any
    bids: Any
    watches: Any = None
    categories: Any = None
    public: tuple[str, ...] = ()
    cards: Any = None


@attrs.frozen(eq=False)
class MappedMarket:
    """A market of the host on the database *alias*: its selects, ids and objects."""

    market: Market
    alias: str
    _rows: dict[str, "Rows"] = attrs.field(factory=dict, init=False, repr=False)

    @property
    def name(self) -> str:
        """Return the name of the host's class."""
        return type(self.market).__name__

    def has(self, name: str) -> bool:
        """Return whether there is a queryset."""
        return self._queryset(name) is not None

    def _queryset(self, name: str) -> Any:
        return getattr(self.market, name, None)

    @cached_property
    def host_schema(self) -> HostSchema:
        """Return the querysets as selects; nothing is sent to the database.

        Raises:
            MarketError: A queryset cannot be used; the text says which and why.
        """
        for name in _REQUIRED:
            if not self.has(name):
                hint = f"Add {name} = SomeModel.objects.values(…)."
                raise MarketError("E004", f"{self.name} has no {name}", hint)
        self._check_cards()
        self._check_users()
        selects = {name: self._select(name) for name in LABELS if self.has(name)}
        try:
            # Django's connections convert moments from and to this time zone.
            return HostSchema(
                **selects,
                public=self.market.public,
                time_zone=connections[self.alias].timezone_name,
            )
        except (SchemaError, InvalidValueError) as error:
            raise MarketError("E006", f"{self.name}: {error}") from error

    def _check_cards(self) -> None:
        cards, items = self.market.cards, self.rows("items").model
        if cards is None:
            return
        if not isinstance(cards, models.QuerySet | models.Manager):
            raise MarketError("E005", f"{self.name}.cards: it is a {type(cards).__name__}")
        found = cards.all()
        if found.query.is_sliced or not issubclass(found._iterable_class, ModelIterable):
            raise MarketError("E005", f"{self.name}.cards: it has a slice, or values, not objects")
        if not issubclass(cards.model, items._meta.concrete_model):
            reason = f"cards are objects of {cards.model.__name__}, and items of {items.__name__}"
            raise MarketError("E008", f"{self.name}: {reason}")

    def _check_users(self) -> None:
        """Refuse ids that cannot be those of `request.user`: a user would see another's page."""
        rows, user = self.rows("users"), get_user_model()
        column = rows.columns.get("user_id")
        if column is None:
            return  # The schema says which columns are missing.
        own = column.own
        is_of_others = rows.field_of("user_id", user) is None and isinstance(own, models.AutoField)
        if own is None or is_of_others:
            reason = f"user_id is no field of {user.__name__}, and no reference to it"
            raise MarketError("E008", f"{self.name}.users: {reason}")

    @cached_property
    def id_kinds(self) -> IdKinds:
        """Return the kinds of ids, by the fields of the models.

        Raises:
            MarketError: A queryset cannot be used, or a field holds no ids.
        """
        kinds = {label: self._kind(name, label) for label, name in _IDS.items()}
        for name, label in _REFERENCES:
            if not self.has(name) or label not in self.rows(name).columns:
                continue
            of = "user_id" if label == "seller_id" else label
            if (kind := self._kind(name, label)) is not kinds[of]:
                reason = (
                    f"{label} has ids of the kind {kind}, and {_IDS[of]} of the kind {kinds[of]}"
                )
                raise MarketError("E008", f"{self.name}.{name}: {reason}")
        return IdKinds(user=kinds["user_id"], item=kinds["item_id"], category=kinds["category_id"])

    def rows(self, name: str) -> "Rows":
        """Return what reads the labelled values of single objects of a queryset.

        Raises:
            MarketError: The queryset cannot be used.
        """
        if name not in self._rows:
            columns = {column.label: column for column in self._labelled(name).columns}
            self._rows[name] = Rows(self._queryset(name), columns, self.alias)
        return self._rows[name]

    def user_id(self, user: Any) -> Any:
        """Return the id by which the market knows a user of Django."""
        return self._id_of(user, "users", "user_id")

    def item_id(self, item: Any) -> Any:
        """Return the id by which the market knows an item; an id is returned as it is."""
        return self._id_of(item, "items", "item_id") if isinstance(item, models.Model) else item

    def user(self, model: Any, user_id: Any) -> Any | None:
        """Return the user of Django with an id of the market, or None."""
        own = self.rows("users").field_of("user_id", model)
        name = "pk" if own is None else own.attname
        return model._default_manager.filter(**{name: user_id}).first()

    def load_cards(self, item_ids: Sequence[Any]) -> Mapping[Any, Any]:
        """Return items by id, with one query."""
        rows = self.rows("items")
        cards = self.market.cards
        found = rows.model._default_manager.all() if cards is None else cards.all()
        own = rows.field_of("item_id", found.model)
        name = "pk" if own is None or own.primary_key else own.attname
        by_id: Mapping[Any, Any] = found.in_bulk(item_ids, field_name=name)
        return by_id

    def _id_of(self, instance: Any, name: str, label: str) -> Any:
        # Not type(): request.user is a proxy, which has the class of the user.
        own = self.rows(name).field_of(label, instance.__class__)
        return instance.pk if own is None else getattr(instance, own.attname)

    def _labelled(self, name: str) -> LabelledQuery:
        try:
            return LabelledQuery.of(self._queryset(name), self.alias)
        except QuerysetError as error:
            raise MarketError("E005", f"{self.name}.{name}: {error}") from error

    def _select(self, name: str) -> Any:
        try:
            of_items = self.market.public if name == "items" else ()
            return self._labelled(name).select(set(of_items or ()) - LABELS["items"].keys())
        except UnreadableFieldError as error:
            raise MarketError("E007", f"{self.name}.{name}: {error}") from error

    def _kind(self, name: str, label: str) -> IdKind:
        column = self.rows(name).columns.get(label)
        field = None if column is None else column.field
        if isinstance(field, models.UUIDField):
            return IdKind.UUID
        if isinstance(field, models.IntegerField):
            return IdKind.INT
        if field is None or isinstance(field, models.CharField | models.TextField):
            return IdKind.TEXT
        reason = f"{label} is a {type(field).__name__}, which holds no ids"
        raise MarketError("E007", f"{self.name}.{name}: {reason}")


@attrs.frozen
class Rows:
    """Reads the labelled values of single objects, from the object itself where that is enough."""

    queryset: Any
    columns: Mapping[str, Column]
    alias: str

    @property
    def model(self) -> Any:
        """Return the model of the queryset."""
        return self.queryset.model

    @property
    def is_whole(self) -> bool:
        """Return whether every object is in the queryset."""
        query = self.queryset.query
        return not (query.where or query.is_sliced or query.combinator or query.distinct)

    def is_of(self, instance: Any) -> bool:
        """Return whether an object may have a row: those of proxies and children may."""
        return isinstance(instance, self.model._meta.concrete_model)

    def field_of(self, label: str, model: Any) -> Any | None:
        """Return the field of *model* that a column has or refers to; None if it is none."""
        column = self.columns.get(label)
        own = None if column is None else column.own
        if own is None or issubclass(model, self.model._meta.concrete_model):
            return own
        is_reference = own.is_relation and issubclass(model, own.related_model)
        return own.target_field if is_reference else None

    def of(self, instance: Any) -> dict[str, Any]:
        """Return those values that are fields of the object itself, whatever the conditions."""
        found = {
            label: (column.own, getattr(instance, column.own.attname))
            for label, column in self.columns.items()
            if column.own is not None
        }
        return {
            label: own.to_python(value)
            for label, (own, value) in found.items()
            # An expression such as F("price") + 1 has no value until the object is read again.
            if not hasattr(value, "resolve_expression")
        }

    def now(self, instance: Any) -> dict[str, Any] | None:
        """Return the values as the queryset has them now, None if it leaves the object out."""
        if self.is_whole:
            values = self.of(instance)
            if len(values) == len(self.columns):
                return values
        if self.queryset.query.combinator:
            return self.of(instance)  # Django cannot ask a union for one object.
        every = self.queryset.using(self.alias)
        every.query.clear_limits()
        for row in every.filter(pk=instance.pk):
            return {label.removesuffix("_"): value for label, value in row.items()}
        return None
