"""Resources that are managed at run time: kept in the database, joined with the configuration file in one snapshot.

What workers need is free of SQL: `fragment`, `merging`, `joining`, `shelf`. The database's side is `repository` and
what it imports; only the administrator loads that.
"""
