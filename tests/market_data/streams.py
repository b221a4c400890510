"""Streams with short waits between connections, and decoders of their messages."""

from captured import SYMBOL
from mm.market_data.binance_spot import BINANCE_SPOT
from mm.market_data.grid import Grid
from mm.market_data.rate_budget import Backoff, RateBudget
from mm.market_data.ws_stream import WsStream


def stream_to(url, max_age_s=60.0, links=1, *, waits_s=(0.01, 0.02), **more):
    """Return a stream to an address, with the first and the longest wait before a connection."""
    return WsStream(url, [Backoff(*waits_s) for _ in range(links)], max_age_s, **more)


def most_attempts(number, seconds=300.0):
    """Return the budget of so many connections in a time."""
    return RateBudget(number, seconds)


def decoder(symbol=SYMBOL, venue=BINANCE_SPOT, **options):
    """Return the decoder of a symbol whose grid is not known."""
    return venue.decoder(symbol, Grid(), **options)
