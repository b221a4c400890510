"""Trading in a live market: shadow runs, the trader, and their common parts outside the engine."""
