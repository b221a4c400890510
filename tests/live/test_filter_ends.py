"""What the order checks do at the very ends of a filter, and with the smallest amounts."""

import json
from decimal import Decimal

import pytest

from exchange_rig import Desk
from mm.live.venues.symbol_info import SymbolInfo


@pytest.mark.parametrize(
    ("name", "bounds", "price", "qty", "step"),
    [
        ("PRICE_FILTER", {"minPrice": "20", "maxPrice": "300"}, ("20", "300"), "1", ("-0.01", "0.01")),
        ("LOT_SIZE", {"minQty": "2", "maxQty": "5"}, "100", ("2", "5"), ("-0.001", "0.001")),
        ("NOTIONAL", {"minNotional": "200", "maxNotional": "500"}, "100", ("2", "5"), ("-0.001", "0.001")),
    ],
)
def test_value_at_an_end_of_a_filter_is_allowed_and_one_step_beyond_refused(name, bounds, price, qty, step) -> None:
    """Both ends count as within, as the exchange has them."""
    filters = [{**one, **bounds} if one["filterType"] == name else one for one in Desk().rules.entry()["filters"]]
    ours = SymbolInfo(
        json.dumps({"symbols": [Desk().rules.entry() | {"filters": filters}]}).encode(), "SIMUSDT"
    ).filters
    for end, off in enumerate(step):
        order = [text if isinstance(text, str) else text[end] for text in (price, qty)]
        assert ours.refusal(+1, *order, "LIMIT", []) is None
        moved = [text if isinstance(text, str) else f"{Decimal(text[end]) + Decimal(off)}" for text in (price, qty)]
        assert name in (ours.refusal(+1, *moved, "LIMIT", []) or (0, ""))[1]
