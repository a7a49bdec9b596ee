"""The catalogues of sentences: complete, compiled from what is beside them, and documented."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.adapters.languages import Languages, shipped
from angle_reco.domain.languages import LANGUAGES
from angle_reco.domain.sentences import LONGEST_TITLE, MESSAGES, Message, Why, shortened
from tools.catalogues import LOCALE, mo_of, read_po

PAGE = Path(__file__).parents[1] / "docs" / "sentences.md"
OTHERS = [one for one in LANGUAGES if one != "en"]
PLACEHOLDER = re.compile(r"%(?:\(\w+\)\w|.|$)")

titles = st.text(max_size=200) | st.sampled_from(["%", "%(title)s", "{0}", "<b>&", "ランプ 🛋"])
counts = st.integers(0, 10**12) | st.sampled_from([0, 1, 2, 3, 5, 11, 21, 100, 1_000_000])


def po(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / "angle_reco.po"


@pytest.fixture(params=OTHERS)
def entries(request: pytest.FixtureRequest) -> dict[tuple[str, ...], list[str]]:
    return read_po(po(request.param).read_text("utf-8"))


@pytest.mark.parametrize("language", OTHERS)
def test_a_compiled_catalogue_is_that_of_its_source(language: str) -> None:
    """If this fails: python tools/catalogues.py."""
    source = po(language)

    assert mo_of(read_po(source.read_text("utf-8"))) == source.with_suffix(".mo").read_bytes()
    assert f"Language: {language}\n" in read_po(source.read_text("utf-8"))[("",)][0]


def test_every_language_has_every_message_and_no_other(
    entries: dict[tuple[str, ...], list[str]],
) -> None:
    expected = {tuple(filter(None, one)) for one in MESSAGES.values()}

    assert {ids for ids in entries if ids != ("",)} == expected
    for ids, forms in entries.items():
        assert len(forms) == len(ids)
        assert all(forms)


def test_no_placeholder_is_lost(entries: dict[tuple[str, ...], list[str]]) -> None:
    for ids, forms in entries.items():
        if ids != ("",):
            for form in forms:
                assert sorted(PLACEHOLDER.findall(form)) == sorted(PLACEHOLDER.findall(ids[0]))


def test_messages_differ_and_have_their_placeholders_alone() -> None:
    assert len({one.msgid for one in MESSAGES.values()}) == len(MESSAGES)
    for message in MESSAGES.values():
        found = set(PLACEHOLDER.findall(message.msgid))
        assert found <= {"%(title)s", "%(count)d"}
        assert ("%(count)d" in found) == bool(message.plural)


@given(
    name=st.sampled_from(sorted(MESSAGES)),
    language=st.sampled_from(LANGUAGES),
    title=titles,
    count=counts,
)
def test_every_sentence_can_be_said_of_everything(
    name: str, language: str, title: str, count: int
) -> None:
    why = Why.of(name, title=title, count=count)

    said = Languages().say(why, language)

    message = MESSAGES[name]
    assert ("%(title)s" not in message.msgid) or shortened(title) in said
    assert not message.plural or str(count) in said
    assert "\n" not in said
    rest = said.replace(shortened(title), "") if shortened(title) else said
    assert PLACEHOLDER.findall(rest) == []


@pytest.mark.parametrize(
    ("language", "one", "none", "many"),
    [
        ("en", "1 person is watching it", "0 people are watching it", "12 people are watching it"),
        (
            "de",
            "1 Person beobachtet diesen Artikel",
            "0 Personen beobachten diesen Artikel",
            "12 Personen beobachten diesen Artikel",
        ),
        (
            "es",
            "1 persona sigue este artículo",
            "0 personas siguen este artículo",
            "12 personas siguen este artículo",
        ),
        (
            "fr",
            "1 personne suit cet objet",
            "0 personne suit cet objet",
            "12 personnes suivent cet objet",
        ),
    ],
)
def test_a_number_chooses_the_form(language: str, one: str, none: str, many: str) -> None:
    said = [Languages().say(Why.of("watchers", count=n), language) for n in (1, 0, 12)]

    assert said == [one, none, many]


def test_the_page_has_all_sentences() -> None:
    found = re.findall(r"^\| `(\w+)` \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    table = {name: row.split(" | ") for name, row in found if name in MESSAGES}

    assert {name: row for name, row in table.items() if len(row) == len(LANGUAGES)} == {
        name: [forms_of(message, language) for language in LANGUAGES]
        for name, message in MESSAGES.items()
    }


def forms_of(message: Message, language: str) -> str:
    words = shipped(language)
    forms = (
        [words.ngettext(message.msgid, message.plural, n) for n in (1, 2)]
        if message.plural
        else [words.gettext(message.msgid)]
    )
    return " / ".join(forms).replace("\N{NO-BREAK SPACE}", " ")


@given(st.text(max_size=2_000))
def test_a_title_in_a_sentence_is_short_and_on_one_line(title: str) -> None:
    short = shortened(title)

    assert len(short) <= LONGEST_TITLE
    assert short.split() == short.split(" ") or not short
    if len(" ".join(title.split())) <= LONGEST_TITLE:
        assert short == " ".join(title.split()) or len(title) > 4 * LONGEST_TITLE


@pytest.mark.parametrize(
    "text", ['msgid "a"\nmsgstr "b"\nmsgid "a"\nmsgstr "c"', "msgctxt 'x'", "nonsense"]
)
def test_what_the_tool_does_not_understand_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"twice|line"):
        read_po(text)


def test_a_text_in_several_lines_and_escapes() -> None:
    text = (
        '# x\nmsgid ""\nmsgstr ""\n"a\\n"\n"b\\"c"\n\nmsgid "x"\nmsgid_plural "y"\nmsgstr[0] "1"\n'
    )

    found: Any = read_po(text + 'msgstr[1] "2"\n')

    assert found == {("",): ['a\nb"c'], ("x", "y"): ["1", "2"]}
