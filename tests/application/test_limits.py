"""Limits: whole numbers of at least 1; what is beyond the most counts as the most."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from angle_reco import InvalidValueError, Recommender, View
from tests.application.shop import bid, filled, lot, lots, opened

LISTS: dict[str, tuple[Callable[..., Sequence[object]], int]] = {
    "homepage": (View.homepage, 1_000),
    "similar_items": (lambda view, limit: view.similar_items("vase", limit), 20),
    "after_bid": (lambda view, limit: view.after_bid("vase", limit), 1_000),
    "popular_items": (View.popular_items, 1_000),
    "interests": (View.interests, 1_000),
    "get_top_interests": (lambda view, limit: view.stored.get_top_interests(limit), 1_000),
}


@pytest.fixture(scope="module")
def reco() -> Recommender:
    """Return a shop with more than a thousand of everything."""
    many = range(1_100)
    reco = opened(
        filled(
            [lot("vase"), *(lot(f"bid-{n:04}", f"c{n:04}") for n in many), *lots("art", 1_100)],
            *(bid("ann", f"bid-{n:04}") for n in many),
        )
    )
    reco.system.run_job("refresh_user_interests")
    return reco


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize(
    "limit", [0, -1, True, False, 1.5, 1.0, "5", b"5", float("nan"), -(10**30), [5], np.int64(5)]
)
def test_what_is_no_whole_number_of_at_least_one_is_refused(
    reco: Recommender, name: str, limit: Any
) -> None:
    ask, _ = LISTS[name]

    with pytest.raises(InvalidValueError, match=r"limit is .*, but should be a whole number of"):
        ask(reco.as_user("ann"), limit)


@pytest.mark.parametrize("name", [name for name in LISTS if name != "interests"])
def test_no_limit_is_refused_where_there_is_always_one(reco: Recommender, name: str) -> None:
    ask, _ = LISTS[name]

    if name == "get_top_interests":
        assert len(ask(reco.as_user("ann"), None)) == 1_100
    else:
        with pytest.raises(InvalidValueError, match="limit is None"):
            ask(reco.as_user("ann"), None)


@pytest.mark.parametrize("name", LISTS)
def test_what_is_beyond_the_most_counts_as_the_most(reco: Recommender, name: str) -> None:
    ask, most = LISTS[name]

    answers = {limit: ask(reco.as_user("ann"), limit) for limit in (1, most, most + 1, 10**9)}

    assert [len(one) for one in answers.values()] == [1, most, most, most]
    assert list(answers[10**9]) == list(answers[most])


def test_without_a_limit_all_interests_are_read(reco: Recommender) -> None:
    assert len(reco.as_user("ann").interests()) == 1_100
    assert len(reco.as_user("ann").stored.get_interests()) == 1_100


def test_every_list_has_its_own_length_by_default(reco: Recommender) -> None:
    me = reco.as_user("ann")

    assert [len(one) for one in (me.homepage(), me.similar_items("vase"))] == [20, 8]
    assert [len(one) for one in (me.after_bid("vase"), me.popular_items())] == [8, 20]
    assert len(me.stored.get_top_interests()) == 5
