"""Proof: what a list was computed from, whether Redis still holds it, and how two generations differ."""
