"""Experiments on precomputed lists: what they are, whether an arm is better, how many users that takes."""
