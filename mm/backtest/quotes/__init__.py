"""Quote models: where to quote."""
