"""SQL through SQLAlchemy Core, on PostgreSQL and SQLite."""
