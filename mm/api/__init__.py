"""The trading interface: the exchange in a box under plain endpoints, for any client that speaks HTTP."""
