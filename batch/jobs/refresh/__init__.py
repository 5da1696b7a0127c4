"""Between two full runs: users whose inputs moved are scored again, all else stays as it was."""
