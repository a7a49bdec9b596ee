"""SQL through SQLAlchemy Core; SQLite is the embedded default."""

from angle_reco.adapters.sql.activity import SqlActivity
from angle_reco.adapters.sql.catalog import SqlCatalog
from angle_reco.adapters.sql.engine import check_engine, file_of, open_engine
from angle_reco.adapters.sql.importing import Imported, ImportOutcome, import_directory
from angle_reco.adapters.sql.interests import SqlInterestStore
from angle_reco.adapters.sql.lists import SqlListStore
from angle_reco.adapters.sql.migrations import (
    migrate_down,
    migrate_up,
    require_schema,
    schema_version,
)
from angle_reco.adapters.sql.schema import Tables
from angle_reco.adapters.sql.users import SqlUsers

__all__ = [
    "ImportOutcome",
    "Imported",
    "SqlActivity",
    "SqlCatalog",
    "SqlInterestStore",
    "SqlListStore",
    "SqlUsers",
    "Tables",
    "check_engine",
    "file_of",
    "import_directory",
    "migrate_down",
    "migrate_up",
    "open_engine",
    "require_schema",
    "schema_version",
]
