"""The account of a trade: what it holds, and what its limits allow."""
