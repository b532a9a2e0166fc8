"""Many training runs under the same conditions, their tables and figures."""
