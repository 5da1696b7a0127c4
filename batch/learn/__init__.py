"""Facts to a model: features as of a time, labels, the ranker."""
