"""Events that were accepted live: kept in a database of their own, united with the facts of a run."""
