"""Sentences for people: every message with its placeholders, and how one is put into words."""

from gettext import NullTranslations
from types import MappingProxyType
from typing import NamedTuple, Protocol

import attrs

LONGEST_TITLE = 80
"""The characters of a title that a sentence names."""


class Message(NamedTuple):
    """A sentence in English, with its plural form if it says a number.

    The placeholders are %(title)s, the title of another item, and %(count)d.
    """

    msgid: str
    plural: str = ""


MESSAGES = MappingProxyType(
    {
        # About what the user did: only for this user.
        "because_you_bid": Message("Because you bid on %(title)s"),
        "because_you_watch": Message("Because you are watching %(title)s"),
        "seller_of_yours": Message("From the same seller as %(title)s"),
        "liked_category": Message("From a category you like"),
        "favourite_category": Message("From your favourite category"),
        "popular_in_favourite": Message("Popular in your favourite category"),
        "fits": Message("Fits what you bid on or watch"),
        "your_prices": Message("In your usual price range"),
        "known_seller": Message("From a seller you know"),
        "for_you": Message("Picked for you"),
        # About another item.
        "similar_to": Message("Similar to %(title)s"),
        "also_wanted": Message("People interested in %(title)s are also interested in this"),
        "same_category": Message("In the same category"),
        "price_range": Message("At a similar price"),
        "collaborative": Message("Wanted by the same people"),
        # About the item.
        "watchers": Message("%(count)d person is watching it", "%(count)d people are watching it"),
        "trending": Message("Many people are watching it"),
        "popular": Message("Popular right now"),
        "popular_in_category": Message("Popular in this category"),
        "rising": Message("More wanted than before"),
        "newly_listed": Message("Newly listed"),
        "ends_in_days": Message("Ends in %(count)d day", "Ends in %(count)d days"),
        "ends_in_hours": Message("Ends in %(count)d hour", "Ends in %(count)d hours"),
        "ends_in_minutes": Message("Ends in %(count)d minute", "Ends in %(count)d minutes"),
        "ends_at_once": Message("Ends in less than a minute"),
        "ending_soon": Message("Ends within a week"),
        "active_auction": Message("Open for bids now"),
        "opens_soon": Message("Opens for bids soon"),
    }
)
"""Every message by its name; that of a reason has the reason's name."""


@attrs.frozen(kw_only=True)
class Why:
    """Why an item is suggested, before it is put into words.

    *name* is that of one of the `MESSAGES`, or of a component of the host. *title* is the title
    of the other item that the sentence names, and *count* the number that it says.
    """

    name: str
    message: Message
    title: str = ""
    count: int = 0

    @classmethod
    def of(cls, name: str, *, title: str = "", count: int = 0) -> "Why":
        """Return the reason of this name; a long *title* is cut."""
        return cls(name=name, message=MESSAGES[name], title=shortened(title), count=count)


class Translations(Protocol):
    """What gettext calls translations: a message that they lack is returned unchanged."""

    def gettext(self, message: str, /) -> str:
        """Return a message in the language."""
        ...

    def ngettext(self, msgid1: str, msgid2: str, n: int, /) -> str:
        """Return the form of a message for the number *n*."""
        ...


class Speaks(Protocol):
    """Puts reasons into words of a language, by default that of the settings."""

    def say(self, why: Why, language: str | None = None) -> str:
        """Return a sentence as plain text: escaping is up to the template."""
        ...


def translated(why: Why, translations: Translations) -> str:
    """Return the form of the message for its number, with its placeholders."""
    message = why.message
    if message.plural:
        return translations.ngettext(message.msgid, message.plural, why.count)
    return translations.gettext(message.msgid)


def in_words(why: Why, form: str) -> str:
    """Return a form of a message with its values; the sentence of a host's component is as it is.

    Raises:
        KeyError, TypeError, ValueError: The form has another placeholder, or half of one.
    """
    if why.name not in MESSAGES:
        return form
    return form % {"title": why.title, "count": why.count}


@attrs.frozen
class English:
    """Speaks English, the language of the messages."""

    def say(self, why: Why, language: str | None = None) -> str:
        """Return the sentence in English, whatever the *language*."""
        return in_words(why, translated(why, NullTranslations()))


def shortened(title: str) -> str:
    """Return a title on one line, and cut if it is long.

    >>> shortened("Omega  Seamaster"), len(shortened("x" * 1_000))
    ('Omega Seamaster', 80)
    """
    # The rest of a title that takes a megabyte need not be read.
    line = " ".join(title[: 4 * LONGEST_TITLE].split())
    return line if len(line) <= LONGEST_TITLE else f"{line[: LONGEST_TITLE - 1].rstrip()}…"
