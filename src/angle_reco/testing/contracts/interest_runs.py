"""The contract suite of `InterestStore`: runs of the job."""

import pytest

from angle_reco.domain.columns import IdColumn
from angle_reco.domain.errors import FencedOffError
from angle_reco.domain.ids import UserId
from angle_reco.domain.runs import Fence
from angle_reco.ports.stores import InterestStore, StoreTotals, Written
from angle_reco.testing.contracts.interest_store_base import (
    EmptyInterestStore,
    edited,
    interest,
    write,
)
from angle_reco.testing.contracts.samples import DAY, HOUR, NOW, TICK, Sample


class InterestRunsContract(EmptyInterestStore):
    """What complete runs remove, cover and leave, and which runs may write."""

    def test_a_complete_run_removes_all_other_users(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample, user=user) for user in range(4)])
        write(
            store,
            sample,
            [interest(sample, user=2), interest(sample, user=2, category=1)],
        )

        gone = store.retain(
            sample.user_column([sample.users[1], sample.users[3], sample.unknown_user]),
            started_at=NOW + DAY,
        )

        assert gone == 3
        assert [store.of(user) is None for user in sample.users[:4]] == [True, False, True, False]

    def test_a_complete_run_covers_the_remaining_rows(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample)])

        gone = store.retain(sample.user_column(sample.users), started_at=NOW + DAY + TICK)

        kept = store.of(sample.users[0])
        assert gone == 0
        assert kept is not None
        assert (kept.computed_at, kept.covered_at) == (NOW, NOW + DAY + TICK)
        assert store.totals().covered_at == NOW + DAY + TICK

    def test_a_complete_run_without_users_removes_everything(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample, user=user) for user in range(4)])

        assert store.retain(sample.user_column([]), started_at=NOW) == 4
        assert store.totals() == StoreTotals(
            owners=0, rows=0, oldest_at=None, newest_at=None, covered_at=NOW
        )

    def test_a_complete_run_may_keep_all_rows(self, store: InterestStore, sample: Sample) -> None:
        write(store, sample, [interest(sample, user=user) for user in range(3)])

        assert store.retain(None, started_at=NOW + DAY) == 0
        totals = store.totals()
        assert (totals.owners, totals.covered_at) == (3, NOW + DAY)

    def test_a_complete_run_leaves_a_watermark_for_the_next(
        self, store: InterestStore, sample: Sample
    ) -> None:
        none, texts = store.watermark(), list[str | None]()
        for at, text in [(NOW, "é'\n" * 9), (NOW, "two"), (NOW + DAY, ""), (NOW + DAY, "four")]:
            store.retain(None, started_at=at, watermark=text)
            texts.append(store.watermark())

        assert none is None
        assert texts == ["é'\n" * 9, "two", "", "four"]

    def test_a_watermark_can_be_removed(self, store: InterestStore, sample: Sample) -> None:
        newer, older = (Fence(job="refresh", number=number) for number in (2, 1))
        store.forget_watermark()
        before = store.watermark()
        store.retain(None, started_at=NOW, watermark="one", fence=newer)

        with pytest.raises(FencedOffError):
            store.forget_watermark(fence=older)
        kept = store.watermark()
        store.forget_watermark(fence=newer)

        assert (before, kept, store.watermark()) == (None, "one", "")

    def test_an_edit_removes_the_watermark(self, store: InterestStore, sample: Sample) -> None:
        write(store, sample, [interest(sample)])
        store.retain(None, started_at=NOW, watermark="one")
        store.edit(sample.users[0], lambda kept: edited(None) if kept is None else kept)
        same = store.watermark()
        store.edit(sample.users[0], edited)

        assert (same, store.watermark()) == ("one", "")

    def test_users_with_an_interest_in_some_categories(
        self, store: InterestStore, sample: Sample
    ) -> None:
        pairs = [(0, 0), (0, 1), (1, 1), (2, 2), (3, 0)]
        write(store, sample, [interest(sample, user=one, category=of) for one, of in pairs])

        def found(*places: int) -> list[object]:
            wanted = [sample.categories[place] for place in places]
            return sorted(
                store.users_in(IdColumn.of(sample.ids.category, wanted)),
                key=lambda one: sample.users.index(UserId(one)),
            )

        assert found(0, 1) == [sample.users[place] for place in (0, 1, 3)]
        assert found(2) == [sample.users[2]]
        assert found(3) == found() == []

    def test_rows_written_after_a_complete_run_are_covered_by_it(
        self, store: InterestStore, sample: Sample
    ) -> None:
        store.retain(sample.user_column([]), started_at=NOW)
        write(store, sample, [interest(sample)], at=NOW + DAY)

        kept = store.of(sample.users[0])
        assert kept is not None
        assert (kept.computed_at, kept.covered_at) == (NOW + DAY, NOW)

    def test_totals_count_rows_and_give_their_ages(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [interest(sample, user=0, category=0)], at=NOW - DAY)
        write(
            store,
            sample,
            [interest(sample, user=1, category=0), interest(sample, user=1, category=1)],
            at=NOW + TICK,
        )

        assert store.totals() == StoreTotals(
            owners=2, rows=3, oldest_at=NOW - DAY, newest_at=NOW + TICK, covered_at=None
        )

    def test_the_newest_run_of_a_job_may_write_repeatedly(
        self, store: InterestStore, sample: Sample
    ) -> None:
        numbers = [0, 0, 1, 7, 7, 2**63 - 1]

        for score, number in enumerate(numbers):
            fence = Fence(job="refresh", number=number)
            written = write(store, sample, [interest(sample, score=score * 1_000)], fence=fence)
            gone = store.retain(
                sample.user_column(sample.users), started_at=NOW + TICK * score, fence=fence
            )

            assert (written, gone) == (Written(1, 0), 0)
        assert store.totals().covered_at == NOW + TICK * 5

    def test_an_older_run_is_refused_and_changes_nothing(
        self, store: InterestStore, sample: Sample
    ) -> None:
        newer, older = (Fence(job="refresh", number=number) for number in (8, 7))
        write(store, sample, [interest(sample)], fence=newer)
        store.retain(sample.user_column(sample.users), started_at=NOW, fence=newer)
        before = store.of(sample.users[0]), store.totals()

        with pytest.raises(FencedOffError, match="newer run of refresh"):
            write(store, sample, [interest(sample, score=7)], at=NOW + HOUR, fence=older)
        with pytest.raises(FencedOffError, match="newer run of refresh"):
            write(store, sample, [], users=[], at=NOW + HOUR, fence=older)
        with pytest.raises(FencedOffError, match="newer run of refresh"):
            store.retain(sample.user_column([]), started_at=NOW + HOUR, fence=older)

        assert (store.of(sample.users[0]), store.totals()) == before

    def test_a_run_that_changed_nothing_still_fences_older_runs(
        self, store: InterestStore, sample: Sample
    ) -> None:
        write(store, sample, [], users=[], fence=Fence(job="refresh", number=2))

        with pytest.raises(FencedOffError):
            write(store, sample, [interest(sample)], fence=Fence(job="refresh", number=1))
        store.retain(sample.user_column([]), started_at=NOW, fence=Fence(job="refresh", number=4))
        with pytest.raises(FencedOffError):
            write(store, sample, [interest(sample)], fence=Fence(job="refresh", number=3))

        assert store.totals().rows == 0

    def test_other_jobs_and_writers_without_a_fence_are_not_fenced(
        self, store: InterestStore, sample: Sample
    ) -> None:
        fences = [
            Fence(job="refresh", number=9),
            Fence(job="Refresh", number=1),
            Fence(job="refresh ", number=1),
            Fence(job="", number=0),
            None,
            Fence(job="refresh", number=9),
        ]

        written = [
            write(store, sample, [interest(sample, score=score * 1_000)], fence=fence)
            for score, fence in enumerate(fences)
        ]

        assert written == [Written(1, 0)] * len(fences)
