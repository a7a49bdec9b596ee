"""Languages by their tags, such as `de` or `pt-BR`."""

import re
from collections.abc import Callable
from typing import TypeAlias

from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.sentences import Translations
from angle_reco.domain.type_checks import is_a, plain

LANGUAGES = ("en", "de", "es", "fr")
"""Those whose sentences the package has; English is that of the messages."""

Language: TypeAlias = str | Callable[[], str | None]
"""A tag, or a function that returns the one of the current request, or None for English."""

OwnTranslations: TypeAlias = Callable[[str], Translations | None]
"""A host's function from a tag to its translations, None where it has none of that language."""

_TAG = re.compile("[A-Za-z]{1,8}([-_][A-Za-z0-9]{1,8}){0,8}")


def base_of(tag: str) -> str:
    """Return the language of a tag without region and script.

    >>> base_of("pt-BR"), base_of("de_AT.UTF-8")
    ('pt', 'de')
    """
    return re.split("[-_.@]", tag, maxsplit=1)[0].lower()


def check_language(value: Language, *, has_own: bool) -> Language:
    """Return a language of the settings; with translations of the host it may be any.

    Raises:
        InvalidValueError: It is no function and no tag, or there are no sentences in it.
    """
    if not is_a(value, str):
        if callable(value):
            return value
        raise InvalidValueError(
            "language", value, "a tag such as de, or a function that returns one"
        )
    tag: str = plain(value)
    if len(tag) > _LONGEST_TAG or not _TAG.fullmatch(tag):
        raise InvalidValueError("language", value, "a tag such as de or pt-BR")
    if base_of(tag) not in LANGUAGES and not has_own:
        expected = f"one of {', '.join(LANGUAGES)}, unless there are translations of yours"
        raise InvalidValueError("language", value, expected)
    return tag


_LONGEST_TAG = 81
