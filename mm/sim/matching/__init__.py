"""The matching engine: one symbol's book, and what orders do to it."""
