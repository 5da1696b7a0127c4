"""What the batch and the API promise each other: standard library and orjson, no I/O."""
