"""The numbers of a run: what a journal says of profit, risk, orders and luck."""
