"""Redis and SQL: clients, scripts, the embedded server."""
