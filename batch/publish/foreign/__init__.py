"""Somebody else's lists on their way to a generation: recognized, checked, sorted out of core."""
