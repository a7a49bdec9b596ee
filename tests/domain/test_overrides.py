"""What people write among the results: where it goes, and what it may say."""

from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from angle_reco.domain.errors import InvalidValueError, shown
from angle_reco.domain.ids import ItemId
from angle_reco.domain.lists import ListKind
from angle_reco.domain.millionths import ONE
from angle_reco.domain.overrides import OVERRIDE_REASONS, override_line, with_line, without_line
from angle_reco.domain.stored_list import Recipe, StoredLine, StoredList
from angle_reco.domain.suggestions import Reason, Source

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
COMPONENTS = (("interest", 600_000), ("popularity", 400_000))
EDITABLE = [ListKind.SIMILAR, ListKind.PERSONAL]

items = st.integers(0, 12).map(lambda number: ItemId(f"lot-{number:02}"))
scores = st.integers(0, 9).map(lambda tenths: tenths * 100_000)
ranks = st.none() | st.integers(1, 15) | st.just(2**70)


def computed(item: ItemId, score: int) -> StoredLine:
    return StoredLine(
        item_id=item,
        score=score,
        parts=(score, 0),
        reason=Reason.FOR_YOU,
        source=Source.PERSONAL,
    )


def a_list(lines: list[StoredLine], *, kept: int) -> StoredList:
    recipe = Recipe(name="ours", weights=COMPONENTS, kept=kept)
    return StoredList.of(lines, recipe=recipe, computed_at=NOW)


@st.composite
def lists(draw: st.DrawFn) -> StoredList:
    """Return lists as jobs store them: best first, an item once, no longer than they keep."""
    kept = draw(st.integers(1, 8))
    some = draw(st.lists(items, unique=True, max_size=kept))
    ordered = sorted(draw(st.lists(scores, min_size=len(some), max_size=len(some))), reverse=True)
    return a_list(list(map(computed, some, ordered)), kept=kept)


lines = st.builds(
    lambda item, score: override_line(ListKind.PERSONAL, item, score=score, reason="for_you"),
    items,
    scores,
)
edits = st.lists(st.tuples(lines, ranks) | items, min_size=1, max_size=6)


class TestLines:
    @pytest.mark.parametrize(
        ("kind", "source"),
        [(ListKind.SIMILAR, Source.SIMILAR), (ListKind.PERSONAL, Source.PERSONAL)],
    )
    @pytest.mark.parametrize("reason", list(Reason))
    def test_each_kind_of_list_has_reasons_of_its_own(
        self, kind: ListKind, source: Source, reason: Reason
    ) -> None:
        for given_as in (reason, reason.value):
            if reason in OVERRIDE_REASONS[kind]:
                line = override_line(kind, ItemId("vase"), score=7, reason=given_as)

                assert (line.reason, type(line.reason)) == (reason, Reason)
                assert (line.score, line.source, line.by_hand) == (7, source, True)
                assert line.contributions(["interest"]) == {"by_hand": 7}
            else:
                with pytest.raises(InvalidValueError, match=r"^reason is .* be one of "):
                    override_line(kind, ItemId("vase"), score=7, reason=given_as)

    def test_reasons_of_popular_lists_are_nobodys_to_give(self) -> None:
        reasons_of_overrides = {
            reason for reasons in OVERRIDE_REASONS.values() for reason in reasons
        }

        assert set(Reason) - reasons_of_overrides == {Reason.POPULAR, Reason.POPULAR_IN_CATEGORY}

    @pytest.mark.parametrize("kind", EDITABLE)
    @pytest.mark.parametrize(
        "reason",
        [
            None,
            "",
            "For_You",
            "FOR_YOU",
            "for_you ",
            5,
            True,
            b"for_you",
            ["for_you"],
            {},
            "\ud800",
        ],
        ids=shown,
    )
    def test_what_is_no_reason_is_refused(self, kind: ListKind, reason: Any) -> None:
        with pytest.raises(InvalidValueError, match=r"^reason is .*should be one of"):
            override_line(kind, ItemId("vase"), score=0, reason=reason)


