"""A model's trees, split by side, merged into sets, and laid out as rows of what they add to every post."""
