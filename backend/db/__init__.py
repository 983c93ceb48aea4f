"""SQL: opening and migrating the database, its shared tables, and the store of interactive requests."""
