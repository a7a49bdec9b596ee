"""The result of erasing a user from all stores."""

import attrs


@attrs.frozen(kw_only=True)
class Erased:
    """How much stored data of a user was removed.

    *suggestions* counts those in *lists*; *sign_ins* is 1 if sign-ins were stored apart from
    the host's tables. The host removes its own data itself.
    """

    sign_ins: int
    interests: int
    lists: int
    suggestions: int

    def to_json(self) -> dict[str, int]:
        """Return the counts for JSON."""
        return attrs.asdict(self)
