"""What is said of a suggestion: something true, by the largest contribution."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco import Reason, Source, Suggestion
from angle_reco.domain.auction_status import AuctionStatus
from angle_reco.domain.ids import ItemId
from angle_reco.domain.items import ItemCard
from angle_reco.domain.millionths import ONE
from angle_reco.domain.scoring.blended_ranker import BLENDED
from angle_reco.domain.scoring.ranking import CLASSIC
from angle_reco.domain.whys import Because, Grounds, Sources, Speech, Wording
from angle_reco.testing.contracts.markets import NOW, lot

LOT = ItemId("lot-1")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def said(
    contributions: Mapping[str, int],
    reason: Reason = Reason.FOR_YOU,
    *,
    because: tuple[str, str] | None = None,
    title: str = "",
    wording: Mapping[str, Wording] | None = None,
    three_shared: int = 150_000,
    card: ItemCard | None = None,
    now: Any = NOW,
    **known: Any,
) -> str:
    """Return what is said of a lot with these contributions, and these values on its card."""
    grounds = Grounds(
        Speech(wording=wording or {}, three_shared=three_shared),
        now=now,
        title=title,
        sources=Sources((LOT,), (Because(*because),)) if because else Sources(),
    )
    one = Suggestion(
        rank=1,
        item_id=LOT,
        card=card or lot(LOT, **known),
        score=sum(contributions.values()),
        reason=reason,
        source=Source.PERSONAL,
        components=tuple(contributions),
        parts=tuple(contributions.values()),
        grounds=grounds,
    )
    return one.sentence


MINE = ("because_you_bid", "Omega")


@pytest.mark.parametrize(
    ("contributions", "more", "expected"),
    [
        ({"interest": 6, "recency": 1}, {"because": MINE}, "Because you bid on Omega"),
        (
            {"interest": 6},
            {"because": ("because_you_watch", "Omega")},
            "Because you are watching Omega",
        ),
        ({"interest": 6}, {}, "From a category you like"),
        (
            {"interest": 6},
            {"reason": Reason.POPULAR_IN_FAVOURITE},
            "From your favourite category",
        ),
        (
            {"interest": 1, "popularity": 2},
            {"watchers": 12, "bids": 0},
            "12 people are watching it",
        ),
        ({"popularity": 2}, {"watchers": 3, "bids": 0}, "3 people are watching it"),
        ({"popularity": 2}, {"watchers": 2, "bids": 1}, "Popular right now"),
        ({"popularity": 2, "recency": 1}, {"watchers": 2, "bids": 0}, "Open for bids now"),
        ({"popularity": 2}, {"because": MINE}, "Picked for you"),
        ({"recency": 1}, {"ends_at": NOW + 2 * HOUR}, "Ends in 2 hours"),
        ({"recency": 1}, {"status": AuctionStatus.SCHEDULED}, "Opens for bids soon"),
        ({"taste": 1}, {"because": MINE}, "Because you bid on Omega"),
        ({"taste": 1}, {}, "Fits what you bid on or watch"),
        ({"follow": 1}, {"because": MINE}, "Because you bid on Omega"),
        (
            {"alike": 2, "taste": 1},
            {"because": ("also_wanted", "Omega")},
            "People interested in Omega are also interested in this",
        ),
        # That one user is like another is not said.
        ({"alike": 2, "newness": 1}, {"listed_at": NOW - DAY}, "Newly listed"),
        ({"alike": 2}, {}, "Picked for you"),
        ({"heat": 1}, {"watchers": 5, "bids": 0}, "5 people are watching it"),
        ({"heat": 1}, {"watchers": 0, "bids": 3}, "Popular right now"),
        ({"heat": 1}, {"watchers": 1, "bids": 1}, "Picked for you"),
        ({"heat": 1}, {}, "Picked for you"),
        ({"trend_of_weeks": 1}, {"watchers": 0, "bids": 3}, "More wanted than before"),
        ({"trend_of_days": 1}, {"watchers": 1, "bids": 1}, "Picked for you"),
        ({"newness": 1}, {"listed_at": NOW - 7 * DAY}, "Newly listed"),
        ({"newness": 1}, {"listed_at": NOW - 8 * DAY}, "Picked for you"),
        ({"newness": 1}, {}, "Picked for you"),
        ({"category": 1}, {"because": MINE}, "Because you bid on Omega"),
        ({"category": 1}, {}, "From a category you like"),
        ({"title": 1}, {"because": ("similar_to", "Omega")}, "Similar to Omega"),
        ({"title": 1}, {}, "Fits what you bid on or watch"),
        ({"price": 1}, {}, "In your usual price range"),
        (
            {"seller": 1},
            {"because": ("seller_of_yours", "Omega")},
            "From the same seller as Omega",
        ),
        ({"seller": 1}, {}, "From a seller you know"),
        ({"urgency": 1}, {"ends_at": NOW + DAY}, "Ends in 24 hours"),
        ({"urgency": 1}, {"ends_at": NOW + 30 * DAY}, "Picked for you"),
        ({"by_hand": 1}, {"because": MINE}, "Picked for you"),
        ({}, {}, "Picked for you"),
    ],
)
def test_what_the_largest_contribution_says(
    contributions: dict[str, int], more: dict[str, Any], expected: str
) -> None:
    assert said(contributions, **more) == expected


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (7 * DAY + timedelta(microseconds=1), "Open for bids now"),
        (7 * DAY, "Ends in 7 days"),
        (3 * DAY - HOUR, "Ends in 2 days"),
        (2 * DAY, "Ends in 2 days"),
        (2 * DAY - timedelta(microseconds=1), "Ends in 47 hours"),
        (2 * HOUR - timedelta(seconds=1), "Ends in 1 hour"),
        (HOUR - timedelta(seconds=1), "Ends in 59 minutes"),
        (timedelta(minutes=1), "Ends in 1 minute"),
        (timedelta(seconds=59), "Ends in less than a minute"),
        (timedelta(0), "Open for bids now"),
    ],
)
def test_how_soon_it_ends_is_rounded_down(left: timedelta, expected: str) -> None:
    assert said({"recency": 1}, Reason.ENDING_SOON, ends_at=NOW + left) == expected


@pytest.mark.parametrize(
    ("reason", "contributions", "more", "expected"),
    [
        (Reason.SAME_CATEGORY, {"same_category": 5}, {"title": "Omega"}, "Similar to Omega"),
        (Reason.PRICE_RANGE, {"price_range": 5}, {"title": "Omega"}, "At a similar price"),
        (Reason.SAME_CATEGORY, {"same_category": 5}, {}, "In the same category"),
        (Reason.PRICE_RANGE, {"price_range": 5}, {}, "At a similar price"),
        (
            Reason.COLLABORATIVE,
            {"collaborative": 150_000},
            {"title": "Omega"},
            "People interested in Omega are also interested in this",
        ),
        (Reason.COLLABORATIVE, {"collaborative": 150_000}, {}, "Wanted by the same people"),
        # By fewer than three.
        (Reason.COLLABORATIVE, {"collaborative": 149_999}, {"title": "Omega"}, "Similar to Omega"),
        (Reason.COLLABORATIVE, {"collaborative": 149_999}, {}, "Picked for you"),
        (
            Reason.SAME_CATEGORY,
            {"same_category": 500_000, "collaborative": 200_000},
            {"title": "Omega"},
            "Similar to Omega",
        ),
        # By a model, which does not say by how many.
        (Reason.COLLABORATIVE, {"taste": 5, "alike": 3}, {"title": "Omega"}, "Similar to Omega"),
        (Reason.COLLABORATIVE, {"taste": 5}, {}, "Picked for you"),
        # After a bid.
        (Reason.SAME_CATEGORY, {"similarity": 5, "interest": 6}, {"title": "O"}, "Similar to O"),
    ],
)
def test_on_the_page_of_an_item(
    reason: Reason, contributions: dict[str, int], more: dict[str, Any], expected: str
) -> None:
    assert said(contributions, reason, **more) == expected


@pytest.mark.parametrize(
    ("reason", "part", "more", "expected"),
    [
        (Reason.POPULAR, 300_000, {}, "Popular right now"),
        (Reason.POPULAR_IN_CATEGORY, 300_000, {}, "Popular in this category"),
        (Reason.POPULAR, 299_999, {}, "Open for bids now"),
        (Reason.POPULAR, 0, {}, "Open for bids now"),
        (Reason.POPULAR, 0, {"status": AuctionStatus.SCHEDULED}, "Opens for bids soon"),
        (Reason.POPULAR, 900_000, {"bids": 1, "watchers": 1}, "Open for bids now"),
        (Reason.POPULAR_IN_CATEGORY, 1, {"bids": 3, "watchers": 0}, "Popular in this category"),
        (Reason.POPULAR, 1, {"bids": 0, "watchers": 4}, "4 people are watching it"),
    ],
)
def test_in_lists_of_popular_items(
    reason: Reason, part: int, more: dict[str, Any], expected: str
) -> None:
    assert said({"popularity": part}, reason, **more) == expected


@pytest.mark.parametrize(
    ("reason", "more", "expected"),
    [
        (Reason.TRENDING, {"bids": 0, "watchers": 20}, "20 people are watching it"),
        (Reason.TRENDING, {"bids": 0, "watchers": 2}, "Open for bids now"),
        (Reason.TRENDING, {}, "Many people are watching it"),
        (Reason.POPULAR_IN_FAVOURITE, {}, "Popular in your favourite category"),
        (
            Reason.POPULAR_IN_FAVOURITE,
            {"bids": 0, "watchers": 3},
            "Popular in your favourite category",
        ),
        (
            Reason.POPULAR_IN_FAVOURITE,
            {"bids": 0, "watchers": 2},
            "From your favourite category",
        ),
        (Reason.ENDING_SOON, {"ends_at": NOW + 3 * DAY}, "Ends in 3 days"),
        (Reason.ENDING_SOON, {"ends_at": None}, "Open for bids now"),
        (Reason.ACTIVE_AUCTION, {"status": AuctionStatus.SCHEDULED}, "Opens for bids soon"),
    ],
)
def test_a_reason_that_is_over_is_not_said(
    reason: Reason, more: dict[str, Any], expected: str
) -> None:
    assert said({"a_host_s": 1}, reason, **more) == expected


def test_a_component_of_a_host_says_its_sentence() -> None:
    wording = {"town": Wording("town", "Sold in your town, 100 % sure"), "mute": Wording("mute")}

    assert said({"town": 2, "interest": 1}, wording=wording) == "Sold in your town, 100 % sure"
    assert said({"mute": 2, "town": 1}, Reason.TRENDING, wording=wording, watchers=9) == (
        "9 people are watching it"
    )
    assert said({"town": 1, "interest": 2}, wording=wording) == "From a category you like"


NAMES = [
    *(name for name, _ in (*CLASSIC.recipe.weights, *BLENDED.recipe.weights)),
    *("same_category", "price_range", "collaborative", "similarity", "by_hand", "town"),
]


@given(
    contributions=st.dictionaries(st.sampled_from(NAMES), st.integers(0, ONE), max_size=5),
    reason=st.sampled_from(Reason),
    watchers=st.none() | st.integers(0, 5),
    bids=st.none() | st.integers(0, 5),
    left=st.none() | st.timedeltas(timedelta(0), timedelta(days=20)),
    title=st.sampled_from(["", "Omega"]),
    because=st.none() | st.sampled_from([MINE, ("also_wanted", "Omega"), ("similar_to", "Omega")]),
    has_now=st.booleans(),
)
def test_something_true_is_always_said(
    contributions: dict[str, int],
    reason: Reason,
    watchers: int | None,
    bids: int | None,
    left: timedelta | None,
    title: str,
    because: tuple[str, str] | None,
    has_now: bool,
) -> None:
    ends_at = None if left is None else NOW + left
    sentence = said(
        contributions,
        reason,
        because=because,
        title=title,
        now=NOW if has_now else None,
        watchers=watchers,
        bids=bids,
        ends_at=ends_at,
    )

    assert sentence
    if "people are watching" in sentence and not sentence.startswith("Many"):
        assert watchers is not None
        assert watchers >= 3
        assert sentence.startswith(f"{watchers} ")
    if "Omega" in sentence:
        assert title == "Omega" or because is not None
    if sentence.startswith("Ends in"):
        assert left is not None
        assert left <= timedelta(days=7)
    if sentence.startswith("Because you bid"):
        assert because == MINE
    if sentence == "More wanted than before":
        assert (watchers or 0) + (bids or 0) >= 3


def test_without_a_card_it_says_the_reason() -> None:
    one = Suggestion(1, LOT, {"title": "x"}, 0, Reason.TRENDING, Source.PERSONAL, (), ())

    assert one.sentence == "Many people are watching it"
    assert (one.why.name, one.why.title, one.why.count) == ("trending", "", 0)
