"""One backtest, put together in one place: `Setup` → `Markets` → rules → models → `Play` → `Result`."""
