"""One file per dialect, found by its `DIALECT`; no I/O."""
