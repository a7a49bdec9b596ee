"""Titles as rows of hashed words."""

from itertools import pairwise
from zlib import crc32

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.scoring.blended.titles import UNIT, hashed, rarity, title_rows
from angle_reco.testing import plain_blended
from angle_reco.testing.contracts.models import TITLES

titles = st.lists(st.sampled_from(TITLES) | st.text(max_size=20), max_size=8)


@given(known=titles, shown=titles)
def test_rows_equal_the_plain_rule(known: list[str], shown: list[str]) -> None:
    """By the rarity of words among known titles; a word without one weighs nothing."""
    rarities = rarity(*hashed(known))

    rows = title_rows(*hashed(shown), rarities)

    bounds = rows.offsets.tolist()
    found = [
        dict(zip(rows.buckets[a:b].tolist(), rows.weights[a:b].tolist(), strict=True))
        for a, b in pairwise(bounds)
    ]
    listed = rarities.tolist()
    assert found == [plain_blended.title_row(title, listed) for title in shown]


def test_words_are_folded_and_count_once() -> None:
    offsets, buckets = hashed(["Straße, STRASSE strasse!", "", "-- ?"])

    assert offsets.tolist() == [0, 1, 1, 1]
    assert buckets.tolist() == [crc32(b"strasse") % 2**15]


def test_a_title_counts_up_to_its_thousandth_character() -> None:
    long = "a " * 499 + "bb" + "c" * 1_000_000

    assert hashed([long])[1].tolist() == hashed(["a bb"])[1].tolist()


def test_rarity_is_the_logarithm_of_one_and_all_titles_over_those_with_the_word() -> None:
    rarities = rarity(*hashed(["red vase", "red lamp", "red", ""]))

    word = {one: int(rarities[hashed([one])[1][0]]) for one in ("red", "vase", "green")}
    # ln(1 + 4/3), ln(1 + 4/1), in steps of 1/1024.
    assert word == {"red": 868, "vase": 1_648, "green": 0}


def test_a_row_has_the_length_of_the_unit() -> None:
    rarities = rarity(*hashed(["red vase", "red lamp", "lamp"]))
    rows = title_rows(*hashed(["red vase lamp", "lamp"]), rarities)

    words = rows.combined(np.array([0], np.int32), np.array([1]))
    squares = rows.products(words.by_bucket, np.array([1, 0, 0]))

    assert abs(int(squares[1]) ** 0.5 - UNIT) < 30
    assert squares[1] == squares[2] > squares[0] > 0
    assert rows.weights[3:].tolist() == [UNIT]
