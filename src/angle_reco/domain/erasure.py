"""Taking a user out of all that is kept."""

import attrs


@attrs.frozen(kw_only=True)
class Erased:
    """How much was removed of what was kept about a user.

    *suggestions* are those of *lists*; *sign_ins* is 1 where theirs were counted beside
    the host's tables. What the host owns is the host's to remove.
    """

    sign_ins: int
    interests: int
    lists: int
    suggestions: int

    def to_json(self) -> dict[str, int]:
        """Return the counts as JSON has them."""
        return attrs.asdict(self)
