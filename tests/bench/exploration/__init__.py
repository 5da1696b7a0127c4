"""Two weeks with a place for new posts against two weeks without, in made worlds whose truth is known."""
