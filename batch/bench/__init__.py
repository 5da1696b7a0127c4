"""Measurements of the real code at full size; correctness is asserted before speed is reported."""
