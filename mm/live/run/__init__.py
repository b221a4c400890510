"""One run from start to end: shadows, trades, legs, flatten, and what guards them."""
