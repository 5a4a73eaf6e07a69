"""Alembic's environment and the revisions, in order: `versions/0001_….py`, `0002_….py`; there is no way down."""
