"""What an account holds, and what comes and goes without a trade, as an exchange tells it."""

from collections.abc import Mapping
from typing import NamedTuple

Balances = Mapping[str, tuple[str, str]]
"""Free and locked amount by asset, as the exchange's text."""


class Transfer(NamedTuple):
    """An amount that came into the account without a trade, or went.

    Attributes:
        amount_e8: The amount, in 1e-8; negative if it went.
        source: The exchange's name of the event that reported it, `FOUND` or `ADOPTED`.
        us: The exchange's instant, µs; 0 if it is not known.
    """

    asset: str
    amount_e8: int
    source: str
    us: int = 0
