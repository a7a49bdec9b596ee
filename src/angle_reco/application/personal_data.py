"""Export and erasure of all data stored about a user."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime

import attrs

from angle_reco.application.access import Access
from angle_reco.domain.erasure import Erased
from angle_reco.domain.fingerprints import Fingerprints
from angle_reco.domain.ids import IdKinds, UserId, json_id
from angle_reco.domain.lists import ListKind
from angle_reco.domain.millionths import to_fraction
from angle_reco.domain.policies import Action, Actor, Resource
from angle_reco.domain.stored_list import StoredLine, StoredList
from angle_reco.domain.users import SignIns
from angle_reco.ports.cache import Cache, key_of
from angle_reco.ports.clock import Clock
from angle_reco.ports.erasure import Erasure
from angle_reco.ports.stores import InterestStore, ListStore, StoredInterests
from angle_reco.ports.users import UserQueries

_log = logging.getLogger(__name__)

EXPORT_FORMAT = "angle_reco.user/1"
"""The format of an exported document, with its version."""


@attrs.frozen(kw_only=True)
class UserExport:
    """All data stored about a user; a field is None if nothing is stored.

    The host's data, such as bids and watches, is not included.
    """

    user_id: UserId
    exported_at: datetime
    sign_ins: SignIns | None
    interests: StoredInterests | None
    homepage: StoredList | None

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is stored about the user."""
        signed_in = self.sign_ins is not None and (self.sign_ins.count or self.sign_ins.last_at)
        return not signed_in and self.interests is None and self.homepage is None

    def to_json(self) -> dict[str, object]:
        """Return the export as one JSON document (`docs/authorization.md` shows its shape)."""
        return {
            "format": EXPORT_FORMAT,
            "user_id": json_id(self.user_id),
            "exported_at": self.exported_at.isoformat(),
            "sign_ins": None if self.sign_ins is None else _sign_ins_json(self.sign_ins),
            "interests": None if self.interests is None else _interests_json(self.interests),
            "homepage": None if self.homepage is None else _homepage_json(self.homepage),
        }


@attrs.frozen(kw_only=True)
class ExportUser:
    """Exports the data stored about a user."""

    access: Access
    users: UserQueries
    interests: InterestStore
    lists: ListStore
    clock: Clock
    ids: IdKinds

    def __call__(self, actor: Actor, owner: UserId | None) -> UserExport:
        """Return all data stored about *owner*."""
        self.access.require(actor, Action.EXPORT, Resource.USER, owner=owner)
        user_id = self.ids.user_id(owner)
        return UserExport(
            user_id=user_id,
            exported_at=self.clock.now(),
            sign_ins=self.users.sign_ins(user_id),
            interests=self.interests.of(user_id),
            homepage=self.lists.read(ListKind.PERSONAL, [user_id]).get(user_id),
        )


@attrs.frozen(kw_only=True)
class EraseUser:
    """Removes the data stored about a user, permanently."""

    access: Access
    erasure: Erasure
    clock: Clock
    ids: IdKinds
    fingerprints: Fingerprints
    cached_lists: Cache | None
    forget_pending: Callable[[UserId], object]

    def __call__(self, actor: Actor, owner: UserId | None) -> Erased:
        """Remove all data stored about *owner*; return how much it was.

        Nothing is stored about the user again. The host's data is unchanged.
        """
        self.access.require(actor, Action.ERASE, Resource.USER, owner=owner)
        user_id = self.ids.user_id(owner)
        try:
            erased = self.erasure.erase(user_id, at=self.clock.now())
        finally:
            if self.cached_lists is not None:
                self.cached_lists.forget(key_of(ListKind.PERSONAL, user_id))
            self.forget_pending(user_id)
        _log.info(
            "user erased: user=%s sign_ins=%d interests=%d lists=%d suggestions=%d",
            self.fingerprints.of(user_id),
            erased.sign_ins,
            erased.interests,
            erased.lists,
            erased.suggestions,
        )
        return erased


def _sign_ins_json(sign_ins: SignIns) -> Mapping[str, object]:
    return {"last_at": _text(sign_ins.last_at), "count": sign_ins.count}


def _interests_json(stored: StoredInterests) -> Mapping[str, object]:
    return {
        "computed_at": _text(stored.computed_at),
        "interests": [{**one.to_json(), "by_hand": one.by_hand} for one in stored.interests],
        "removed_by_hand": [json_id(one) for one in stored.removed],
    }


def _homepage_json(stored: StoredList) -> Mapping[str, object]:
    return {
        "computed_at": _text(stored.computed_at),
        "ranker": stored.recipe.name,
        "edited_by_hand": stored.edited,
        "suggestions": [
            _line_json(rank, line, stored.recipe.components)
            for rank, line in enumerate(stored.lines, start=1)
        ],
    }


def _line_json(rank: int, line: StoredLine, components: tuple[str, ...]) -> Mapping[str, object]:
    return {
        "rank": rank,
        "item_id": json_id(line.item_id),
        "score": to_fraction(line.score),
        "reason": line.reason.value,
        "source": line.source.value,
        "contributions": {
            name: to_fraction(part) for name, part in line.contributions(components).items()
        },
        "by_hand": line.by_hand,
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