class TestWriting:
    @given(stored=lists(), line=lines, rank=ranks)
    def test_a_line_goes_to_its_rank_or_as_far_down_as_the_list_reaches(
        self, stored: StoredList, line: StoredLine, rank: int | None
    ) -> None:
        others = [one for one in stored.lines if one.item_id != line.item_id]
        last = min(len(others), stored.recipe.kept - 1)

        edited = with_line(stored, line, rank=rank)

        place = [one.item_id for one in edited.lines].index(line.item_id)
        if rank is not None:
            assert place == min(rank - 1, last)
        else:
            assert all(one.score >= line.score for one in edited.lines[:place])
            assert place == last or edited.lines[place + 1].score < line.score

    @given(stored=lists(), line=lines, rank=ranks)
    def test_the_others_keep_their_order_and_only_the_last_makes_room(
        self, stored: StoredList, line: StoredLine, rank: int | None
    ) -> None:
        others = [one for one in stored.lines if one.item_id != line.item_id]

        edited = with_line(stored, line, rank=rank)

        assert len(edited.lines) == min(len(others) + 1, stored.recipe.kept)
        stayed = [one for one in edited.lines if one.item_id != line.item_id]
        assert stayed == others[: len(edited.lines) - 1]
        assert edited.edited
        assert (edited.recipe, edited.computed_at) == (stored.recipe, stored.computed_at)

    @given(stored=lists(), edits=edits)
    def test_after_any_edits_items_are_unique_and_the_list_is_no_longer_than_it_keeps(
        self, stored: StoredList, edits: list[tuple[StoredLine, int | None] | ItemId]
    ) -> None:
        for edit in edits:
            if isinstance(edit, tuple):
                line, rank = edit
                stored = with_line(stored, line, rank=rank)

                [written] = [one for one in stored.lines if one.item_id == line.item_id]
                assert (written.score, written.by_hand, written.parts) == (line.score, True, (0, 0))
            else:
                stored = without_line(stored, edit)

                assert edit not in [one.item_id for one in stored.lines]
            ids = [one.item_id for one in stored.lines]
            assert len(set(ids)) == len(ids) <= stored.recipe.kept

    @pytest.mark.parametrize(
        ("score", "place"), [(ONE, 0), (700_000, 1), (500_000, 3), (499_999, 3), (0, 4)]
    )
    def test_behind_equal_scores_and_before_the_first_lower_one(
        self, score: int, place: int
    ) -> None:
        there = [700_000, 500_000, 500_000, 100_000]
        stored = a_list(
            [computed(ItemId(str(one)), score) for one, score in enumerate(there)], kept=9
        )
        line = override_line(ListKind.PERSONAL, ItemId("new"), score=score, reason="for_you")

        assert with_line(stored, line).lines[place].by_hand

    def test_what_is_written_again_moves(self) -> None:
        stored = a_list([computed(ItemId(one), ONE) for one in "abc"], kept=3)
        line = override_line(ListKind.PERSONAL, ItemId("c"), score=1, reason="trending")

        moved = with_line(stored, line, rank=1)

        assert [one.item_id for one in moved.lines] == list(map(ItemId, "cab"))
        assert moved.lines[0] == attrs.evolve(line, parts=(0, 0))


class TestTakingOut:
    @given(stored=lists(), item=items)
    def test_only_that_line_goes(self, stored: StoredList, item: ItemId) -> None:
        left = without_line(stored, item)

        assert list(left.lines) == [one for one in stored.lines if one.item_id != item]
        assert left.edited == (len(left.lines) < len(stored.lines))

    def test_where_there_is_no_such_line_the_list_is_the_same(self) -> None:
        stored = a_list([computed(ItemId("a"), 1)], kept=1)

        assert without_line(stored, ItemId("A")) is stored
        assert without_line(stored, ItemId("a")).is_complete
