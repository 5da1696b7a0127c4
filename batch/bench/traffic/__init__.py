"""Traffic: people who behave as the made world's do, played by locust; every answer is judged."""
