"""Binance's rules of USD-M perpetuals on top of the matching core, without sockets or clock."""
