"""Nights under fire: the schedule goes on while database, store and batch are killed, and no feed fails."""
