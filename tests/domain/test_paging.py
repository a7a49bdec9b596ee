"""Cursors: short texts that say what was shown, and are refused if anything is wrong."""

import pickle
import string
import subprocess
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco import InvalidValueError, ItemId
from angle_reco.domain.paging import LONGEST_CURSOR, MOST, PageStart, hash_of

SAFE = string.ascii_letters + string.digits + "-_"
"""What needs no escapes in a URL."""

ids = st.integers(-(2**63), 2**63 - 1) | st.text(min_size=1).filter(str.isprintable) | st.uuids()
starts = st.builds(
    PageStart,
    st.sampled_from(["homepage", "popular_items", "popular_items art"]),
    st.frozensets(st.integers(0, 2**32 - 1), min_size=1, max_size=40),
    st.integers(0, MOST),
)
GOOD = PageStart("homepage", frozenset({1, 2, 2**32 - 1}), 3).cursor


def refused(after: Any, of: str = "homepage") -> bool:
    """Return whether a cursor is refused, with the argument's name."""
    with pytest.raises(InvalidValueError, match=r"^after is .*, but should be the `next`"):
        PageStart.read(after, of=of)
    return True


@given(starts)
def test_a_cursor_is_read_as_it_was_written(start: PageStart) -> None:
    assert PageStart.read(start.cursor, of=start.of) == start
    assert set(start.cursor) <= set(SAFE)
    assert start.cursor.startswith("1")


@given(st.lists(st.lists(ids, min_size=1, max_size=10), min_size=1, max_size=4))
def test_it_names_the_items_of_all_pages(pages: list[list[Any]]) -> None:
    start = PageStart("homepage")
    for page in pages:
        start = PageStart.read(start.after(page, ranks=len(page)).cursor, of="homepage")

    assert start.shown == {hash_of(one) for page in pages for one in page}
    assert start.rank == sum(map(len, pages))


def test_it_does_not_disclose_the_order() -> None:
    one = PageStart("homepage").after([ItemId("a"), ItemId("b"), ItemId("c")], ranks=3)
    other = PageStart("homepage").after([ItemId("c"), ItemId("a"), ItemId("b")], ranks=3)

    assert one.cursor == other.cursor


@pytest.mark.parametrize(("items", "characters"), [(1, 15), (20, 116), (60, 329), (999, 5_337)])
def test_its_length_is_as_documented(items: int, characters: int) -> None:
    start = PageStart("homepage").after([ItemId(one) for one in range(items)], ranks=items)

    assert len(start.cursor) == characters
    assert len(start.cursor) <= LONGEST_CURSOR == 5_337


@given(st.sets(st.integers(0, 2**32 - 1), min_size=2))
def test_integers_below_two_to_the_32nd_never_share_a_hash(some: set[int]) -> None:
    assert len({hash_of(ItemId(one)) for one in some}) == len(some)


def test_a_hash_is_the_same_in_every_process() -> None:
    some = [7, -1, "lot-1", "Ümlaut", UUID(int=5)]
    code = f"from uuid import UUID; from angle_reco.domain.paging import hash_of as h;\
print([h(one) for one in {some!r}])"

    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout

    assert printed.strip() == str([hash_of(ItemId(one)) for one in some])
    # Another hash would have cursors of a running site refused or, worse, repeat.
    assert [hash_of(ItemId(one)) for one in some[:3]] == [1877464688, 558161692, 3685290077]


class TestRefused:
    @pytest.mark.parametrize("of", ["popular_items", "popular_items art", "homepage art", ""])
    def test_one_of_another_call_or_category(self, of: str) -> None:
        assert refused(GOOD, of)

    @given(st.text() | st.text(SAFE) | st.text(SAFE).map("1".__add__) | st.binary() | st.integers())
    def test_whatever_is_no_cursor(self, after: Any) -> None:
        assert refused(after)

    @given(starts, st.data())
    def test_one_with_any_change(self, start: PageStart, data: st.DataObject) -> None:
        text = start.cursor
        place = data.draw(st.integers(0, len(text) - 1))
        other = data.draw(st.sampled_from([one for one in SAFE + "=+/ \n" if one != text[place]]))

        assert refused(text[:place] + other + text[place + 1 :], start.of)
        assert refused(text[:place], start.of)
        assert refused(text + other, start.of)
        assert refused(text[:place] + other + text[place:], start.of)

    @given(starts)
    def test_padding_and_other_alphabets(self, start: PageStart) -> None:
        text = start.cursor

        for changed in (f"{text}=", f"{text}==", f" {text}", f"{text}\n", f"2{text[1:]}"):
            assert refused(changed, start.of)

    @pytest.mark.parametrize(
        "start",
        [
            PageStart("homepage", frozenset(), 1),
            PageStart("homepage", frozenset({1}), MOST + 1),
            PageStart("homepage", frozenset(range(MOST)), 1),
        ],
        ids=["of no item", "of too high a rank", "of too many items"],
    )
    def test_one_that_no_page_has_although_its_checksum_is_right(self, start: PageStart) -> None:
        assert refused(start.cursor)

    def test_hashes_that_are_not_sorted_or_repeated(self) -> None:
        data = urlsafe_b64decode(GOOD[1:] + "=" * (-len(GOOD[1:]) % 4))
        head, one, two = data[:6], data[6:10], data[10:14]

        for hashes in (two + one, one + one):
            assert refused("1" + urlsafe_b64encode(head + hashes).rstrip(b"=").decode())

    def test_ten_megabytes(self) -> None:
        assert refused("1" * 10_000_000)


def test_a_start_can_be_pickled() -> None:
    start = PageStart.read(GOOD, of="homepage")

    assert pickle.loads(pickle.dumps(start)) == start
