"""Drops pending events whose transaction the host rolled back."""

import logging

import attrs

from angle_reco.application.serving.pending_activity import PendingActivity
from angle_reco.application.waiting import may_wait
from angle_reco.domain.errors import StorageError
from angle_reco.domain.ids import UserId
from angle_reco.domain.lists import ListKind
from angle_reco.ports.cache import Cache, key_of
from angle_reco.ports.changes import Changes

_log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class RolledBackEvents:
    """Drops pending events that were rolled back, so that their items are shown again."""

    changes: Changes
    pending: PendingActivity
    lists: Cache | None

    def look(self) -> None:
        """Drop the events that have been rolled back by now.

        Raises:
            StorageUnavailableError: The database did not answer.
        """
        for change in self.changes.rolled_back():
            if change.user_id is None:
                continue
            self.pending.rolled_back(change.user_id, change.item_ids)
            if self.lists is not None:
                self.lists.forget(key_of(ListKind.PERSONAL, change.user_id))

    def look_for(self, user_id: UserId | None) -> None:
        """Drop the events before an answer to a user, if one of theirs may be rolled back.

        On an event loop, which must not wait, and if the database does not answer, the events
        stay until the next look.
        """
        if user_id is None or not self.changes.may_have_ended(user_id) or not may_wait():
            return
        try:
            self.look()
        except StorageError as error:
            _log.warning("rolled-back events not read: error=%s", type(error).__name__)
