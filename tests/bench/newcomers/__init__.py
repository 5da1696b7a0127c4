"""Posts that come between two full runs: where lists put them an hour, six hours and a day later."""
