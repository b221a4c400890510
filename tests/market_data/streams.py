"""Streams with short waits between connections."""

from mm.market_data.rate_budget import Backoff, RateBudget
from mm.market_data.ws_stream import WsStream


def stream_to(url, max_age_s=60.0, links=1, *, waits_s=(0.01, 0.02), **more):
    """Return a stream to an address, with the first and the longest wait before a connection."""
    return WsStream(url, [Backoff(*waits_s) for _ in range(links)], max_age_s, **more)


def most_attempts(number, seconds=300.0):
    """Return the budget of so many connections in a time."""
    return RateBudget(number, seconds)
