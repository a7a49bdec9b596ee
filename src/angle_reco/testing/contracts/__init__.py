"""Contract suites: the promises of each port as a test class that adapters inherit.

`KernelsContract` and `ModelStoreContract`, which need scipy, are not imported here; they are in
the modules `kernels` and `model_store`.
"""

import pytest

# Before the imports, so that failing assertions in these modules show their values.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{module}"
        for module in (
            "activity",
            "activity_base",
            "activity_histories",
            "activity_interactions",
            "cache",
            "cache_base",
            "cache_flights",
            "cache_room",
            "catalog",
            "changes",
            "clock",
            "erasure",
            "interest_store",
            "kernels",
            "ledger",
            "list_store",
            "model_store",
            "permissions",
            "recorder",
            "users",
        )
    )
)

from angle_reco.testing.contracts.activity import (  # noqa: E402 — see above
    ActivityQueriesContract,
)
from angle_reco.testing.contracts.cache import CacheContract  # noqa: E402 — see above
from angle_reco.testing.contracts.cache_base import MakeCache  # noqa: E402 — see above
from angle_reco.testing.contracts.catalog import CatalogQueriesContract  # noqa: E402 — see above
from angle_reco.testing.contracts.changes import (  # noqa: E402 — see above
    Begin,
    ChangesAtOnceContract,
    ChangesContract,
    ChangesInTransactionsContract,
    TimedChanges,
)
from angle_reco.testing.contracts.clock import ClockContract  # noqa: E402 — see above
from angle_reco.testing.contracts.erasure import (  # noqa: E402 — see above
    ErasableStores,
    ErasureContract,
)
from angle_reco.testing.contracts.interest_store import (  # noqa: E402 — see above
    InterestStoreContract,
)
from angle_reco.testing.contracts.ledger import (  # noqa: E402 — see above
    RunLedgerContract,
    TimedLedger,
)
from angle_reco.testing.contracts.list_store import (  # noqa: E402 — see above
    ListStoreContract,
)
from angle_reco.testing.contracts.permissions import (  # noqa: E402 — see above
    Grants,
    PermissionsContract,
)
from angle_reco.testing.contracts.recorder import (  # noqa: E402 — see above
    ActivityRecorderContract,
    RecordedActivity,
)
from angle_reco.testing.contracts.samples import KINDS, Make, Sample  # noqa: E402 — see above
from angle_reco.testing.contracts.users import UserQueriesContract  # noqa: E402 — see above

__all__ = [
    "KINDS",
    "ActivityQueriesContract",
    "ActivityRecorderContract",
    "Begin",
    "CacheContract",
    "CatalogQueriesContract",
    "ChangesAtOnceContract",
    "ChangesContract",
    "ChangesInTransactionsContract",
    "ClockContract",
    "ErasableStores",
    "ErasureContract",
    "Grants",
    "InterestStoreContract",
    "ListStoreContract",
    "Make",
    "MakeCache",
    "PermissionsContract",
    "RecordedActivity",
    "RunLedgerContract",
    "Sample",
    "TimedChanges",
    "TimedLedger",
    "UserQueriesContract",
]
