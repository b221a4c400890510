"""Binance's rules on top of the matching core, without sockets or clock."""
