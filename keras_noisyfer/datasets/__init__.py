"""Data sets, each ending in the data contract."""
