"""A run is a record: what was run, its stages and how it ended, in one SQLite file of the state folder."""
