"""How the API asks the store: one supervised connection, look-ups coalesced, generations kept in memory."""
