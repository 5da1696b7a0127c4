"""One small web page to look into the store with: feeds, generations, runs. A process of its own."""
