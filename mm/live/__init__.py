"""Trading in a live market: shadow runs, the trader, and what both need beside the engine."""
