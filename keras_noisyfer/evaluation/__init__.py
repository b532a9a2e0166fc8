"""Comparisons, tables and figures."""
