"""One generation written by several processes: prepared once, users shard by shard, sealed once."""
