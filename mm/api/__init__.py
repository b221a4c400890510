"""The trading interface: the exchange in a box behind plain endpoints, for any HTTP client."""
