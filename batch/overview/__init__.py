"""What the facts of a run hold, counted once, for people to look at; small tables, no row of anybody's."""
