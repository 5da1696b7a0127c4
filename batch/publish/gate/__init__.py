"""The gate: may these lists be served? Pure: arrays and manifests in, a report out."""
