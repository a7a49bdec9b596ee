"""Puts reasons into words: by translations of the host, else by the gettext catalogues shipped."""

import logging
from collections.abc import Callable
from functools import lru_cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files

import attrs

from angle_reco.domain.languages import LANGUAGES, Language, OwnTranslations, base_of
from angle_reco.domain.sentences import Translations, Why, in_words, translated

_log = logging.getLogger(__name__)

_ENGLISH = LANGUAGES[0]
_CATALOGUES = "locale"


@attrs.frozen(kw_only=True)
class Languages:
    """Speaks the *language* of the settings, or the one that a caller names.

    *own* translations of the host come first. What they lack, or have with placeholders that do
    not fit, is said in the words of the package. A language that neither has is English.
    """

    language: Language = _ENGLISH
    own: OwnTranslations | None = None
    _reported: set[tuple[str, str]] = attrs.field(factory=set, init=False, eq=False, repr=False)

    def say(self, why: Why, language: str | None = None) -> str:
        """Return a sentence as plain text: escaping is up to the template."""
        tag = self.current if language is None else language
        found = None if self.own is None else self._by_host(why, tag, self.own)
        if found is not None:
            return found
        return in_words(why, translated(why, shipped(base_of(tag))))

    @property
    def current(self) -> str:
        """Return the language of the settings at the moment."""
        tag = self.language() if callable(self.language) else self.language
        return tag if isinstance(tag, str) else _ENGLISH

    def _by_host(self, why: Why, tag: str, own: OwnTranslations) -> str | None:
        translations = own(tag)
        if translations is None:
            return None
        form = translated(why, translations)
        if form in why.message:
            return None
        try:
            text = in_words(why, form)
        except (KeyError, TypeError, ValueError):
            text = None
        if not isinstance(text, str) or not text:
            self._report(base_of(tag), why.name)
            return None
        return text

    def _report(self, language: str, message: str) -> None:
        if (language, message) not in self._reported and len(self._reported) < _MOST_REPORTED:
            self._reported.add((language, message))
            # The tag may come with a request.
            is_language = len(language) <= _LONGEST and language.isascii() and language.isalpha()
            shown = language if is_language else "unknown"
            _log.warning("translation not used: message=%s language=%s", message, shown)

    def __reduce__(self) -> "tuple[Callable[[str], Languages], tuple[str]]":
        # A shelf may be pickled, and a function of the host need not be possible to pickle.
        return _of_tag, (self.current,)


def _of_tag(tag: str) -> Languages:
    return Languages(language=tag)


@lru_cache
def _catalogue(language: str) -> Translations:
    place = files("angle_reco") / _CATALOGUES / language / "LC_MESSAGES" / "angle_reco.mo"
    with place.open("rb") as catalogue:
        return GNUTranslations(catalogue)


def shipped(language: str) -> Translations:
    """Return the translations that the package has; English for all other languages."""
    if language == _ENGLISH or language not in LANGUAGES:
        return NullTranslations()
    return _catalogue(language)


_MOST_REPORTED, _LONGEST = 1_000, 8
