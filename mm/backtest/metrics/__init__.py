"""The numbers of a run: profit, risk, orders and selection bias, computed from a journal."""
