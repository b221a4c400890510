"""What the engine plays where hftbacktest plays beside it: quotes, latencies and account of the peer's script."""

import json
from typing import Any

from mm.config import Account, Execution, Models

# What hftbacktest's script does by default, in ticks of 0.01: gamma 0.1, k 1.5, sigma 0.001 of the quote asset
# quote 65 ticks from the mid; the sigma is too small for the inventory to matter. Nothing is refused for a balance.
QUOTES: dict[str, Any] = {"gamma": 0.001, "k": 0.015, "sigma": 0.1, "horizon_s": 1}
EXECUTION = Execution(order_latency_ms=50.0, cancel_latency_ms=50.0, requote_interval_ms=250.0)
ACCOUNT = Account(initial_cash="100000", initial_inventory="1")


def models(quote_qty: str | None) -> Models:
    """Return the models, quoting *quote_qty* of the base asset; None is the least that the day's grid allows."""
    return Models(quote_qty=quote_qty, quote_params_json=json.dumps(QUOTES), fill_model="trade_cross")
