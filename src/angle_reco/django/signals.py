"""Signals of Django as events: each is part of the transaction in which the object changes."""

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from functools import wraps
from typing import Any

from django.apps import apps
from django.contrib.auth.signals import user_logged_in
from django.db import connections
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete
from django.utils import timezone

from angle_reco import Recommender
from angle_reco.django.configuration import ConfigurationError, configured
from angle_reco.django.connecting import borrowing, recommender
from angle_reco.django.market import MappedMarket, MarketError, Rows
from angle_reco.django.middleware import note_reported
from angle_reco.domain.errors import InvalidValueError

_log = logging.getLogger(__name__)

_UID = "angle_reco"


def connect(market: MappedMarket) -> None:
    """Connect the signals of the models behind a market.

    Raises:
        ConfigurationError: A queryset cannot be used.
    """
    try:
        # All of it first: each event needs the whole market, and must not fail in a request.
        _ = market.host_schema, market.id_kinds
        user_logged_in.connect(_signed_in, dispatch_uid=_UID)
        for name, (saved, deleted) in _HANDLERS.items():
            if not market.has(name) or market.rows(name).queryset.query.combinator:
                continue  # Objects of a union: see `report`.
            uid, concrete = f"{_UID}.{name}", market.rows(name).model._meta.concrete_model
            m2m_changed.connect(_many_to_many_changed, sender=concrete, dispatch_uid=_UID)
            for model in _classes_of(concrete):
                if saved is not None:
                    post_save.connect(saved, sender=model, dispatch_uid=uid)
                pre_delete.connect(_read_before, sender=model, dispatch_uid=_UID)
                post_delete.connect(deleted, sender=model, dispatch_uid=uid)
    except MarketError as error:
        raise ConfigurationError(error.id, str(error), error.hint) from error


def report(objects: Iterable[Any]) -> int:
    """Report objects that Django sent no signal for: after `update()` and `bulk_create()`.

    *objects* are bids, watches or items of the market's models, such as what `bulk_create`
    returned, or a queryset. The events are part of the current transaction. Return how many
    objects were reported.

    Raises:
        InvalidValueError: An object is of a model that the market does not have, or has no key.
            Then none is reported.
    """
    configuration = configured()
    reported = list(objects)
    for one in reported:
        is_known = any(_is_of(one, configuration.market, name) for name in ("items", *_OF_USERS))
        if not is_known or one.pk is None:
            raise InvalidValueError(
                "object to report", type(one).__name__, "a saved bid, watch or item of the market"
            )
    for one in reported:
        # One model may have the rows of both.
        if _is_of(one, configuration.market, "bids"):
            _bid_saved(instance=one, using=configuration.alias)
        if _is_of(one, configuration.market, "watches"):
            _watch_saved(instance=one, using=configuration.alias)
    items = [one for one in reported if _is_of(one, configuration.market, "items")]
    if items:
        ids = [configuration.market.item_id(one) for one in items]
        _notified().items_changed(ids, connection=connections[configuration.alias])
    return len(reported)


def _notified() -> Recommender:
    """Return the recommender for an event, which the next page of the same visitor follows."""
    note_reported()
    return recommender()


def _never_breaking(handler: Callable[..., None]) -> Callable[..., None]:
    """Let what the host does succeed where the configuration cannot be used."""

    @wraps(handler)
    def handle(**signal: Any) -> None:
        try:
            handler(**signal)
        except (ConfigurationError, MarketError) as error:
            _log.error("event not reported: check=%s configuration=%s", error.id, error)

    return handle


@_never_breaking
def _bid_saved(
    *, instance: Any, using: str, created: bool = True, raw: bool = False, **_: Any
) -> None:
    rows = _rows("bids", using, raw=raw)
    if rows is None:
        return
    row = rows.now(instance)
    if row is not None:
        _notified().bid_placed(
            row["user_id"],
            row["item_id"],
            amount=_amount(row.get("amount")),
            at=_moment(row.get("placed_at")),
            connection=connections[using],
        )
    elif not created:
        _withdraw(rows.of(instance), using)


@_never_breaking
def _bid_deleted(*, instance: Any, using: str, **_: Any) -> None:
    if (row := _row_before("bids", instance, using)) is not None:
        _withdraw(row, using)


def _withdraw(row: dict[str, Any], using: str) -> None:
    if "user_id" in row and "item_id" in row:
        connection = connections[using]
        _notified().bid_withdrawn(row["user_id"], row["item_id"], connection=connection)


@_never_breaking
def _watch_saved(
    *, instance: Any, using: str, created: bool = True, raw: bool = False, **_: Any
) -> None:
    rows = _rows("watches", using, raw=raw)
    if rows is None:
        return
    row = rows.now(instance)
    if row is not None:
        at = _moment(row.get("watched_at"))
        connection = connections[using]
        _notified().watched(row["user_id"], row["item_id"], at=at, connection=connection)
    elif not created:
        _unwatch(rows.of(instance), using)


@_never_breaking
def _watch_deleted(*, instance: Any, using: str, **_: Any) -> None:
    if (row := _row_before("watches", instance, using)) is not None:
        _unwatch(row, using)


def _unwatch(row: dict[str, Any], using: str) -> None:
    if "user_id" in row and "item_id" in row:
        connection = connections[using]
        _notified().unwatched(row["user_id"], row["item_id"], connection=connection)


