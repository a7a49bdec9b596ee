"""The contract suite of `Erasure`."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count

import attrs
import pytest

from angle_reco.domain.erasure import Erased
from angle_reco.domain.errors import UserErasedError
from angle_reco.domain.ids import UserId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.domain.stored_list import StoredLine, StoredList
from angle_reco.domain.suggestions import Reason, Source
from angle_reco.domain.users import User
from angle_reco.ports.erasure import Erasure
from angle_reco.ports.stores import InterestStore, ListStore, StoredInterests, Written
from angle_reco.ports.users import UserQueries
from angle_reco.testing.contracts.samples import (
    DAY,
    HOUR,
    NOW,
    RECIPE,
    EveryIdKind,
    Make,
    Sample,
)

NOTHING = Erased(sign_ins=0, interests=0, lists=0, suggestions=0)


@attrs.frozen(kw_only=True)
class ErasableStores:
    """The erasure under test, and the stores that it removes users from.

    *beside* says whether sign-ins are counted beside the host's tables, so that an erasure
    removes these counts.
    """

    interests: InterestStore
    lists: ListStore
    users: UserQueries
    erasure: Erasure
    beside: bool


class ErasureContract(EveryIdKind):
    """The promises of `Erasure`; a subclass overrides the fixture *make*."""

    @pytest.fixture
    def make(self, sample: Sample) -> Make[ErasableStores]:
        """Return the factory of the stores, with ids of `sample.ids`."""
        pytest.fail("override this fixture")

    @pytest.fixture
    def stores(self, make: Make[ErasableStores], sample: Sample) -> ErasableStores:
        """Return stores with interests, a homepage and sign-ins of every user."""
        users = [
            User(user_id=one, last_sign_in_at=NOW - DAY, sign_in_count=place + 1)
            for place, one in enumerate(sample.users)
        ]
        stores = make(users=users)
        write(stores, sample, sample.users)
        return stores

    def test_everything_stored_about_a_user_is_removed(
        self, stores: ErasableStores, sample: Sample
    ) -> None:
        user = sample.users[3]

        erased = stores.erasure.erase(user, at=NOW)

        assert erased == Erased(
            sign_ins=1 if stores.beside else 0, interests=2, lists=1, suggestions=3
        )
        assert kept_of(stores, user) == (None, None)
        signed_in = stores.users.sign_ins(user)
        assert signed_in is not None
        assert signed_in.count == (0 if stores.beside else 4)

    def test_the_watermarks_are_removed(self, stores: ErasableStores, sample: Sample) -> None:
        """They have digests of what users did lately."""
        stores.interests.retain(None, started_at=NOW, watermark="one")
        for kind in ListKind:
            stores.lists.retain(kind, None, started_at=NOW, watermark="one")

        stores.erasure.erase(sample.users[3], at=NOW)

        assert stores.interests.watermark() == ""
        assert [stores.lists.watermark(kind) for kind in ListKind] == [""] * len(ListKind)

    def test_an_empty_list_counts_as_a_list(self, stores: ErasableStores, sample: Sample) -> None:
        user = sample.users[0]
        stores.lists.write(ListKind.PERSONAL, sample.lists(ListKind.PERSONAL, {user: []}))

        erased = stores.erasure.erase(user, at=NOW)

        assert (erased.lists, erased.suggestions) == (1, 0)

    def test_overrides_are_removed_too(self, stores: ErasableStores, sample: Sample) -> None:
        user = sample.users[0]
        stores.interests.edit(user, lambda _: overridden_interests(sample, user))
        stores.lists.edit(ListKind.PERSONAL, user, lambda _: overridden_page(sample))

        erased = stores.erasure.erase(user, at=NOW)

        # One of the interests is only the mark of a removal.
        assert (erased.interests, erased.lists, erased.suggestions) == (2, 1, 1)
        assert kept_of(stores, user) == (None, None)

    def test_nothing_of_other_users_is_removed(
        self, stores: ErasableStores, sample: Sample
    ) -> None:
        # The text ids include both "a" and "A".
        gone, stay = sample.users[::2], sample.users[1::2]
        before = {one: (kept_of(stores, one), stores.users.sign_ins(one)) for one in stay}
        lists = {
            kind: dict(stores.lists.read(kind, sample.owners(kind)))
            for kind in (ListKind.SIMILAR, ListKind.POPULAR)
        }

        for one in gone:
            stores.erasure.erase(one, at=NOW)

        assert {one: (kept_of(stores, one), stores.users.sign_ins(one)) for one in stay} == before
        assert all(kept_of(stores, one) == (None, None) for one in gone)
        assert {kind: dict(stores.lists.read(kind, sample.owners(kind))) for kind in lists} == lists
        assert stores.users.total() == len(sample.users)

    def test_writes_about_other_users_still_succeed(
        self, stores: ErasableStores, sample: Sample
    ) -> None:
        # Ids that differ only in case are of different users.
        gone, stay = sample.users[::2], sample.users[1::2]
        for one in gone:
            stores.erasure.erase(one, at=NOW)

        written = write(stores, sample, stay, score=7_000)
        counted = [stores.users.record_sign_in(one, NOW) for one in stay]
        for one in stay:
            stores.interests.edit(one, lambda _, one=one: overridden_interests(sample, one))  # type: ignore[misc]  # a default binds it
            stores.lists.edit(ListKind.PERSONAL, one, lambda _: overridden_page(sample))

        assert written == (Written(2 * len(stay), 0), Written(len(stay), 0))
        assert counted == [True] * len(stay)
        for one in stay:
            assert kept_of(stores, one) == (
                overridden_interests(sample, one),
                overridden_page(sample),
            )

    def test_erasing_again_removes_nothing(self, stores: ErasableStores, sample: Sample) -> None:
        user = sample.users[0]
        stores.erasure.erase(user, at=NOW)

        again = [stores.erasure.erase(user, at=NOW + at * HOUR) for at in (-1, 0, 1)]

        assert again == [NOTHING] * 3
        assert write(stores, sample, [user]) == (Written(0, 0), Written(0, 0))

    def test_an_unknown_user_can_be_erased_permanently(
        self, stores: ErasableStores, sample: Sample
    ) -> None:
        user = sample.unknown_user

        assert stores.erasure.erase(user, at=NOW) == NOTHING

        assert write(stores, sample, [user]) == (Written(0, 0), Written(0, 0))
        assert kept_of(stores, user) == (None, None)
        with pytest.raises(UserErasedError):
            stores.interests.edit(user, lambda _: overridden_interests(sample, user))

    def test_a_batch_leaves_erased_users_out_and_counts_the_others(
        self, stores: ErasableStores, sample: Sample
    ) -> None:
        gone = [sample.users[1], sample.users[4], sample.users[-1]]
        for one in gone:
            stores.erasure.erase(one, at=NOW)
        left = len(sample.users) - len(gone)

        unchanged = write(stores, sample, sample.users)
        changed = write(stores, sample, sample.users, score=7_000)

        assert unchanged == (Written(0, 2 * left), Written(0, left))
        assert changed == (Written(2 * left, 0), Written(left, 0))
        for one in sample.users:
            interests, page = kept_of(stores, one)
            assert (interests is None, page is None) == (one in gone, one in gone)
            assert page is None or page.lines[0].score == 7_000
        assert stores.interests.totals().owners == left
        assert stores.lists.totals(ListKind.PERSONAL).owners == left

    def test_a_batch_of_erased_users_alone_writes_nothing(
        self, stores: ErasableStores, sample: Sample
    ) -> None:
        for one in sample.users:
            stores.erasure.erase(one, at=NOW)

        assert write(stores, sample, sample.users) == (Written(0, 0), Written(0, 0))
        assert stores.interests.totals().rows == 0
        assert stores.lists.totals(ListKind.PERSONAL).owners == 0

    def test_an_override_for_an_erased_user_is_refused(
        self, stores: ErasableStores, sample: Sample
    ) -> None:
        user, other = sample.users[0], sample.users[1]
        stores.erasure.erase(user, at=NOW)

        def never(_: object) -> StoredInterests:
            raise AssertionError("asked for a change of what was erased")

        with pytest.raises(UserErasedError):
            stores.interests.edit(user, never)
        with pytest.raises(UserErasedError):
            stores.lists.edit(ListKind.PERSONAL, user, lambda _: overridden_page(sample))

        assert kept_of(stores, user) == (None, None)
        stores.interests.edit(other, lambda _: overridden_interests(sample, other))
        stores.lists.edit(ListKind.PERSONAL, other, lambda _: overridden_page(sample))
        assert kept_of(stores, other) == (
            overridden_interests(sample, other),
            overridden_page(sample),
        )

    def test_lists_that_belong_to_no_user_are_still_written(
        self, stores: ErasableStores, sample: Sample
    ) -> None:
        # Items may have the ids of erased users.
        for one in {*sample.users, *(UserId(one) for one in same_as_users(sample))}:
            stores.erasure.erase(one, at=NOW)

        for kind in (ListKind.SIMILAR, ListKind.POPULAR):
            owners = sample.owners(kind)
            written = stores.lists.write(
                kind, sample.lists(kind, {one: [line(sample, 1, 77_000)] for one in owners})
            )
            stores.lists.edit(kind, owners[0], lambda _: overridden_page(sample))

            found = stores.lists.read(kind, owners)
            assert written == Written(len(owners), 0)
            assert [found[one].lines[0].score for one in owners[1:]] == [77_000] * (len(owners) - 1)
            assert found[owners[0]] == overridden_page(sample)

    def test_sign_ins_of_an_erased_user_are_not_counted(
        self, stores: ErasableStores, sample: Sample
    ) -> None:
        user, other = sample.users[0], sample.users[1]
        stores.users.record_sign_in(user, NOW)
        stores.erasure.erase(user, at=NOW)
        before = stores.users.sign_ins(user)

        counted = [stores.users.record_sign_in(one, NOW + HOUR) for one in (user, other) * 2]

        assert counted == [False, True] * 2
        assert stores.users.sign_ins(user) == before
        found = stores.users.sign_ins(other)
        assert found is not None
        assert (found.last_at, found.count) == (NOW + HOUR, 4)

    @pytest.mark.parametrize("is_first", [True, False], ids=["erased first", "written first"])
    def test_writes_during_an_erasure_leave_nothing(
        self, stores: ErasableStores, sample: Sample, is_first: bool
    ) -> None:
        user, other = sample.users[5], sample.users[6]
        started, stop = threading.Semaphore(0), threading.Event()
        works: list[Callable[[int], object]] = [
            lambda turn: write(stores, sample, [other, user], score=1_000 * (turn % 9 + 1)),
            lambda turn: stores.interests.edit(user, lambda _: overridden_interests(sample, user)),
            lambda turn: stores.lists.edit(
                ListKind.PERSONAL, user, lambda _: overridden_page(sample)
            ),
            lambda turn: stores.users.record_sign_in(user, NOW + HOUR * turn),
        ]

        def loop(work: Callable[[int], object]) -> None:
            try:
                for turn in count(1):
                    with suppress(UserErasedError):
                        work(turn)
                    if turn == 2:
                        started.release()
                    if turn >= _TURNS and stop.is_set():
                        break
            finally:
                started.release()

        with ThreadPoolExecutor(len(works)) as pool:
            if is_first:
                stop.set()
                stores.erasure.erase(user, at=NOW)
            writing = [pool.submit(loop, work) for work in works]
            if not is_first:
                try:
                    for _ in works:
                        assert started.acquire(timeout=_PATIENCE)
                    stores.erasure.erase(user, at=NOW)
                finally:
                    stop.set()
            for one in writing:
                one.result()

        assert kept_of(stores, user) == (None, None)
        assert None not in kept_of(stores, other)
        found = stores.users.sign_ins(user)
        assert found is not None
        assert not stores.beside or found.count == 0


_TURNS = 6
_PATIENCE = 30.0  # seconds; a fraction of one is usually enough


def write(
    stores: ErasableStores, sample: Sample, users: list[UserId], *, score: int = 500_000
) -> tuple[Written, Written]:
    """Write interests and homepages of *users*, and similar and popular lists.

    Returns the counts of interests and of homepages.
    """
    interests = [interest(sample, user, place, score) for user in users for place in range(2)]
    pages: dict[object, list[StoredLine]] = {
        user: [line(sample, place, score) for place in range(3)] for user in users
    }
    for kind in (ListKind.SIMILAR, ListKind.POPULAR):
        some = {owner: [line(sample, 0, score)] for owner in sample.owners(kind)}
        stores.lists.write(kind, sample.lists(kind, some))
    return (
        stores.interests.write(
            sample.interests(interests), users=sample.user_column(users), computed_at=NOW
        ),
        stores.lists.write(ListKind.PERSONAL, sample.lists(ListKind.PERSONAL, pages)),
    )


def kept_of(
    stores: ErasableStores, user: UserId
) -> tuple[StoredInterests | None, StoredList | None]:
    """Return the stored interests and homepage of a user."""
    pages = stores.lists.read(ListKind.PERSONAL, [user])
    return stores.interests.of(user), pages.get(user)


def same_as_users(sample: Sample) -> list[object]:
    """Return the ids of items if they are of the same kind as those of users."""
    return list(sample.items) if sample.ids.item is sample.ids.user else []


def interest(sample: Sample, user: UserId, category: int, score: int) -> UserInterest:
    """Return an interest of a user; *category* is a place in the sample."""
    return UserInterest(
        user_id=user,
        category_id=sample.categories[category],
        score=score,
        strength=3_000_000,
        interaction_count=1,
        last_interaction_at=NOW,
    )


def line(sample: Sample, item: int, score: int) -> StoredLine:
    """Return a line; *item* is a place in the sample."""
    return StoredLine(
        item_id=sample.items[item],
        score=score,
        parts=(score, 0),
        reason=Reason.FAVOURITE_CATEGORY,
        source=Source.PERSONAL,
    )


def overridden_interests(sample: Sample, user: UserId) -> StoredInterests:
    """Return interests with one manual override, and one manual removal."""
    one = attrs.evolve(interest(sample, user, 0, 9), by_hand=True)
    return StoredInterests(
        interests=(one,), recipe="", computed_at=NOW, removed=(sample.categories[1],)
    )


def overridden_page(sample: Sample) -> StoredList:
    """Return a homepage with one manual line."""
    one = attrs.evolve(line(sample, 2, 9), parts=(0, 0), by_hand=True)
    return StoredList.of([one], recipe=RECIPE, computed_at=NOW, edited=True)
