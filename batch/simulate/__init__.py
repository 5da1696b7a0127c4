"""A made world with a known truth, calibrated to the real rows."""
