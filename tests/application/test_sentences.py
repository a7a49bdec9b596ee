"""Sentences of answers: whose bids they name, in which language, and in whose words."""

import pickle
from collections.abc import Callable
from gettext import NullTranslations
from random import Random
from typing import Any

import attrs
import pytest

from angle_reco import InvalidValueError, Recommender, Settings
from angle_reco.adapters.languages import Languages
from angle_reco.domain.activity import Bid
from angle_reco.domain.ids import UserId
from angle_reco.domain.sentences import Message, Why
from angle_reco.rules import SimilarityRule
from angle_reco.testing import MemoryMarketplace
from tests.application.memories import MINUTE, CachingShop, settle
from tests.application.shop import (
    DAY,
    HOUR,
    INSPECT,
    MANAGE,
    NOW,
    bid,
    clock_of,
    filled,
    lot,
    lots,
    opened,
    watch,
)
from tests.log_lines import breaks_rule

CLASSIC = Settings(ranker="classic")


def market() -> MemoryMarketplace:
    """Return a marketplace in which ann has bid on one lot of art, and watches one book."""
    return filled(
        [*lots("art", 4), *lots("book", 3, "books"), lot("vase"), lot("novel", "books")],
        bid("ann", "vase", days=2),
        watch("ann", "novel", days=1),
        users=["eve"],
    )


@pytest.fixture(params=["cached", "uncached", "stored"])
def reco(request: pytest.FixtureRequest) -> Recommender:
    """Return a recommender on it, whose answers come in one of the ways that there are."""
    settings = attrs.evolve(CLASSIC, cache_enabled=request.param == "cached")
    held = {("eve", MANAGE), ("eve", INSPECT)}
    reco = opened(market(), settings, permissions=lambda user, name: (str(user), name) in held)
    if request.param == "stored":
        reco.system.run_job("generate_recommendations")
    return reco


def sentences(reco: Recommender, user: str = "ann") -> dict[str, str]:
    return {str(one.item_id): one.sentence for one in reco.as_user(user).homepage()}


class TestSources:
    def test_an_own_bid_or_watch_explains_its_category(self, reco: Recommender) -> None:
        said = sentences(reco)

        assert said["art-01"] == "Because you bid on the lot vase"
        assert said["book-01"] == "Because you are watching the lot novel"
        # The second time it comes from memory, where there is one.
        assert sentences(reco) == said

    def test_it_is_the_one_that_counts_most(self) -> None:
        reco = opened(
            filled(
                [*lots("art", 2), lot("old"), lot("watched"), lot("new"), lot("hidden")],
                bid("ann", "old", days=40),
                watch("ann", "watched", days=3),
                bid("ann", "new", days=10),
                bid("ann", "hidden", days=1),
            ),
            CLASSIC,
        )
        reco.ports.catalog.market.add_item(lot("hidden", is_published=False))  # type: ignore[attr-defined]  # in memory

        # 3 · 0.4 of the old bid, 2 · 1.0 of the watch, 3 · 0.7 of the new bid.
        assert sentences(reco)["art-01"] == "Because you bid on the lot new"

    def test_nobody_else_is_told(self, reco: Recommender) -> None:
        own = reco.as_user("ann").homepage()
        for view in (reco.system, reco.as_user("eve")):
            page = view.homepage(of="ann")

            assert page.ids == own.ids
            assert all("vase" not in one.sentence for one in page)
            assert all("novel" not in repr(one.why) for one in page)
            assert page[0].sentence == "From your favourite category"
        assert "the lot vase" in own[0].sentence

    def test_a_user_without_a_bid_is_told_of_none(self, reco: Recommender) -> None:
        assert set(sentences(reco, "eve").values()) == {"Open for bids now"}

    def test_a_watch_that_ended_is_not_named(self, reco: Recommender) -> None:
        assert "novel" in sentences(reco)["book-01"]
        reco.unwatched("ann", "novel")

        assert all("novel" not in one for one in sentences(reco).values())

    def test_a_withdrawn_bid_is_not_named(self, reco: Recommender) -> None:
        assert "vase" in sentences(reco)["art-01"]
        reco.bid_withdrawn("ann", "vase")

        assert all("vase" not in one for one in sentences(reco).values())

    def test_own_lots_are_not_named(self) -> None:
        reco = opened(
            filled([lot("mine", seller="ann"), lot("art-01")], watch("ann", "mine")), CLASSIC
        )

        assert sentences(reco) == {"art-01": "From your favourite category"}

    def test_lots_without_a_title_are_not_named(self) -> None:
        untitled = attrs.evolve(lot("vase"), title="")
        reco = opened(filled([untitled, lot("art-01")], bid("ann", "vase")), CLASSIC)

        assert sentences(reco) == {"art-01": "From your favourite category"}

    def test_an_answer_beyond_the_stored_list_names_them_too(self) -> None:
        reco = opened(filled([lot("vase"), *lots("art", 90)], bid("ann", "vase")), CLASSIC)

        page = reco.as_user("ann").homepage(90)

        assert {one.sentence for one in page} == {"Because you bid on the lot vase"}
        assert len(page) == 90

    def test_nothing_is_read_for_them_in_an_answer_from_memory(self) -> None:
        one = CachingShop.of(market(), CLASSIC)
        first = sentences(one.reco)
        settle(one.reco)
        one.calls()

        assert sentences(one.reco) == first
        assert one.calls() == {}

    def test_one_read_of_a_user_s_history_serves_the_page_and_its_sentences(self) -> None:
        one = CachingShop.of(market(), CLASSIC)
        one.reco.anonymous.popular_items()
        for user in ("eve", "ann"):
            settle(one.reco)
            one.calls()
            page = one.reco.as_user(user).homepage()

            assert page.freshness == "computed"
            read = {name for name in one.calls() if name.startswith(("activity", "catalog"))}
            assert read == {"activity.history"}

    def test_they_count_for_the_bytes_of_the_cache(self) -> None:
        def held(title: str) -> int:
            vase = attrs.evolve(lot("vase"), title=title)
            one = CachingShop.of(filled([vase, lot("art-01")], bid("ann", "vase")), CLASSIC)
            one.reco.as_user("ann").homepage()
            settle(one.reco)
            stats = one.reco.system.stats().memory
            assert stats is not None
            return stats.lists.bytes

        assert held("x" * 70) - held("x" * 20) == 50


