"""Rows become facts: each row is parsed and checked once, here."""
