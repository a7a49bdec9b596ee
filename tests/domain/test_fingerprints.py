"""What stands for a user where their id may not."""

import re
from hashlib import blake2b
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.fingerprints import Fingerprints, digests_of_users
from angle_reco.domain.ids import IdKind, UserId, plain_id

KEY = b"k" * 32

ids = (
    st.integers(-(2**63), 2**63 - 1)
    | st.uuids()
    | st.text(min_size=1, max_size=20).filter(lambda text: plain_id(text) is not None)
)


class Name(str):
    """A text of a host's own class."""

    __slots__ = ()


@given(one=ids)
def test_a_fingerprint_is_twelve_digits_and_always_the_same(one: object) -> None:
    found = Fingerprints(KEY).of(one)

    assert re.fullmatch("[0-9a-f]{12}", found)
    assert Fingerprints(bytes(KEY)).of(one) == found


@given(users=st.lists(ids, unique_by=lambda one: (type(one), one)))
def test_each_user_has_a_digest_of_their_own(users: list[object]) -> None:
    column = digests_of_users(KEY, [UserId(one) for one in users])

    assert column.kind is IdKind.UUID
    assert len(column) == len(users) == len(set(column))
    # In any company the same.
    assert [next(iter(digests_of_users(KEY, [UserId(one)]))) for one in users] == list(column)
    prints = [Fingerprints(KEY).of(one) for one in users]
    assert [one.hex[:12] for one in column if isinstance(one, UUID)] == prints


@given(one=ids)
def test_another_key_says_something_else(one: object) -> None:
    keys = [KEY, b"K" + KEY[1:], b"", b"k", b"k" * 64]

    assert len({Fingerprints(key).of(one) for key in keys}) == len(keys)


def test_ids_that_read_alike_are_told_apart() -> None:
    seven = UUID(int=7)
    alike = [
        7,
        "7",
        seven,
        str(seven),
        seven.hex,
        "i7",
        "t7",
        "ann",
        "ANN",
        "Ann",
        " ann",
        "-7",
        -7,
    ]

    assert len({Fingerprints(KEY).of(one) for one in alike}) == len(alike)


def test_an_id_of_a_class_derived_from_its_kind_is_the_same_id() -> None:
    assert Fingerprints(KEY).of(Name("ann")) == Fingerprints(KEY).of("ann")


@pytest.mark.parametrize("value", [None, True, 1.0, "", "\x00", "\ud800", object(), ["ann"], 2**64])
def test_what_is_no_id_has_a_fingerprint_that_tells_nothing(value: object) -> None:
    assert Fingerprints(KEY).of(value) == Fingerprints(KEY).of(None)
    assert Fingerprints(KEY).of(value) != Fingerprints(KEY).of("None")


def test_it_is_a_keyed_hash_that_anybody_with_the_key_can_check() -> None:
    expected = blake2b(b"tann", key=KEY, digest_size=16)

    assert list(digests_of_users(KEY, [UserId("ann")])) == [UUID(bytes=expected.digest())]
    assert Fingerprints(KEY).of("ann") == expected.hexdigest()[:12]


def test_the_key_is_not_shown() -> None:
    assert "k" not in repr(Fingerprints(b"k" * 32)).removeprefix("Fingerprints")


def test_nobody_has_no_digests() -> None:
    assert len(digests_of_users(KEY, [])) == 0