class TestCounts:
    def test_people_are_counted_from_three_on(self) -> None:
        watchers = [watch(f"user-{n}", "many") for n in range(4)]
        few = [watch(f"user-{n}", "few") for n in range(2)]
        reco = opened(filled([lot("many"), lot("few")], *watchers, *few), Settings())
        reco.anonymous.popular_items()

        said = [one.sentence for one in reco.anonymous.popular_items()]

        assert said == ["4 people are watching it", "Open for bids now"]

    def test_people_who_want_two_lots_are_told_of_from_three_on(self) -> None:
        # Without categories and prices, only shared users make lots similar.
        rule = SimilarityRule(category=0, price=0, shared=500_000, threshold=100_000)
        settings = Settings(similarity=rule)
        items = [lot(one, None, price=None) for one in ("page", "three", "two")]
        did = [watch(f"user-{n}", one) for n in range(3) for one in ("page", "three")]
        did += [watch(f"user-{n}", "two") for n in range(2)]
        reco = opened(filled(items, *did), settings)

        said = {str(one.item_id): one.sentence for one in reco.anonymous.similar_items("page")}

        assert said == {
            "three": "People interested in the lot page are also interested in this",
            "two": "Similar to the lot page",
        }

    def test_the_page_of_a_lot_that_is_not_public_does_not_name_it(self) -> None:
        reco = opened(filled([lot("page", is_published=False), lot("art-01")]))

        assert [one.sentence for one in reco.anonymous.similar_items("page")] == [
            "In the same category"
        ]


def test_the_title_of_the_page_is_as_recent_as_that_of_its_card() -> None:
    one = CachingShop.of(filled([lot("page"), lot("art-01")], bid("ann", "page")), CLASSIC)

    def said() -> set[str]:
        view = one.reco.as_user("ann")
        shelves = (view.similar_items("page"), view.after_bid("page"))
        return {shelf[0].sentence for shelf in shelves}

    assert said() == {"Similar to the lot page"}
    one.change("page", title="A better title")
    for _ in range(3):  # The open items are read again, the lists are not.
        one.passes(MINUTE)
        said()
        settle(one.reco)

    assert said() == {"Similar to A better title"}


TASTES = [f"user-{n:02}" for n in range(60)]


