"""Contract suites: the promises of each port as a test class that adapters inherit.

`KernelsContract` and `ModelStoreContract`, which need scipy, are not imported here; they are in
the modules `kernels` and `model_store`.
"""

from pkgutil import iter_modules

import pytest

# Before the imports, so that failing assertions in these modules show their values.
pytest.register_assert_rewrite(*(f"{__name__}.{one.name}" for one in iter_modules(__path__)))

from angle_reco.testing.contracts.activity import (  # noqa: E402 — see above
    ActivityQueriesContract,
)
from angle_reco.testing.contracts.cache import CacheContract  # noqa: E402 — see above
from angle_reco.testing.contracts.cache_base import MakeCache  # noqa: E402 — see above
from angle_reco.testing.contracts.catalog import CatalogQueriesContract  # noqa: E402 — see above
from angle_reco.testing.contracts.changes import ChangesAtOnceContract, ChangesContract  # noqa: E402 — see above
from angle_reco.testing.contracts.changes_base import Begin, TimedChanges  # noqa: E402 — see above
from angle_reco.testing.contracts.changes_in_transactions import ChangesInTransactionsContract  # noqa: E402 — see above
from angle_reco.testing.contracts.clock import ClockContract  # noqa: E402 — see above
from angle_reco.testing.contracts.erasure import (  # noqa: E402 — see above
    ErasableStores,
    ErasureContract,
)
from angle_reco.testing.contracts.interest_store import (  # noqa: E402 — see above
    InterestStoreContract,
)
from angle_reco.testing.contracts.ledger import RunLedgerContract  # noqa: E402 — see above
from angle_reco.testing.contracts.ledger_base import TimedLedger  # noqa: E402 — see above
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
