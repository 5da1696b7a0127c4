"""Writes: turns facts into one published generation."""
