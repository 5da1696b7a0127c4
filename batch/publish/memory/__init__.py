"""Memory: what a generation will take in this very store, before it is written."""
