"""The matching engine: the book of one symbol, and the effect of orders on it."""
