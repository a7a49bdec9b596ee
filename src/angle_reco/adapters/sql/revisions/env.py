"""Run by Alembic: our migrations, with a version table of their own."""

from alembic import context

from angle_reco.adapters.sql.schema import Tables

attributes = context.config.attributes
tables: Tables = attributes["tables"]

context.configure(
    connection=attributes.get("connection"),
    dialect_name=attributes["dialect"],
    # Scripts have no parameters: a % in a name stands for itself.
    dialect_opts={"paramstyle": "named"},
    version_table=tables.version.name,
    version_table_schema=tables.schema,
    literal_binds=context.is_offline_mode(),
    # Whoever runs us has begun a transaction, and writes so into scripts.
    transactional_ddl=False,
)
with context.begin_transaction():
    context.run_migrations(tables=tables, with_reference=attributes["with_reference"])
