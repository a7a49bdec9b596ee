"""Ids are the host's own: texts, integers or UUIDs, and every call checks their kind."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import attrs
import pytest

from angle_reco import IdKind, IdKinds, InvalidValueError, Recommender, Settings
from angle_reco.application.jobs.schedule import BATCH_JOBS
from tests.application.shop import bid, filled, ids_of, lot, opened, watch


@attrs.frozen
class Some:
    """Ids of one kind, in their order."""

    kind: IdKind
    ids: tuple[Any, ...]


SOME = [
    Some(IdKind.TEXT, ("-42", "A", "a b", "é", "🏺", "'; DROP TABLE items; --", "x" * 512)),
    Some(IdKind.INT, (-(2**63), -1, 0, 1, 2**63 - 1)),
    Some(IdKind.UUID, (UUID(int=0), UUID(int=1), UUID(int=1 << 120), UUID(int=2**128 - 1))),
]


@pytest.mark.parametrize("some", SOME, ids=[one.kind for one in SOME])
def test_every_answer_is_the_same_whatever_the_ids_are(some: Some) -> None:
    ids = IdKinds(user=some.kind, item=some.kind, category=some.kind)
    ann, bob = some.ids[:2]
    items = [lot(one, some.ids[place % 2]) for place, one in enumerate(some.ids)]
    market = filled(items, bid(ann, some.ids[0]), watch(bob, some.ids[2]), ids=ids)
    reco = opened(market, Settings(cache_enabled=False, ids=ids))

    def answers() -> list[list[object]]:
        me = reco.as_user(ann)
        return [
            ids_of(me.homepage()),
            ids_of(me.similar_items(some.ids[0])),
            ids_of(me.after_bid(some.ids[0])),
            ids_of(me.popular_items()),
            ids_of(me.popular_items(category=some.ids[1])),
            [one.category_id for one in me.interests()],
        ]

    computed = answers()
    for job in BATCH_JOBS:
        # Too little happened for a model.
        assert (reco.system.run_job(job).changed > 0) is (job != "train_models")
    stored = answers()

    assert stored == computed
    assert set(computed[0]) == set(some.ids[1:])
    assert computed[0][0] == some.ids[2]
    assert computed[4] == sorted(some.ids[1::2])
    assert computed[5] == [ann]


KINDS = IdKinds(user=IdKind.INT, item=IdKind.UUID, category=IdKind.TEXT)

CALLS: dict[str, tuple[str, Callable[[Recommender, Any], object]]] = {
    "as_user": ("user id", lambda reco, one: reco.as_user(one)),
    "homepage": ("user id", lambda reco, one: reco.system.homepage(of=one)),
    "after_bid": ("user id", lambda reco, one: reco.system.after_bid(UUID(int=1), of=one)),
    "interests": ("user id", lambda reco, one: reco.system.interests(of=one)),
    "sign_ins": ("user id", lambda reco, one: reco.system.sign_ins(of=one)),
    "get_interests": ("user id", lambda reco, one: reco.system.stored.get_interests(of=one)),
    "get_top_interests": (
        "user id",
        lambda reco, one: reco.system.stored.get_top_interests(of=one),
    ),
    "get_recommendations": (
        "user id",
        lambda reco, one: reco.system.stored.get_recommendations(of=one),
    ),
    "similar_items": ("item id", lambda reco, one: reco.anonymous.similar_items(one)),
    "after_bid on": ("item id", lambda reco, one: reco.as_user(1).after_bid(one)),
    "find_similar_items": ("item id", lambda reco, one: reco.system.stored.find_similar_items(one)),
    "popular_items": ("category id", lambda reco, one: reco.anonymous.popular_items(category=one)),
}

WRONG: dict[str, list[Any]] = {
    "user id": ["1", 1.0, True, 2**63, UUID(int=1), b"1", [1]],
    "item id": ["00000000-0000-0000-0000-000000000001", 1, None, b"1" * 16, {}],
    "category id": [1, "", "x" * 513, "a\nb", "\x1b[31m", "\ud800", UUID(int=1)],
}


@pytest.mark.parametrize("call", CALLS)
def test_an_id_of_another_kind_is_refused(call: str) -> None:
    what, ask = CALLS[call]
    reco = opened(filled([], ids=KINDS), Settings(cache_enabled=False, ids=KINDS))

    for wrong in WRONG[what]:
        with pytest.raises(InvalidValueError, match=f"^{what} is "):
            ask(reco, wrong)


def test_a_text_id_is_matched_to_the_letter() -> None:
    reco = opened(filled([lot("Vase"), lot("vase"), lot("vase ")]))

    assert ids_of(reco.anonymous.similar_items("vase")) == ["Vase", "vase "]
