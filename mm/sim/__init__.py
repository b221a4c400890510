"""The exchange in a box: simulated markets with known truth, and a simulated exchange."""
