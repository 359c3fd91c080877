"""Figures of the report, one file per kind: each takes data and returns a matplotlib figure."""
