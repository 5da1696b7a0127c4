"""How the batch meets its surroundings: terminal, store, the API's process."""
