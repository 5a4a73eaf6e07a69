"""Configuration files to one immutable snapshot: load, validate, compile, reload."""
