"""SQL through SQLAlchemy Core, on PostgreSQL and SQLite."""

from angle_reco.adapters.sql.additions import add_sign_in_columns, drop_sign_in_columns
from angle_reco.adapters.sql.borrowing import Borrowed, borrow, borrow_static
from angle_reco.adapters.sql.database import Database
from angle_reco.adapters.sql.engine import close_engine, file_of, open_engine
from angle_reco.adapters.sql.findings import ROWS_LOOKED_AT, Finding
from angle_reco.adapters.sql.host import HostSchema, PermissionTable, SignInColumns
from angle_reco.adapters.sql.host_engine import check_engine, engine_beside, is_in_memory
from angle_reco.adapters.sql.importing import Imported, ImportOutcome, import_directory
from angle_reco.adapters.sql.migrations import include_object
from angle_reco.adapters.sql.permissions import add_permissions, drop_permissions
from angle_reco.adapters.sql.removing import Removal
from angle_reco.adapters.sql.schema import DEFAULT_PREFIX, Tables
from angle_reco.adapters.sql.storage import Storage

__all__ = [
    "DEFAULT_PREFIX",
    "ROWS_LOOKED_AT",
    "Borrowed",
    "Database",
    "Finding",
    "HostSchema",
    "ImportOutcome",
    "Imported",
    "PermissionTable",
    "Removal",
    "SignInColumns",
    "Storage",
    "Tables",
    "add_permissions",
    "add_sign_in_columns",
    "borrow",
    "borrow_static",
    "check_engine",
    "close_engine",
    "drop_permissions",
    "drop_sign_in_columns",
    "engine_beside",
    "file_of",
    "import_directory",
    "include_object",
    "is_in_memory",
    "open_engine",
]
