"""Ranked lists to one immutable generation in Redis."""
