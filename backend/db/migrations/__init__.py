"""The database's tables, version by version (Alembic)."""
