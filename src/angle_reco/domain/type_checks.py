"""What a value is, whatever it says itself: a mock claims to be of another class."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeGuard, TypeVar

_Kind = TypeVar("_Kind")


def is_a(value: object, *kinds: type[_Kind]) -> TypeGuard[_Kind]:
    """Return whether a value is of one of these classes, or of one derived from them."""
    return issubclass(type(value), kinds)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether a value is of a class of mappings."""
    return issubclass(type(value), Mapping)


def plain(value: Any) -> Any:
    """Return a value of a class derived from text, int or Decimal as one of these; others as is.

    Nobody's own methods are called, now or when it is compared later.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__int__(value)
    return Decimal(value) if issubclass(kind, Decimal) else value


def exact_number(value: object) -> Decimal | None:
    """Return an int, float or Decimal as the number it prints, None for anything else.

    >>> exact_number(0.6), exact_number(True)
    (Decimal('0.6'), None)
    """
    if is_a(value, bool):
        return None
    if is_a(value, float):
        # Not 0.59999999999999997780.
        return Decimal(float.__repr__(value))
    return Decimal(plain(value)) if is_a(value, int, Decimal) else None


_PLAIN = frozenset({str, int, bool, Decimal, type(None)})
