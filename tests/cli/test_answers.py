"""The reading commands: what they answer, as tables and as JSON."""

import json
import unicodedata
from datetime import datetime
from typing import Any

import pytest

from angle_reco import Settings
from angle_reco.domain.lists import ListKind
from tests.cli.conftest import NOW, Angle

pytestmark = pytest.mark.usefixtures("database")
STRANGE = 'o\'hara "é" 🏺 [red]; DROP TABLE users'

READING = [
    ["homepage", "ann"],
    ["similar", "vase"],
    ["after-bid", "ann", "vase"],
    ["popular"],
    ["interests", "ann"],
    ["stats"],
]


def answer(angle: Angle, *args: str) -> Any:
    """Return what a command answers in JSON, as of NOW."""
    said = angle(*args, "--json", "--as-of", NOW)
    assert (said.status, said.err) == (0, "")
    return json.loads(said.out)


def items(shelf: Any) -> list[str]:
    """Return which items a shelf in JSON shows."""
    return [one["item_id"] for one in shelf["suggestions"]]


class TestJson:
    def test_a_homepage(self, angle: Angle) -> None:
        assert answer(angle, "homepage", "ann", "--limit", "2") == {
            "freshness": "computed",
            "degraded_by": [],
            "ranker": "classic",
            "version": Settings()
            .recipes(datetime.fromisoformat(NOW))
            .lists[ListKind.PERSONAL]
            .version,
            "suggestions": [
                {
                    "rank": 1,
                    "item_id": "bowl",
                    "title": "A bowl",
                    "price": "140",
                    "public": {},
                    "score": 0.66,
                    "reason": "favourite_category",
                    "source": "personal",
                    "sentence": "From your favourite category",
                    "contributions": {"interest": 0.6, "popularity": 0.04, "recency": 0.02},
                },
                {
                    "rank": 2,
                    "item_id": "-7",
                    "title": "A jug of minus seven",
                    "price": "90",
                    "public": {},
                    "score": 0.62,
                    "reason": "favourite_category",
                    "source": "personal",
                    "sentence": "From your favourite category",
                    "contributions": {"interest": 0.6, "recency": 0.02},
                },
            ],
            "next": "13U8nrAIAy66a1x_tTtk",
        }

    @pytest.mark.parametrize("command", [["homepage", "ann"], ["popular", "--category", "art"]])
    def test_the_next_page(self, angle: Angle, command: list[str]) -> None:
        whole, first = answer(angle, *command), answer(angle, *command, "--limit", "1")

        second = answer(angle, *command, "--limit", "1", "--after", first["next"])

        assert whole["suggestions"][:2] == [*first["suggestions"], *second["suggestions"]]
        assert whole["next"] is None

    @pytest.mark.parametrize("command", [["homepage", "ann"], ["popular"]])
    @pytest.mark.parametrize("after", ["", "nonsense", "-1", "\udcff"])
    def test_what_is_no_cursor_is_refused(
        self, refused: Any, command: list[str], after: str
    ) -> None:
        assert refused(*command, "--after", after).startswith("after is ")

    def test_similar_items(self, angle: Angle) -> None:
        shelf = answer(angle, "similar", "vase")

        assert [(one["item_id"], one["contributions"]) for one in shelf["suggestions"]] == [
            ("bowl", {"same_category": 0.5, "price_range": 0.3}),
            ("-7", {"same_category": 0.5, "price_range": 0.3}),
            ("odd", {"same_category": 0.5}),
        ]
        assert {one["reason"] for one in shelf["suggestions"]} == {"same_category"}
        assert {one["source"] for one in shelf["suggestions"]} == {"similar"}

    def test_after_a_bid(self, angle: Angle) -> None:
        shelf = answer(angle, "after-bid", "ann", "vase")

        assert [(one["item_id"], one["source"]) for one in shelf["suggestions"]] == [
            ("bowl", "similar"),
            ("-7", "similar"),
            ("odd", "similar"),
            ("long", "popular"),
        ]
        assert shelf["suggestions"][0]["contributions"] == {"similarity": 0.4, "interest": 0.4}

    def test_an_assumed_bid_is_counted_and_not_stored(self, angle: Angle) -> None:
        plain, assumed = (
            answer(angle, "after-bid", "bob", "wide", *more) for more in ([], ["--assume-bid"])
        )

        assert [shelf["suggestions"][0]["score"] for shelf in (plain, assumed)] == [0.4, 0.6]
        assert answer(angle, "after-bid", "bob", "wide") == plain
        assert answer(angle, "stats")["bids"] == 3

    def test_popular_items(self, angle: Angle) -> None:
        shelf = answer(angle, "popular", "--category", "art", "--limit", "1")

        assert shelf["suggestions"] == [
            {
                "rank": 1,
                "item_id": "bowl",
                "title": "A bowl",
                "price": "140",
                "public": {},
                "score": 0.2,
                "reason": "popular_in_category",
                "source": "category",
                "sentence": "Open for bids now",
                "contributions": {"popularity": 0.2},
            }
        ]
        assert items(answer(angle, "popular")) == ["bowl", "vase", "wide", "-7", "long", "odd"]

    def test_interests(self, angle: Angle) -> None:
        assert answer(angle, "interests", "ann") == {
            "interests": [
                {
                    "category_id": "art",
                    "score": 1.0,
                    "strength": 3.0,
                    "interaction_count": 1,
                    "last_interaction_at": "2026-05-30T12:00:00+00:00",
                },
                {
                    "category_id": "books",
                    "score": 0.666667,
                    "strength": 2.0,
                    "interaction_count": 1,
                    "last_interaction_at": "2026-05-29T12:00:00+00:00",
                },
            ]
        }
        assert answer(angle, "interests", "bob", "--limit", "1")["interests"][0]["strength"] == 6

    def test_stats(self, angle: Angle) -> None:
        stats = answer(angle, "stats")

        assert {name: stats[name] for name in ("users", "items", "bids", "watches")} == {
            "users": 5,
            "items": 8,
            "bids": 3,
            "watches": 1,
        }
        assert set(stats["lists"]) == {"similar", "personal", "popular"}
        assert stats["interests"]["covered_at"] is None

    def test_letters_of_every_script_are_written_as_they_are(self, angle: Angle) -> None:
        assert '"title": "猫猫' in angle("popular", "--json").out


