"""Reads: answers a user's feed by look-up in the store."""
