"""The type of a value as Python knows it: a mock may claim to be of another class."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypeGuard, TypeVar

_Kind = TypeVar("_Kind")


def is_a(value: object, *kinds: type[_Kind]) -> TypeGuard[_Kind]:
    """Return whether the class of a value is one of *kinds* or derived from one of them."""
    return issubclass(type(value), kinds)


def is_mapping(value: object) -> TypeGuard[Mapping[Any, Any]]:
    """Return whether the class of a value is a class of mappings."""
    return issubclass(type(value), Mapping)


def plain(value: Any) -> Any:
    """Return a value of a class derived from str, int or Decimal as one of these; else itself.

    No method of the derived class is called, neither now nor in later comparisons.
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__int__(value)
    return Decimal(value) if issubclass(kind, Decimal) else value


def plain_text(value: str) -> str:
    """Convert as `plain`, for a field of text: type checkers refuse other arguments."""
    text: str = plain(value)
    return text


def plain_amount(value: Decimal | None) -> Decimal | None:
    """Convert as `plain`, for a field with an amount: type checkers refuse other arguments."""
    amount: Decimal | None = plain(value)
    return amount


def exact_number(value: object) -> Decimal | None:
    """Return an int, float or Decimal as the number that it prints, None for anything else.

    >>> exact_number(0.6), exact_number(True)
    (Decimal('0.6'), None)
    """
    if is_a(value, bool):
        return None
    if is_a(value, float):
        # By its repr: 0.6, not 0.59999999999999997780.
        return Decimal(float.__repr__(value))
    return Decimal(plain(value)) if is_a(value, int, Decimal) else None


_PLAIN = frozenset({str, int, bool, Decimal, type(None)})
