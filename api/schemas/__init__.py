"""What comes in and goes out over HTTP: how parameters are read, what answers look like."""
