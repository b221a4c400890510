"""The audit log of a symbol: its rows, their totals, copies kept elsewhere, and what a start reads of it."""
