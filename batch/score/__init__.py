"""Model × users × posts × buckets to ranked lists, exactly."""