class TestTables:
    @pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
    def test_they_are_at_most_eighty_columns_wide(self, angle: Angle, command: list[str]) -> None:
        for job_was_run in (False, True):
            said = angle(*command, "--as-of", NOW)

            assert (said.status, said.err) == (0, ""), job_was_run
            assert said.out.count("\n") >= 2
            assert max(map(columns, said.out.splitlines())) <= 80
            angle("run", "all", "--as-of", NOW)

    @pytest.mark.parametrize("command", READING, ids=lambda command: command[0])
    def test_nothing_in_them_is_obeyed_by_a_terminal(
        self, angle: Angle, command: list[str]
    ) -> None:
        out = angle(*command, "--as-of", NOW).out

        assert not [one for one in out if not one.isprintable() and one != "\n"]

    def test_markup_and_odd_characters_of_a_title_are_shown_as_they_are(self, angle: Angle) -> None:
        out = angle("popular").out

        assert "[red]r�[31med�[/red] �gnp.exe {0} %s" in out

    def test_a_line_says_what_it_is_with_price_and_score_and_the_next_one_why(
        self, angle: Angle
    ) -> None:
        lines = angle("popular", "--as-of", NOW, "--limit", "3").out.splitlines()

        assert [line.split() for line in lines[:2]] == [
            ["1", "A", "bowl", "bowl", "140", "0.20"],
            ["Open", "for", "bids", "now:", "demand", "0.20"],
        ]
        assert len(lines) == 6
        # Letters that are two columns wide leave room for what comes after them.
        assert lines[4].split()[-3:] == ["wide", "5", "0.20"]
        assert columns(lines[0]) == columns(lines[2]) == columns(lines[4])

    def test_a_cut_title_ends_in_dots(self, angle: Angle) -> None:
        assert "a very long title a very" in angle("popular").out
        assert "…" in angle("popular").out

    def test_cents_are_shown_where_there_are_any(self, angle: Angle) -> None:
        before_the_bids = "2026-05-03T00:00:00Z"

        assert " 120.50 " in angle("popular", "--as-of", before_the_bids).out
        assert " 140 " in angle("popular", "--as-of", NOW).out

    def test_interests_have_bars(self, angle: Angle) -> None:
        out = angle("interests", "ann", "--as-of", NOW).out

        assert "█" * 20 in out
        assert "2026-05-30 12:00" in out

    def test_nothing_to_show_is_said(self, angle: Angle) -> None:
        assert angle("popular", "--category", "none").out.startswith("nothing to suggest")
        assert angle("interests", "-42").out.startswith("no interests")

    def test_narrow_terminals_get_narrow_tables(
        self, angle: Angle, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "50")

        assert max(map(columns, angle("interests", "ann").out.splitlines())) <= 50


