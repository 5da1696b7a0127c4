"""Baselines: the rankings that the field would try first, by name, on the same facts; extra `zoo`."""
