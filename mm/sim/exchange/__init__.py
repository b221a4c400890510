"""Binance's rules above the matching core: no socket, no clock."""