def of_two_tastes() -> MemoryMarketplace:
    """Return 60 lots, and users of two tastes with many bids."""
    random = Random(7)
    items = [lot(f"lot-{n:02}", ("art", "toys")[n % 2], ends=50) for n in range(60)]
    bids = []
    for place in range(1_200):
        user = random.randrange(60)
        item = items[2 * random.randrange(28) + user % 2].item_id
        at = NOW - (place % 1_000 + 1) * HOUR
        bids.append(Bid(user_id=UserId(TASTES[user]), item_id=item, placed_at=at))
    return filled(items, *bids, users=TASTES)


@pytest.mark.parametrize("cache_enabled", [True, False])
def test_with_a_model_an_own_bid_explains(cache_enabled: bool) -> None:
    market = of_two_tastes()
    reco = opened(market, Settings(cache_enabled=cache_enabled))
    reco.system.run_job("train_models")
    clock_of(reco).advance(HOUR / 30)
    for _ in range(2):
        reco.as_user(TASTES[0]).homepage()
        reco._use_cases.settle()

    named = 0
    for user in TASTES[:10]:
        mine = {
            market.items[item].title
            for item, bids in market.bids.items()
            if any(one.user_id == UserId(user) for one in bids)
        }
        page = reco.as_user(user).homepage(60)
        assert page.ranker == "blended"
        for one in page:
            if one.why.title:
                named += 1
                assert one.why.title in mine
                assert one.why.name in (
                    *("because_you_bid", "also_wanted", "similar_to", "seller_of_yours"),
                )
        assert {one.why.title for one in reco.system.homepage(60, of=user)} == {""}
    assert named > 50


class Words(NullTranslations):
    """Translations of a host, by message."""

    def __init__(self, **words: str) -> None:
        super().__init__()
        self.words = words

    def gettext(self, message: str) -> str:
        return self.words.get(message.partition(" ")[0], message)

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return self.gettext(msgid1 if n == 1 else msgid2)


BID = Why.of("because_you_bid", title="<Omega> 100 %")


class TestLanguages:
    @pytest.mark.parametrize(
        ("language", "expected"),
        [
            ("en", "Because you bid on the lot vase"),
            ("de", "Weil Sie auf „the lot vase“ geboten haben"),
            ("DE_at", "Weil Sie auf „the lot vase“ geboten haben"),
            ("de_DE.UTF-8", "Weil Sie auf „the lot vase“ geboten haben"),
            ("es-MX", "Porque has pujado por «the lot vase»"),
            ("nl", "Because you bid on the lot vase"),
            ("", "Because you bid on the lot vase"),
            ("../../de", "Because you bid on the lot vase"),
        ],
    )
    def test_a_sentence_in_another_language(
        self, reco: Recommender, language: str, expected: str
    ) -> None:
        assert reco.as_user("ann").homepage()[0].sentence_in(language) == expected

    @pytest.mark.parametrize("language", [None, 7, b"de", ["de"]])
    def test_what_is_no_language_is_refused(self, reco: Recommender, language: Any) -> None:
        with pytest.raises(InvalidValueError, match="language"):
            reco.as_user("ann").homepage()[0].sentence_in(language)

    def test_the_language_of_the_settings(self) -> None:
        reco = opened(market(), attrs.evolve(CLASSIC, language="de-AT"))
        one = reco.as_user("ann").homepage()[0]

        assert one.sentence == "Weil Sie auf „the lot vase“ geboten haben"
        assert one.to_json()["sentence"] == one.to_dict()["sentence"] == one.sentence
        assert one.sentence_in("en") == "Because you bid on the lot vase"

    def test_the_language_of_the_request(self) -> None:
        current: list[Any] = ["fr"]
        reco = opened(market(), attrs.evolve(CLASSIC, language=lambda: current[0]))
        one = reco.as_user("ann").homepage()[0]

        assert one.sentence.startswith("Parce que")
        current[0] = "es"
        assert one.sentence.startswith("Porque")
        for nothing in (None, 7, "xx"):
            current[0] = nothing
            assert one.sentence.startswith("Because")

    @pytest.mark.parametrize("language", ["", "xx", "d e", "de-", "e" * 100, 7, None, b"de"])
    def test_a_language_of_the_settings_has_to_be_known(self, language: Any) -> None:
        with pytest.raises(InvalidValueError, match="language"):
            Settings(language=language)

    def test_with_own_translations_it_may_be_any(self) -> None:
        assert Settings(language="nl", translations=lambda _: None).language == "nl"
        with pytest.raises(InvalidValueError, match="translations"):
            Settings(translations="nl")  # type: ignore[arg-type]  # that is what is refused

    def test_a_sentence_is_plain_text(self) -> None:
        assert Languages().say(BID) == "Because you bid on <Omega> 100 %"


