"""What the contract suites of `InterestStore` share: fixtures, samples and helpers."""

from collections.abc import Sequence
from datetime import datetime

import attrs
import pytest

from angle_reco.domain.ids import CategoryId, UserId
from angle_reco.domain.runs import Fence
from angle_reco.domain.scoring.interest import UserInterest
from angle_reco.ports.stores import InterestStore, StoredInterests, Written
from angle_reco.testing.contracts.samples import NOW, EveryIdKind, Sample


class EmptyInterestStore(EveryIdKind):
    """The fixtures of the suites; a subclass overrides the first."""

    @pytest.fixture
    def store(self, sample: Sample) -> InterestStore:
        """Return the port under test, empty, with ids of `sample.ids`."""
        pytest.fail("override this fixture")


def edited(
    kept: StoredInterests | None, *interests: UserInterest, removed: Sequence[CategoryId] = ()
) -> StoredInterests:
    """Return *kept* with exactly these interests and *removed* categories."""
    kept = kept or StoredInterests(interests=(), recipe="", computed_at=NOW)
    return attrs.evolve(kept, interests=interests, removed=tuple(removed))


def interests_of(kept: StoredInterests | None) -> tuple[UserInterest, ...]:
    """Return the interests that are stored, none if nothing is."""
    return () if kept is None else kept.interests


def interest(
    sample: Sample,
    *,
    user: int = 0,
    category: int = 0,
    score: int = 500_000,
    count: int = 1,
    last_at: datetime = NOW,
) -> UserInterest:
    """Return an interest; *user* and *category* are places in the sample."""
    return UserInterest(
        user_id=sample.users[user],
        category_id=sample.categories[category],
        score=score,
        strength=3_000_000,
        interaction_count=count,
        last_interaction_at=last_at,
    )


def write(
    store: InterestStore,
    sample: Sample,
    interests: Sequence[UserInterest],
    *,
    users: Sequence[UserId] | None = None,
    at: datetime = NOW,
    fence: Fence | None = None,
) -> Written:
    """Write interests as all those of *users*, by default of the users that they name."""
    if users is None:
        users = list(dict.fromkeys(one.user_id for one in interests))
    return store.write(
        sample.interests(interests), users=sample.user_column(users), computed_at=at, fence=fence
    )
