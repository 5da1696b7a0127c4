"""Look at foreign tables and guess a mapping: which table and which column is which of ours, and why."""
