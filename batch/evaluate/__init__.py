"""Is it good enough: metrics, evaluation."""
