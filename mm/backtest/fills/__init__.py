"""Fill models: when a trade, the book or the clock fills a resting order."""
