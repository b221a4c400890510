"""Refusals of Binance for tests, by their codes."""

from mm.live.venues.binance import why_of
from mm.live.venues.refusals import NOT_SENT, Refusal, unsent


def refusal(code: int, message: str = "") -> Refusal:
    """Return what a code and a message of Binance mean; 0: nothing was sent."""
    return unsent(message) if code == NOT_SENT else Refusal(code, message, why_of(code, message))
