"""Runs of jobs, as far as what they write is concerned."""

import attrs

from angle_reco.domain.validators import whole


@attrs.frozen(kw_only=True)
class Fence:
    """What a run shows when it writes: of the runs of one job only the newest may.

    Each run has a *number* larger than those before it. A run that lost its place while
    it slept is told so (FencedOffError) instead of overwriting what its successor wrote.
    """

    job: str
    number: int

    def __attrs_post_init__(self) -> None:
        whole(self.number, "number of a run", least=0, most=2**63 - 1)
