"""A host's tables: how they are described, checked and migrated."""

from angle_reco.adapters.sql.market.findings import Finding
from angle_reco.adapters.sql.schema.additions import add_sign_in_columns, drop_sign_in_columns
from angle_reco.adapters.sql.schema.host_schema import HostSchema, PermissionTable, SignInColumns
from angle_reco.adapters.sql.schema.migrations import include_object
from angle_reco.adapters.sql.schema.permissions import add_permissions
from angle_reco.adapters.sql.storage import Storage
from angle_reco.domain.auction_status import AuctionStatus

__all__ = [
    "AuctionStatus",
    "Finding",
    "HostSchema",
    "PermissionTable",
    "SignInColumns",
    "Storage",
    "add_permissions",
    "add_sign_in_columns",
    "drop_sign_in_columns",
    "include_object",
]
