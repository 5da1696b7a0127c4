"""Forget: one user out of the store, and out of the files of kept generations."""
