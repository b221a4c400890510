"""Binance USD-M futures on the wire."""
