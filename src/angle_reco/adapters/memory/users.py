"""Users in memory."""

from datetime import UTC, datetime

import attrs

from angle_reco.adapters.memory.erasure import MemoryErasures
from angle_reco.adapters.memory.marketplace import MemoryMarketplace, exists_by, refuse_connection
from angle_reco.domain.columns import IdColumn
from angle_reco.domain.ids import UserId
from angle_reco.domain.users import SignIns, User


@attrs.frozen
class MemoryUsers:
    """`UserQueries` over a `MemoryMarketplace`."""

    market: MemoryMarketplace
    erasures: MemoryErasures = attrs.field(factory=MemoryErasures)

    def active_since(
        self,
        moment: datetime,
        *,
        until: datetime | None = None,
        not_since: datetime | None = None,
    ) -> IdColumn:
        with self.market.lock:
            active = [
                user_id
                for user_id, user in self.market.users.items()
                if exists_by(user.created_at, until)
                and self._was_around(user, until) > moment
                and exists_by(self._was_around(user, until), not_since)
            ]
        return IdColumn.of(self.market.ids.user, sorted(active))  # type: ignore[type-var]  # ids of one kind compare

    def record_sign_in(
        self, user_id: UserId, at: datetime, *, connection: object | None = None
    ) -> bool:
        refuse_connection(connection)
        with self.market.lock:
            user = self.market.users.get(user_id)
            if user is None or self.erasures.has(user_id):
                return False
            at = at.astimezone(UTC)
            last = at if user.last_sign_in_at is None else max(user.last_sign_in_at, at)
            self.market.users[user_id] = attrs.evolve(
                user, last_sign_in_at=last, sign_in_count=user.sign_in_count + 1
            )
            return True

    def sign_ins(self, user_id: UserId, *, until: datetime | None = None) -> SignIns | None:
        with self.market.lock:
            user = self.market.users.get(user_id)
            if user is None or not exists_by(user.created_at, until):
                return None
            return SignIns(last_at=self._last_sign_in(user, until), count=user.sign_in_count)

    def total(self, *, until: datetime | None = None) -> int:
        with self.market.lock:
            return sum(exists_by(user.created_at, until) for user in self.market.users.values())

    def _was_around(self, user: User, until: datetime | None) -> datetime:
        last = self._last_sign_in(user, until) or user.created_at
        return last or datetime.min.replace(tzinfo=UTC)

    def _last_sign_in(self, user: User, until: datetime | None) -> datetime | None:
        if user.last_sign_in_at is None or exists_by(user.last_sign_in_at, until):
            return user.last_sign_in_at
        moments = [
            bid.placed_at
            for bids in self.market.bids.values()
            for bid in bids
            if bid.user_id == user.user_id
        ]
        moments += [
            watch.watched_at
            for (user_id, _), watch in self.market.watches.items()
            if user_id == user.user_id
        ]
        return max((moment for moment in moments if exists_by(moment, until)), default=None)
