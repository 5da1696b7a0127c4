"""A refresh: a new generation that takes over, inside the store, the lists that did not change."""
