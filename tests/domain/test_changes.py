"""What one process publishes for the others is valid from birth."""

from typing import Any

import pytest

from angle_reco.domain.changes import MOST_ITEMS, Change, ChangeKind
from angle_reco.domain.errors import InvalidValueError
from angle_reco.domain.ids import ItemId, UserId

ANN, VASE = UserId("ann"), ItemId("vase")

VALID: list[dict[str, Any]] = [
    {"kind": ChangeKind.ITEMS, "item_ids": (VASE,)},
    {"kind": ChangeKind.ENGAGED, "item_ids": (VASE,), "user_id": ANN},
    {"kind": ChangeKind.ERASED, "user_id": ANN},
    {"kind": ChangeKind.RUN, "job": "refresh"},
    {"kind": ChangeKind.RUN, "job": "refresh", "item_ids": (VASE,)},
    {"kind": ChangeKind.FORGET},
]

WITH_ITEMS, WITH_USER = (
    frozenset({ChangeKind.ITEMS, ChangeKind.ENGAGED}),
    frozenset({ChangeKind.ENGAGED, ChangeKind.ERASED}),
)


@pytest.mark.parametrize("values", VALID)
def test_a_change_has_what_its_kind_is_about(values: dict[str, Any]) -> None:
    change = Change(**values)

    assert (change.item_ids, change.user_id, change.job) == (
        values.get("item_ids", ()),
        values.get("user_id"),
        values.get("job", ""),
    )


@pytest.mark.parametrize("kind", [None, 1, "sold", "items", object()])
def test_a_kind_that_is_none_is_refused(kind: Any) -> None:
    with pytest.raises(InvalidValueError, match="kind of a change"):
        Change(kind=kind, item_ids=(VASE,))


@pytest.mark.parametrize("kind", sorted(WITH_ITEMS))
def test_a_change_of_items_names_from_one_to_ten_thousand(kind: ChangeKind) -> None:
    user_id = ANN if kind in WITH_USER else None

    for number in (0, MOST_ITEMS + 1):
        with pytest.raises(InvalidValueError) as caught:
            Change(kind=kind, item_ids=(VASE,) * number, user_id=user_id)

        assert str(caught.value) == (
            f"items of a change is {number}, but should be 1 to 10,000 ids"
        )
    assert len(Change(kind=kind, item_ids=(VASE,) * MOST_ITEMS, user_id=user_id).item_ids) == 10_000


@pytest.mark.parametrize(
    "values",
    [
        {"kind": ChangeKind.ERASED, "user_id": ANN, "item_ids": (VASE,)},
        {"kind": ChangeKind.FORGET, "item_ids": (VASE,)},
        {"kind": ChangeKind.RUN, "job": "refresh", "item_ids": (VASE,) * (MOST_ITEMS + 1)},
    ],
)
def test_a_change_of_nothing_with_items_names_none(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match=r"^items of a change is .* but should be none$"):
        Change(**values)


@pytest.mark.parametrize("values", VALID)
def test_a_user_is_there_exactly_where_the_kind_has_one(values: dict[str, Any]) -> None:
    has_user = values["kind"] in WITH_USER
    given, expected = ("no user", "a user") if has_user else ("a user", "no user")

    with pytest.raises(InvalidValueError) as caught:
        Change(**{**values, "user_id": None if has_user else ANN})

    assert str(caught.value) == f"user of a change is {given!r}, but should be {expected}"


@pytest.mark.parametrize("values", VALID)
def test_a_job_is_there_exactly_where_a_run_has_ended(values: dict[str, Any]) -> None:
    job = "" if values["kind"] is ChangeKind.RUN else "refresh"

    with pytest.raises(
        InvalidValueError, match=r"^job of a change is .* of a run alone$"
    ) as caught:
        Change(**{**values, "job": job})

    assert caught.value.value == job
