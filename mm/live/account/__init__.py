"""The account of a trade: the book of its fills, what it holds, what its limits allow, who trades it."""
