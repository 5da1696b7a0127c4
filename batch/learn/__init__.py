"""Labelled rows to a model: sessions, the split in time, the ranker."""
