"""The order by which a kill closes the position of a contract."""

import asyncio
from types import SimpleNamespace

import pytest

from mm.instrument import e8
from mm.live.orders.contract_watch import ContractWatch
from mm.live.venues.requests import ApiAnswer, Outcome


def closing(qty, mark, slippage, tick="0.01"):
    """Return side, price and quantity of the order for a position as the exchange tells it."""
    found = SimpleNamespace(qty_e8=e8(qty), mark_e8=e8(mark))
    requests = SimpleNamespace(position=lambda: (None, {}), position_of=lambda _: found)
    api = SimpleNamespace(request=lambda _, __, done: done(ApiAnswer(Outcome.DONE, 0)))
    run = SimpleNamespace(symbol="X", contract=SimpleNamespace(kill_closes=True, kill_max_slippage=slippage))
    reports = SimpleNamespace(position=lambda _: None)
    watch = ContractWatch(requests, SimpleNamespace(api=api), run, reports, None)
    return asyncio.run(watch.closing(SimpleNamespace(tick_e8=e8(tick))))


@pytest.mark.parametrize(("qty", "expected"), [("-2", (1, "101.5", "2")), ("2", (-1, "99.5", "2")), ("0", None)])
def test_price_is_no_farther_from_the_mark_than_the_largest_slippage(qty, expected):
    """100.503 and one percent: 101.50803 and 99.49797. One beyond the exchange's own band it would refuse."""
    assert closing(qty, "100.503", "0.01") == expected