def columns(line: str) -> int:
    """Return how many columns of a terminal a line takes."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "WF" else 1
        for one in line
    )


class TestLimits:
    @pytest.mark.parametrize(
        ("command", "most"),
        [
            (["homepage", "ann"], "1,000"),
            (["similar", "vase"], "20"),
            (["after-bid", "ann", "vase"], "1,000"),
            (["popular"], "1,000"),
            (["interests", "ann"], "1,000"),
        ],
    )
    def test_what_is_beyond_the_most_is_remarked_on(
        self, angle: Angle, command: list[str], most: str
    ) -> None:
        said = angle(*command, "--limit", "5000", "--json")

        assert said.status == 0
        assert said.err == f"angle-reco: --limit 5000 counts as {most}, the most there is\n"
        assert json.loads(said.out)
        assert angle(*command, "--limit", most.replace(",", "")).err == ""

    @pytest.mark.parametrize("limit", ["0", "-1", "-5"])
    @pytest.mark.parametrize("command", READING[:-1], ids=lambda command: command[0])
    def test_less_than_one_is_refused(self, refused: Any, command: list[str], limit: str) -> None:
        assert refused(*command, "--limit", limit) == (
            f"limit is {limit}, but should be a whole number of at least 1"
        )

    @pytest.mark.parametrize("limit", ["x", "1.5", "", "1e3", "True"])
    def test_what_is_no_whole_number_is_refused(self, refused: Any, limit: str) -> None:
        assert "--limit" in refused("popular", "--limit", limit)

    def test_as_many_as_asked_for(self, angle: Angle) -> None:
        for limit in (1, 2, 5):
            assert len(items(answer(angle, "popular", "--limit", str(limit)))) == limit


class TestIds:
    def test_one_that_begins_with_a_dash_is_an_id(self, angle: Angle) -> None:
        assert "-7" not in items(answer(angle, "similar", "-7"))
        assert items(answer(angle, "similar", "-7"))[0] == "bowl"
        assert json.loads(angle("interests", "-42", "--json").out) == {"interests": []}
        assert "'-42'" in angle("after-bid", "-42", "-7").err

    def test_after_two_dashes_everything_is_an_id(self, angle: Angle) -> None:
        said = angle("homepage", "--as-of", NOW, "--json", "--", "--help")

        assert (said.status, said.err.count("'--help'")) == (0, 1)
        assert items(json.loads(said.out))[0] == "bowl"

    def test_a_user_who_has_done_something_is_not_remarked_on(self, angle: Angle) -> None:
        assert angle("homepage", "ann").err == ""

    @pytest.mark.parametrize(
        ("user", "said_of"),
        [(STRANGE, "is known, but"), ("-42", "is known, but"), ("nobody", "is unknown:")],
    )
    def test_a_user_without_activity_is_remarked_on_and_gets_popular_items(
        self, angle: Angle, user: str, said_of: str
    ) -> None:
        said = angle("homepage", user, "--json")

        assert said.status == 0
        assert said.err == (
            f"angle-reco: user {user!r} {said_of} there is no bid and no watch of theirs\n"
        )
        assert {one["source"] for one in json.loads(said.out)["suggestions"]} == {"popular"}
        assert angle("interests", "nobody").status == 0
        assert "user 'nobody' is unknown" in angle("after-bid", "nobody", "vase").err

    def test_a_user_who_was_created_later_is_unknown(self, angle: Angle) -> None:
        before, after = (
            angle("homepage", "-42", "--as-of", moment).err
            for moment in ("2025-12-31T00:00:00Z", "2026-01-01T00:00:00Z")
        )

        assert "'-42' is unknown" in before
        assert "'-42' is known" in after

    def test_a_limit_is_checked_before_anything_is_said(self, refused: Any) -> None:
        assert refused("homepage", "nobody", "--limit", "0").startswith("limit is 0")

    @pytest.mark.parametrize("item", ["ghost", "VASE", "-8", 'o\'hara "é" 🏺'])
    def test_an_unknown_item_is_an_error(self, refused: Any, item: str) -> None:
        assert refused("similar", item) == f"no item with id {item!r}"
        assert refused("after-bid", "ann", item) == f"no item with id {item!r}"

    @pytest.mark.parametrize("wrong", ["", "a\x1b[31mb", "a\nb", "x" * 513, "\udcff"])
    def test_what_is_no_id_is_refused(self, refused: Any, wrong: str) -> None:
        assert refused("similar", wrong).startswith("item id is ")
        assert refused("homepage", wrong).startswith("user id is ")
        assert refused("popular", f"--category={wrong}").startswith("category id is ")

    def test_options_may_come_first_or_last(self, angle: Angle) -> None:
        first = angle("similar", "--limit", "1", "--json", "vase")

        assert first == angle("similar", "vase", "--json", "--limit=1")
        assert first.status == 0


class TestAsOf:
    def test_nothing_later_exists(self, angle: Angle) -> None:
        before = ["--as-of", "2026-04-15T00:00:00Z", "--json"]

        shelf = json.loads(angle("popular", *before).out)

        assert items(shelf) == ["long", "odd", "sold", "wide"]
        assert {one["score"] for one in shelf["suggestions"]} == {0.0}

    def test_any_zone_will_do(self, angle: Angle) -> None:
        texts = ["2026-05-31T12:00:00Z", "2026-05-31T14:00:00+02:00", "2026-05-31 07:00:00-05:00"]

        answers = {angle("popular", "--json", "--as-of", text).out for text in texts}

        assert len(answers) == 1

    @pytest.mark.parametrize(
        "moment", ["2026-06-01T12:00:00", "2026-02-30", "yesterday", "", "12:00Z", "0"]
    )
    def test_one_without_a_zone_is_refused(self, refused: Any, moment: str) -> None:
        line = refused("popular", "--as-of", moment)

        assert "--as-of" in line
        assert "no moment with a time zone, such as 2026-01-31T12:00:00Z" in line

    @pytest.mark.parametrize("command", [*READING, ["run", "all"]], ids=lambda one: one[0])
    def test_every_command_that_reads_takes_one(self, refused: Any, command: list[str]) -> None:
        assert "no moment" in refused(*command, "--as-of", "2026-06-01T12:00:00")

    def test_a_day_is_its_beginning_in_utc(self, angle: Angle) -> None:
        day = angle("popular", "--json", "--as-of", "2026-05-30")

        assert day == angle("popular", "--json", "--as-of", "2026-05-30T00:00:00Z")
        assert day.status == 0

    @pytest.mark.parametrize("moment", ["0001-01-01T00:00:00Z", "1899-12-31T23:59:59Z"])
    def test_one_before_all_auctions_is_refused(self, refused: Any, moment: str) -> None:
        assert "from the year 1900 on" in refused("popular", "--as-of", moment)


class TestRanker:
    def test_classic_is_one(self, angle: Angle) -> None:
        assert answer(angle, "homepage", "ann", "--ranker", "classic") == answer(
            angle, "homepage", "ann"
        )

    @pytest.mark.parametrize("name", ["", "Classic", "best"])
    def test_an_unknown_one_is_refused_with_those_there_are(self, refused: Any, name: str) -> None:
        assert refused("homepage", "ann", "--ranker", name) == (
            f"ranker is {name!r}, but should be one of auto, blended, classic"
        )
