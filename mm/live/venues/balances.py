"""What an account holds, and what comes and goes without a trade."""

from collections.abc import Mapping
from typing import NamedTuple

Balances = Mapping[str, tuple[str, str]]
"""Free and locked amount by asset, as the exchange's text."""


class Transfer(NamedTuple):
    """An amount that came into the account without a trade, or went."""

    asset: str
    amount_e8: int
    source: str
    us: int = 0