class TestOwnWords:
    def test_they_come_first_and_ours_fill_them_up(self) -> None:
        languages = Languages(language="nl", own=lambda _: Words(Because="Omdat: %(title)s"))

        assert languages.say(BID) == "Omdat: <Omega> 100 %"
        assert languages.say(Why.of("for_you")) == "Picked for you"
        assert languages.say(Why.of("for_you"), "de") == "Für Sie ausgewählt"

    def test_they_may_reword_english_and_leave_placeholders_out(self) -> None:
        languages = Languages(own=lambda _: Words(Because="You bid!"))

        assert languages.say(BID) == "You bid!"

    def test_they_are_asked_for_the_language(self) -> None:
        asked: list[str] = []

        def own(language: str) -> None:
            asked.append(language)

        languages = Languages(language="de-AT", own=own)

        assert languages.say(BID).startswith("Weil")
        assert languages.say(BID, "fr-CA").startswith("Parce")
        assert asked == ["de-AT", "fr-CA"]

    @pytest.mark.parametrize(
        "form", ["%(titel)s", "%", "%(title)d", "%s %s", "%(title", "%(count)q"]
    )
    def test_a_form_that_cannot_be_said_is_reported_once(
        self, form: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        languages = Languages(language="de", own=lambda _: Words(Because=form))

        with caplog.at_level("WARNING", "angle_reco"):
            said = {languages.say(BID) for _ in range(3)}

        assert said == {"Weil Sie auf „<Omega> 100 %“ geboten haben"}
        [line] = caplog.records
        assert line.getMessage() == "translation not used: message=because_you_bid language=de"
        assert not breaks_rule(line)

    def test_a_language_of_a_request_is_not_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        languages = Languages(own=lambda _: Words(Because="%"))

        with caplog.at_level("WARNING", "angle_reco"):
            languages.say(BID, "ann\nerror: x")

        assert caplog.messages == ["translation not used: message=because_you_bid language=unknown"]

    @pytest.mark.parametrize("form", [None, 7, b"x"])
    def test_what_is_no_text_is_not_said(self, form: Any) -> None:
        languages = Languages(own=lambda _: Words(Because=form))

        assert languages.say(BID) == "Because you bid on <Omega> 100 %"

    def test_a_component_s_sentence_can_be_translated(self) -> None:
        town = Why(name="town", message=Message("Sold, 100 % sure"))
        languages = Languages(own=lambda _: Words(**{"Sold,": "Verkauft, 100 % sicher"}))

        assert (town.title, town.count) == ("", 0)
        assert languages.say(town) == "Verkauft, 100 % sicher"
        assert Languages().say(town, "de") == "Sold, 100 % sure"

    def test_what_the_function_raises_is_the_host_s(self) -> None:
        def own(_: str) -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            Languages(own=own).say(BID)

    def test_answers_say_them(self) -> None:
        settings = attrs.evolve(CLASSIC, translations=lambda _: Words(Because="Mine: %(title)s"))
        reco = opened(market(), settings)

        assert reco.as_user("ann").homepage()[0].sentence == "Mine: the lot vase"


LANGUAGES: list[Callable[[], Settings]] = [
    lambda: CLASSIC,
    lambda: attrs.evolve(CLASSIC, language="de"),
    lambda: attrs.evolve(CLASSIC, language=lambda: "de", translations=lambda _: None),
]


@pytest.mark.parametrize("settings", LANGUAGES)
def test_a_pickled_shelf_says_the_same(settings: Callable[[], Settings]) -> None:
    shelf = opened(market(), settings()).as_user("ann").homepage()

    again = pickle.loads(pickle.dumps(shelf))

    assert again == shelf
    assert [one.sentence for one in again] == [one.sentence for one in shelf]
    assert again[0].sentence_in("fr").startswith("Parce que")
    assert len(pickle.dumps(shelf)) < 20_000


def test_equal_suggestions_are_equal_whenever_they_were_made() -> None:
    reco = opened(market(), CLASSIC)
    before = reco.as_user("ann").homepage()
    clock_of(reco).advance(DAY / 48)

    assert reco.as_user("ann").homepage().suggestions == before.suggestions
