"""The host's ids: UUIDs, integers or texts, one kind for each entity."""

import re
import sys
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NewType, TypeAlias
from uuid import UUID

import attrs

from angle_reco.domain.errors import InvalidValueError, one_of
from angle_reco.domain.type_checks import is_a, plain

Id: TypeAlias = UUID | int | str
"""An id as hosts pass it; the library converts it to exactly one of these types."""

UserId = NewType("UserId", object)
"""The id of a user, as the library returns it: a `UUID`, an `int` or a `str`."""

ItemId = NewType("ItemId", object)
"""The id of an item, as the library returns it."""

CategoryId = NewType("CategoryId", object)
"""The id of a category, as the library returns it."""

UserRef: TypeAlias = Id | UserId
"""The id of a user that public calls take: the host's, or one that the library returned."""

ItemRef: TypeAlias = Id | ItemId
"""The id of an item that public calls take."""

CategoryRef: TypeAlias = Id | CategoryId
"""The id of a category that public calls take."""

LONGEST_TEXT_ID = 512
"""In characters; in UTF-8 that still fits an index entry of every database."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SMALLEST_INT, _LARGEST_INT = -(2**63), 2**63 - 1


class IdKind(StrEnum):
    """The kind of the ids of an entity; texts are ordered by code point."""

    INT = "int"
    UUID = "uuid"
    TEXT = "text"

    def check(self, value: object, what: str) -> Id:
        """Return *value* if it is an id of this kind; *what* names it in the error.

        Raises:
            InvalidValueError: *value* is not an id of this kind.
        """
        one = plain_id(value)
        if type(one) is not PYTHON_TYPES[self] or one is None:
            raise InvalidValueError(what, value, _EXPECTED[self])
        return one

    def parse(self, text: str, what: str) -> Id:
        """Return the id that *text* represents in command lines and files.

        Raises:
            InvalidValueError: It represents no id of this kind.
        """
        if self is IdKind.TEXT:
            return self.check(text, what)
        # int() and UUID() alone would also accept " 7 ", "1_000" and "{…}".
        shape, convert = _SHAPES[self]
        if not shape.fullmatch(text):
            raise InvalidValueError(what, text, _EXPECTED[self])
        return self.check(convert(text), what)


def plain_id(value: object) -> Id | None:
    """Return *value* as an id of exactly one of the three types, None if it is none.

    A value of a derived class is converted: two ids are the same if they are equal and of
    the same type.
    """
    if type(value) is int:
        return value if _SMALLEST_INT <= value <= _LARGEST_INT else None
    if type(value) is str or is_a(value, str):
        # The length is checked first, so that a long value is not searched.
        text: str = value if type(value) is str else plain(value)
        is_id = 0 < len(text) <= LONGEST_TEXT_ID and not _UNPRINTABLE.search(text)
        return text if is_id else None
    if is_a(value, int):
        number: int = plain(value)
        is_id = not is_a(value, bool) and _SMALLEST_INT <= number <= _LARGEST_INT
        return number if is_id else None
    if is_a(value, UUID):
        try:
            of_uuid = _NUMBER_OF_UUID.__get__(value)
        except AttributeError:  # created without the constructor
            return None
        return value if type(value) is UUID else UUID(int=of_uuid)
    return None


_NUMBER_OF_UUID = UUID.__dict__["int"]

PYTHON_TYPES = {IdKind.INT: int, IdKind.UUID: UUID, IdKind.TEXT: str}
"""The type of an id of each kind."""


_EXPECTED = {
    IdKind.INT: "an integer of at most 64 bits",
    IdKind.UUID: "a UUID",
    IdKind.TEXT: f"a text of 1 to {LONGEST_TEXT_ID} printable characters",
}

_SHAPES: dict[IdKind, tuple[re.Pattern[str], Callable[[str], Id]]] = {
    IdKind.INT: (re.compile("-?[0-9]{1,19}"), int),
    IdKind.UUID: (
        re.compile("[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"),
        UUID,
    ),
}


def _kind(value: IdKind | str) -> IdKind:
    name = plain(value) if is_a(value, str) else None
    if name not in set(IdKind):
        names = one_of([kind.value for kind in IdKind])
        raise InvalidValueError("kind of ids", value, names)
    return IdKind(name)


def as_user_id(value: UserRef) -> UserId:
    """Return a host's id of a user in plain form; its kind is checked where it is known."""
    return UserId(_normalized(value))


def as_item_id(value: ItemRef) -> ItemId:
    """Return a host's id of an item in plain form."""
    return ItemId(_normalized(value))


def as_category_id(value: CategoryRef) -> CategoryId:
    """Return a host's id of a category in plain form."""
    return CategoryId(_normalized(value))


def _normalized(value: object) -> object:
    one = plain_id(value)
    return value if one is None else one


def json_id(one: object) -> int | str:
    """Return an id for JSON: integers unchanged, anything else as text."""
    return one if isinstance(one, int) else str(one)


def interned(ids: Iterable[object]) -> tuple[ItemId, ...]:
    """Return equal ids; a text is one object in memory, however many lists have it."""
    return tuple(ItemId(sys.intern(one) if type(one) is str else one) for one in ids)


@attrs.frozen(kw_only=True)
class IdKinds:
    """The kind of the ids of each entity of a host."""

    user: IdKind = attrs.field(default=IdKind.TEXT, converter=_kind)
    item: IdKind = attrs.field(default=IdKind.TEXT, converter=_kind)
    category: IdKind = attrs.field(default=IdKind.TEXT, converter=_kind)

    def user_id(self, value: object) -> UserId:
        """Return *value* as a user's id.

        Raises:
            InvalidValueError: It is no id of that kind.
        """
        return UserId(self.user.check(value, "user id"))

    def item_id(self, value: object) -> ItemId:
        """Return *value* as an item's id.

        Raises:
            InvalidValueError: It is no id of that kind.
        """
        return ItemId(self.item.check(value, "item id"))

    def category_id(self, value: object) -> CategoryId:
        """Return *value* as a category's id.

        Raises:
            InvalidValueError: It is no id of that kind.
        """
        return CategoryId(self.category.check(value, "category id"))
