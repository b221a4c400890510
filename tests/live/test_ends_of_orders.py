"""What ends an order, and what becomes of it: in the journal, and of one that was to be replaced."""

import asyncio

import pytest
from gateway_rig import trading
from trader_rig import TraderRig

from mm.live.venues.binance import ApiLimit
from mm.live.venues.request_limits import OrderLimits
from named import action_of


@pytest.mark.parametrize(("status", "action"), [("EXPIRED", "EXPIRE"), ("CANCELED", "CANCEL_ACK")])
def test_an_order_that_the_exchange_has_ended_is_not_one_that_we_have_cancelled(status, action):
    rig = TraderRig()
    rig.trader.accepted(1, rig.us, 91)
    rig.trader.closed(1, rig.us, status)
    assert action in [action_of(row) for row in rig.engine.journal().orders if row[1] == 1]


@pytest.mark.parametrize("price", ["99.505", "0"])
def test_an_order_whose_replacement_is_refused_here_is_cancelled(price):
    """The strategy does not want it any more: alone it would rest at an old price."""

    async def scenario():
        async with trading() as rig:
            rig.gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(1) == "open")
            rig.gateway.orders.replace(1, 2, +1, price, "1", "LIMIT_MAKER")
            await rig.until(lambda: rig.listener.state.get(2) == "rejected", 20)
            await rig.until(lambda: rig.listener.state.get(1) == "CANCELED", 20)
            assert rig.at_exchange() == []
            rig.check()

    asyncio.run(scenario())


@pytest.mark.parametrize(("interval", "asks"), [("SECOND", False), ("MINUTE", False), ("DAY", True)])
def test_the_exchanges_count_of_orders_is_asked_for_where_only_it_knows_when_it_begins_anew(interval, asks):
    """Our own count of a minute ends by itself; a day of the exchange begins at its own midnight."""
    limits = OrderLimits(None, lambda: 100.0)
    number = 10 if interval == "SECOND" else 1
    terms = {"rateLimitType": "ORDERS", "interval": interval, "intervalNum": number, "limit": 5}
    limits.counted([ApiLimit(**terms, count=4)])
    assert not limits.orders_used
    limits.counted([ApiLimit(**terms, count=5)])
    assert limits.orders_used is asks
    assert limits.refusal() is not None
