"""What the host tells of: sign-ins, bids and watches. Nothing here raises into its request."""

import logging
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

import attrs

from angle_reco.domain import Bid, InvalidValueError, UserId, Watch, check_moment
from angle_reco.ports import ActivityRecorder, Clock, UserQueries, deadline
from angle_reco.settings import Settings

_log = logging.getLogger(__name__)


@attrs.define(kw_only=True)
class Events:
    """Takes events in; one that cannot be taken is logged and counted in `failed`.

    Each method says whether anything was stored. Without a *recorder*, which is for the
    reference schema and memory, bids and watches are the host's own to store.
    """

    users: UserQueries
    recorder: ActivityRecorder | None
    clock: Clock
    settings: Settings
    as_of: datetime | None = None
    engaged: Callable[[UserId], object] = lambda user_id: None
    failed: int = attrs.field(default=0, init=False)

    def signed_in(self, user_id: object, at: datetime | None = None) -> bool:
        """Count a sign-in."""
        return self._taken(
            "signed_in",
            lambda: self.users.record_sign_in(self.settings.ids.user_id(user_id), self._moment(at)),
        )

    def bid_placed(
        self, user_id: object, item_id: object, amount: Decimal | None, at: datetime | None
    ) -> bool:
        """Note a bid; the same one twice is one."""

        def record() -> bool:
            ids, recorder = self.settings.ids, self.recorder
            prices = self.settings.prices
            money = None if amount is None else prices.to_money(prices.to_units(amount, "amount"))
            bid = Bid(
                user_id=ids.user_id(user_id),
                item_id=ids.item_id(item_id),
                amount=money,
                placed_at=self._moment(at),
            )
            return self._noted(bid.user_id, recorder is not None and recorder.record_bid(bid))

        return self._taken("bid_placed", record)

    def watched(self, user_id: object, item_id: object, at: datetime | None) -> bool:
        """Note a watch; of several of one user and item the earliest stays."""

        def record() -> bool:
            ids, recorder = self.settings.ids, self.recorder
            watch = Watch(
                user_id=ids.user_id(user_id),
                item_id=ids.item_id(item_id),
                watched_at=self._moment(at),
            )
            return self._noted(watch.user_id, recorder is not None and recorder.record_watch(watch))

        return self._taken("watched", record)

    def unwatched(self, user_id: object, item_id: object) -> bool:
        """Note the end of a watch."""

        def record() -> bool:
            ids, recorder = self.settings.ids, self.recorder
            user, item = ids.user_id(user_id), ids.item_id(item_id)
            return self._noted(user, recorder is not None and recorder.remove_watch(user, item))

        return self._taken("unwatched", record)

    def _noted(self, user_id: UserId, stored: bool) -> bool:
        self.engaged(user_id)
        return stored

    def _moment(self, at: datetime | None) -> datetime:
        return self.clock.now() if at is None else check_moment(at, "at")

    def _taken(self, event: str, take: Callable[[], bool]) -> bool:
        try:
            if self.as_of is not None:
                raise InvalidValueError("as_of", self.as_of, "None: the past takes no events")
            with deadline(self.settings.deadline.total_seconds()):
                stored = take()
        except InvalidValueError as error:
            self.failed += 1
            # What is wrong, but not the value: it may be the user's.
            _log.warning(
                "event not taken: event=%s value=%s expected=%s", event, error.what, error.expected
            )
            return False
        except Exception as error:  # noqa: BLE001 — no failure of ours may fail the host's request
            self.failed += 1
            # The class alone: the text may name the user.
            _log.warning("event not taken: event=%s error=%s", event, type(error).__name__)
            return False
        if not stored:
            _log.info("event changed nothing: event=%s", event)
        return stored
