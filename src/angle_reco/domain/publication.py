"""The publication statuses that import files may have: whether an item is shown at all."""

from difflib import get_close_matches
from enum import StrEnum

from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.errors import InvalidValueError, one_of


class PublicationStatus(StrEnum):
    """Whether an item is public; the value is what files contain and what is stored.

    Only published items are suggested. The state of an auction is an `AuctionStatus`.
    """

    PUBLISHED = "published"
    DRAFT = "draft"
    PENDING = "pending"
    WITHDRAWN = "withdrawn"
    ARCHIVED = "archived"
    REMOVED = "removed"


_MEANT: dict[PublicationStatus, frozenset[str]] = {
    PublicationStatus.PUBLISHED: frozenset(
        {
            *("1", "available", "enabled", "for sale", "listed", "live", "on", "online", "open"),
            *("public", "running", "t", "true", "visible", "y", "yes"),
        }
    ),
    PublicationStatus.DRAFT: frozenset(
        {
            *("0", "disabled", "f", "false", "hidden", "inactive", "invisible", "n", "new", "no"),
            *("off", "offline", "private", "unlisted", "unpublished"),
        }
    ),
    PublicationStatus.PENDING: frozenset({"in review", "review", "submitted", "waiting"}),
    PublicationStatus.WITHDRAWN: frozenset({"retracted", "revoked", "suspended"}),
    PublicationStatus.ARCHIVED: frozenset({"closed", "completed", "expired", "finished"}),
    PublicationStatus.REMOVED: frozenset({"banned", "blocked", "deleted", "rejected"}),
}
"""Words that other systems use for each status, in lower case."""

_KNOWN = frozenset(status.value for status in PublicationStatus)
_LIKENESS = 0.75
_LONGEST = 100


def publication_status(text: str, what: str) -> str:
    """Return a publication status unchanged; an empty text is unknown, and not published.

    Raises:
        InvalidValueError: It is not one of them; the error suggests the likely one.
    """
    if text == "" or text in _KNOWN:
        return text
    raise InvalidValueError(what, text, f"{one_of(_KNOWN)}{_suggestion(text)}")


def _suggestion(text: str) -> str:
    word = " ".join(text[:_LONGEST].replace("_", " ").casefold().split())
    if word in _KNOWN:
        return f" (written {word!r})"
    if word in set(AuctionStatus):
        return " ('published', if it is shown: how an auction stands follows from its times)"
    for status, words in _MEANT.items():
        if word in words:
            return f" ({status.value!r} is meant, perhaps)"
    close = get_close_matches(word, sorted(_KNOWN), 1, _LIKENESS)
    return f" ({close[0]!r} is meant, perhaps)" if close else ""
