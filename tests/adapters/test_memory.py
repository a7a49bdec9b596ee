"""The in-memory adapters keep the contracts."""

import pytest

from angle_reco.adapters.memory import (
    MemoryActivity,
    MemoryMarketplace,
    MemoryUsers,
)
from angle_reco.testing.contracts.activity import (
    ActivityQueriesContract,
    ActivityRecorderContract,
    RecordedActivity,
)
from angle_reco.testing.contracts.users import UserQueriesContract
from angle_reco.testing.contracts.samples import Make, Sample
from angle_reco.ports import UserQueries, ActivityQueries
from typing import Any


class TestMemoryUsers(UserQueriesContract):
    @pytest.fixture
    def make(self, sample: Sample) -> Make[UserQueries]:
        return lambda **rows: MemoryUsers(MemoryMarketplace(ids=sample.ids, **rows))


class TestMemoryActivity(ActivityQueriesContract):
    @pytest.fixture
    def make(self, sample: Sample) -> Make[ActivityQueries]:
        return lambda **rows: MemoryActivity(MemoryMarketplace(ids=sample.ids, **rows))


class TestMemoryRecorder(ActivityRecorderContract):
    @pytest.fixture
    def make(self, sample: Sample) -> Make[RecordedActivity]:
        return lambda **rows: MemoryActivity(MemoryMarketplace(ids=sample.ids, **rows))
