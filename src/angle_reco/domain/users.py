"""Users as the library sees them: when they were created and when they signed in."""

from datetime import datetime

import attrs

from angle_reco.domain.ids import UserId, as_user_id
from angle_reco.domain.validators import is_aware, whole


@attrs.frozen(kw_only=True)
class User:
    """One account of the marketplace."""

    user_id: UserId = attrs.field(converter=as_user_id)
    created_at: datetime | None = attrs.field(
        default=None, validator=attrs.validators.optional(is_aware)
    )
    last_sign_in_at: datetime | None = attrs.field(
        default=None, validator=attrs.validators.optional(is_aware)
    )
    sign_in_count: int = attrs.field(default=0)

    @sign_in_count.validator
    def _is_count(self, _: object, value: object) -> None:
        whole(value, "sign_in_count", least=0, most=2**63 - 1)


@attrs.frozen(kw_only=True)
class SignIns:
    """When a user last signed in, None if never, and how often in total."""

    last_at: datetime | None
    count: int
