"""How publishing talks to Redis: is the server fit, who holds the lease, bytes on the wire."""
