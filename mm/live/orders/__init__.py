"""The orders of a symbol: their states, requests, queries and reports, and the gateway that has them."""
