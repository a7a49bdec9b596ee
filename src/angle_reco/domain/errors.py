"""The errors of angle_reco, one class for each case that a caller can act on."""

import reprlib
from collections.abc import Collection, Sequence

from angle_reco.domain.type_checks import is_a

_SHOWN, _READ = 80, 160
"""How many characters are shown of a value, and read of one that is longer."""

_brief = reprlib.Repr()
_brief.maxstring = _brief.maxother = _READ


def shown(value: object) -> str:
    """Return *value* as error texts show it: on one line, and never long."""
    kind = type(value)
    try:
        if is_a(value, str):
            text = repr(str.__getitem__(value, slice(_READ)))
        elif is_a(value, bytes):
            text = repr(bytes.__getitem__(value, slice(_READ)))
        else:
            # For a container, the first few elements.
            text = _brief.repr(value)
    except ValueError:  # Python refuses to print integers of thousands of digits
        text = f"an enormous {kind.__name__}"
    except Exception:  # noqa: BLE001 — the repr of a foreign class may raise anything
        text = f"an unreadable {kind.__name__}"
    if len(text) > _SHOWN:
        text = f"{text[: _SHOWN - 1]}…"
    if not text.isprintable():
        text = "".join(one if one.isprintable() else " " for one in text)
    return text


class AngleRecoError(Exception):
    """Base class of the errors that angle_reco raises on purpose."""

    def __repr__(self) -> str:
        # Without the values themselves, which may be of any length.
        return f"{type(self).__name__}({str(self)!r})"


class InvalidValueError(AngleRecoError, ValueError):
    """A value cannot be used; the text names it and says what would be right."""

    def __init__(self, what: str, value: object, expected: str) -> None:
        super().__init__(what, value, expected)
        self.what = what
        self.value = value
        self.expected = expected

    def __str__(self) -> str:
        return f"{self.what} is {shown(self.value)}, but should be {self.expected}"


class ComponentError(AngleRecoError):
    """A component of a ranker failed, or returned values that cannot be used."""

    def __init__(self, component: str, problem: str) -> None:
        super().__init__(component, problem)
        self.component = component
        self.problem = problem

    def __str__(self) -> str:
        return f"the component {self.component} {self.problem}"


class ModelError(AngleRecoError):
    """A trained model cannot be used or stored; the text says why."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return f"the trained model {self.problem}"


class ItemNotFoundError(AngleRecoError):
    """No item has the requested id."""

    def __init__(self, item_id: object) -> None:
        super().__init__(item_id)
        self.item_id = item_id

    def __str__(self) -> str:
        return f"no item with id {shown(self.item_id)}"


class AccessDeniedError(AngleRecoError):
    """The actor may not do this.

    The text names only the action, so that it reveals neither users nor items.
    """

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action

    def __str__(self) -> str:
        return f"not allowed: {self.action}"


class AlreadyStoredError(AngleRecoError):
    """A result exists already, so that it cannot be created."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"there is already {self.what}: upsert it to change it"


class UserErasedError(AngleRecoError):
    """The user was erased, so that nothing about them is stored."""

    def __str__(self) -> str:
        return "the user was erased; nothing was stored"


class BadInputError(AngleRecoError):
    """Files to be imported are invalid; nothing of them was stored.

    The attributes and the text describe the first error. *others* describes further ones,
    up to a limit, and *count* is the number of all errors.
    """

    def __init__(
        self,
        file: str,
        reason: str,
        *,
        line: int | None = None,
        column: str | None = None,
        others: Sequence[str] = (),
        count: int = 1,
    ) -> None:
        super().__init__(file, reason)
        self.file = file
        self.reason = reason
        self.line = line
        self.column = column
        self.others = tuple(others)
        self.count = count

    def __str__(self) -> str:
        more = "" if self.count == 1 else f" (the first of {self.count:,} errors)"
        return f"{self.first}{more}"

    @property
    def first(self) -> str:
        """Return the first error as a sentence on one line."""
        line = "" if self.line is None else f", line {self.line}"
        column = "" if self.column is None else f", column {self.column}"
        return f"{self.file}{line}{column}: {self.reason}"


class MissingExtraError(AngleRecoError):
    """A part of angle_reco needs packages that are not installed, those of an extra."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(what, extra)
        self.what = what
        self.extra = extra

    def __str__(self) -> str:
        return f"{self.what} need more: pip install 'angle-reco[{self.extra}]'"


class NotMeasurableError(AngleRecoError):
    """Rankings cannot be compared on this data; the text says why, and what would be enough."""


class StorageError(AngleRecoError):
    """The database cannot be used as requested; the text says why and what would help."""


class StorageUnavailableError(StorageError):
    """The database did not answer."""

    def __str__(self) -> str:
        return super().__str__() or "the database does not answer"


class StorageLockedError(StorageUnavailableError):
    """Another transaction holds the database's lock: until it ends, no process can write."""

    def __str__(self) -> str:
        return "the database is being written to by another process or thread, and stayed so"


class StorageFullError(StorageError):
    """The database's disk is full; the last change was not stored."""

    def __str__(self) -> str:
        return "the database's disk is full; nothing of the last change was kept"


class HostTransactionLostError(StorageError):
    """SQLite rolled back the host's whole transaction, which an event was part of.

    SQLite does so when the disk is full, when input or output fails, and when memory runs
    out. No other error of an event is raised into a request: here the host's own rows are
    lost, and its commit would not report that.
    """

    def __str__(self) -> str:
        return (
            "SQLite rolled the transaction back (full disk, failed input or output, or no memory):"
            " nothing of it is stored, so begin it again"
        )


class SchemaError(StorageError):
    """The database has no tables of angle_reco, or other tables in their place."""


class FencedOffError(AngleRecoError):
    """A newer run of the job has taken over: the writes of this one are refused.

    *number* is the fencing number of the newer run, None if it is unknown.
    """

    def __init__(self, job: str, number: int | None = None) -> None:
        super().__init__(job, number)
        self.job = job
        self.number = number

    def __str__(self) -> str:
        number = "" if self.number is None else f", number {self.number},"
        return f"a newer run of {self.job}{number} has taken over; nothing more was stored"


def one_of(names: Collection[str]) -> str:
    """Return the expectation for an error text that one of *names* is valid."""
    return f"one of {', '.join(sorted(names))}"
