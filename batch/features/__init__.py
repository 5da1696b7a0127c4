"""Features as of a time, side by side, and the popular lists made of the same counts."""