@_never_breaking
def _item_changed(*, instance: Any, using: str, raw: bool = False, **_: Any) -> None:
    if _rows("items", using, raw=raw) is not None:
        item_id = configured().market.item_id(instance)
        _notified().items_changed([item_id], connection=connections[using])


def _user_deleted(*, instance: Any, using: str, **_: Any) -> None:
    if _rows("users", using) is not None:
        # Within the transaction that deletes the user: both happen, or neither.
        configuration = configured()
        user_id = configuration.market.user_id(instance)
        borrowing(configuration).system.erase_user(user_id)


@_never_breaking
def _signed_in(*, user: Any, **_: Any) -> None:
    configuration = configured()
    user_id = configuration.market.user_id(user)
    recommender().signed_in(user_id, connection=connections[configuration.alias])


@_never_breaking
def _many_to_many_changed(
    *, sender: Any, instance: Any, action: str, using: str, **signal: Any
) -> None:
    """Report the rows of a many-to-many field, for which Django sends no other signal."""
    if action == "post_add":
        for row in _rows_between(sender, instance, using, **signal):
            for saved, _ in _handlers_of(row, using):
                saved(instance=row, using=using)
    elif not sender._meta.auto_created:
        return  # Objects of a model of the host are deleted with signals.
    elif action in ("pre_remove", "pre_clear"):
        going = list(_rows_between(sender, instance, using, **signal))
        for row in going:
            _read_before(instance=row, using=using)
        instance.__dict__[_GOING] = going
    elif action in ("post_remove", "post_clear"):
        for row in instance.__dict__.pop(_GOING, ()):
            for _, deleted in _handlers_of(row, using):
                deleted(instance=row, using=using)


def _rows_between(
    through: Any, instance: Any, using: str, *, model: Any, pk_set: Any, reverse: bool, **_: Any
) -> Iterable[Any]:
    """Return the rows between an object and those of *pk_set*, None for all, in any order."""
    owner = model if reverse else instance.__class__
    field = next(one for one in owner._meta.many_to_many if one.remote_field.through is through)
    ends = (field.m2m_field_name(), field.m2m_reverse_field_name())
    own, other = reversed(ends) if reverse else ends
    wanted = {own: instance} if pk_set is None else {own: instance, f"{other}__in": pk_set}
    found: Iterable[Any] = through._base_manager.using(using).filter(**wanted)
    return found


_Handlers = tuple[Callable[..., None], Callable[..., None]]

_OF_USERS: dict[str, _Handlers] = {
    "bids": (_bid_saved, _bid_deleted),
    "watches": (_watch_saved, _watch_deleted),
}
_HANDLERS: dict[str, tuple[Callable[..., None] | None, Callable[..., None]]] = {
    **_OF_USERS,
    "items": (_item_changed, _item_changed),
    "users": (None, _user_deleted),
}
"""What saving and deleting an object of each queryset does."""

_PAIR = frozenset({"user_id", "item_id"})
_BEFORE, _GOING = "_angle_reco_before_", "_angle_reco_going"
_NOT_READ: Any = object()


@_never_breaking
def _read_before(*, instance: Any, using: str, **_: Any) -> None:
    """Read what cannot be read once an object is deleted: other tables, deferred fields."""
    for name in _HANDLERS:
        rows = _rows(name, using)
        if rows is None or not rows.is_of(instance):
            continue
        row = rows.of(instance)
        if name in _OF_USERS and not row.keys() >= _PAIR:
            setattr(instance, f"{_BEFORE}{name}", rows.now(instance))


def _handlers_of(row: Any, using: str) -> Iterator[_Handlers]:
    for name, handlers in _OF_USERS.items():
        rows = _rows(name, using)
        if rows is not None and rows.is_of(row):
            yield handlers


def _row_before(name: str, instance: Any, using: str) -> dict[str, Any] | None:
    rows = _rows(name, using)
    if rows is None:
        return None
    row: dict[str, Any] | None = vars(instance).get(f"{_BEFORE}{name}", _NOT_READ)
    return rows.of(instance) if row is _NOT_READ else row


def _rows(name: str, using: str, *, raw: bool = False) -> Rows | None:
    """Return how objects are read; None for fixtures (*raw*) and other databases."""
    try:
        configuration = configured()
    except ConfigurationError:
        return None  # A test may have taken the setting away since.
    if raw or using != configuration.alias or not configuration.market.has(name):
        return None
    return configuration.market.rows(name)


def _is_of(one: Any, market: MappedMarket, name: str) -> bool:
    return market.has(name) and market.rows(name).is_of(one)


def _classes_of(model: Any) -> list[Any]:
    """Return a model with its proxies and children, which send signals of their own."""
    concrete = model._meta.concrete_model
    return [one for one in apps.get_models() if issubclass(one, concrete)]


def _amount(value: Any) -> Decimal | None:
    return value if value is None or isinstance(value, Decimal) else Decimal(str(value))


def _moment(value: Any) -> datetime | None:
    """Return a moment with a time zone; None for a day, which is none."""
    if not isinstance(value, datetime):
        return None
    if value.tzinfo is not None:
        return value
    return value.replace(tzinfo=timezone.get_default_timezone())
