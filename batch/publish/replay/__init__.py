"""Replay: what a user was shown at a past time, or would have been."""
