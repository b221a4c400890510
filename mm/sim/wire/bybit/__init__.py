"""The public part of Bybit v5 on the wire."""
