"""The database: SQLite embedded, PostgreSQL in production. Workers never import this room."""
