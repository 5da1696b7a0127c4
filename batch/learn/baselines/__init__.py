"""Peers: the rankings that the field would try first, each named, on the same facts; optional extra `zoo`."""
