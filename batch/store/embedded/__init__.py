"""The store for whoever has none: a Valkey on loopback that ends with its last user."""
