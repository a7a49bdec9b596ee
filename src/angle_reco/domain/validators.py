"""Validators that several modules use."""

from typing import Any, TypeVar

import attrs

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.moments import check_moment
from angle_reco.domain.type_checks import exact_number, is_a, plain

_Kind = TypeVar("_Kind")


def is_aware(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    """Refuse a moment without a time zone; an attrs validator."""
    check_moment(value, attribute.name)


def is_money(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    """Refuse anything but an amount of money; an attrs validator. The scale is checked later."""
    amount = None if is_a(value, float) else exact_number(value)
    if amount is None:
        raise InvalidValueError(attribute.name, value, "a Decimal")
    if not amount.is_finite() or amount < 0:
        raise InvalidValueError(attribute.name, value, "an amount of at least 0")


def is_text(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    """Refuse text that some database cannot store; an attrs validator."""
    try:
        if is_a(value, str) and "\x00" not in plain(value) and plain(value).encode() is not None:
            return
    except UnicodeEncodeError:
        pass
    raise InvalidValueError(attribute.name, value, "a text without NUL, in UTF-8")


def is_bool(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    """Refuse anything but True and False; an attrs validator."""
    flag(value, attribute.name)


def instance(value: object, what: str, *kinds: type[_Kind]) -> _Kind:
    """Return *value* if it is an instance of one of *kinds*.

    Raises:
        InvalidValueError: It is not.
    """
    if is_a(value, *kinds):
        return value
    raise InvalidValueError(what, value, " or ".join(kind.__name__ for kind in kinds))


def exactly(value: object, what: str, kind: type[_Kind]) -> _Kind:
    """Return *value* if its class is *kind* itself, so that *kind* alone defines comparisons.

    Raises:
        InvalidValueError: It is not.
    """
    if type(value) is kind:
        return value
    raise InvalidValueError(what, value, f"a {kind.__name__}")


def flag(value: object, what: str) -> bool:
    """Return *value* if it is True or False.

    Raises:
        InvalidValueError: It is neither.
    """
    if type(value) is bool:
        return value
    raise InvalidValueError(what, value, "True or False")


def function(value: _Kind, what: str) -> _Kind:
    """Return *value* if it can be called.

    Raises:
        InvalidValueError: It cannot.
    """
    if callable(value):
        return value
    raise InvalidValueError(what, value, "a function")


def whole(value: object, what: str, *, least: int, most: int | None = None) -> int:
    """Return *value* if it is an integer in the bounds; True is no integer.

    Raises:
        InvalidValueError: It is not.
    """
    if type(value) is int and least <= value and (most is None or value <= most):
        return value
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise InvalidValueError(what, value, f"a whole number {bounds}")
