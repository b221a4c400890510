"""The unchanged gateway on a server that was written from the public documentation alone."""

import asyncio
from decimal import Decimal

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from gateway_rig import FollowingListener, MemoryAudit, run_of, stranger
from published_server import SYMBOL, PublishedExchange, PublishedServer

KINDS = [("ED25519", "websocket"), ("HMAC", "websocket"), ("ED25519", "rest"), ("HMAC", "rest")]


async def until(condition: object) -> None:
    async with asyncio.timeout(30):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.002)


@pytest.mark.parametrize(("kind", "transport"), KINDS)
def test_orders_are_placed_filled_replaced_and_cancelled(kind: str, transport: str) -> None:
    """The balances equal the server's, to the last decimal."""

    async def scenario() -> None:
        private = Ed25519PrivateKey.generate()
        exchange = PublishedExchange("key1", "secret1", private.public_key())
        key = {"private": private} if kind == "ED25519" else {"secret": "secret1"}
        audit, listener = MemoryAudit(), FollowingListener()
        run = run_of(symbol=SYMBOL, order_transport=transport)
        async with PublishedServer(exchange).open() as server:
            at = server.ws_api_url, server.rest_url
            gateway = stranger("key1", at=at, run=run, audit=audit, **key)
            gateway.reports.attach(listener)
            await gateway.start()
            gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            gateway.orders.place(2, -1, "98.5", "0.5", "IOC")
            await until(lambda: listener.state.get(1) == "open" and len(listener.fills) == 1)
            exchange.fill(exchange.orders[1], Decimal("99.5"), Decimal("0.25"), maker=True)
            await server.publish()
            await until(lambda: len(listener.fills) == 2)
            gateway.orders.amend(1, "0.8")
            await until(lambda: listener.qty.get(1) == "0.8")
            assert (exchange.orders[1]["origQty"], exchange.locked["USDT"]) == ("0.80000000", Decimal("54.725"))
            gateway.orders.replace(1, 3, +1, "99.6", "0.75", "LIMIT_MAKER")
            await until(lambda: listener.state.get(3) == "open")
            gateway.orders.place(4, +1, "102", "1", "LIMIT_MAKER")
            await until(lambda: listener.state.get(4) == "rejected")
            gateway.orders.cancel(3)
            await until(lambda: listener.state.get(3) == "CANCELED")
            gateway.orders.place(5, -1, "105", "1", "LIMIT_MAKER")
            await until(lambda: listener.state.get(5) == "open")
            await gateway.stop()
            assert not [order for order in exchange.orders.values() if order["open"]]
        assert [fill.trade_id for fill in listener.fills] == [one["id"] for one in exchange.trades]
        base = quote = Decimal(0)
        for fill in listener.fills:
            base += fill.side * Decimal(fill.qty)
            quote -= fill.side * Decimal(fill.qty) * Decimal(fill.price)
            paid = Decimal(fill.commission)
            base, quote = (base - paid, quote) if fill.commission_asset == "ABC" else (base, quote - paid)
        assert exchange.free == {"ABC": 1_000 + base, "USDT": 1_000_000 + quote}
        assert listener.state == {1: "CANCELED", 2: "open", 3: "CANCELED", 4: "rejected", 5: "CANCELED"}
        assert not gateway.states.open

    asyncio.run(scenario())


def test_fill_without_event_is_booked_by_reconcile() -> None:
    """The server loses the event; the next reconcile books the fill."""

    async def scenario() -> None:
        exchange = PublishedExchange("key1", "secret1", Ed25519PrivateKey.generate().public_key())
        listener = FollowingListener()
        run = run_of(symbol=SYMBOL, reconcile_interval_s=1.0)
        async with PublishedServer(exchange).open() as server:
            at = server.ws_api_url, server.rest_url
            gateway = stranger("key1", at=at, run=run, secret="secret1")
            gateway.reports.attach(listener)
            await gateway.start()
            gateway.orders.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await until(lambda: listener.state.get(1) == "open")
            exchange.fill(exchange.orders[1], Decimal("99.5"), Decimal(1), maker=True)
            exchange.events.clear()
            await until(lambda: [fill.trade_id for fill in listener.fills] == [1])
            assert not gateway.states.open
            await gateway.stop()

    asyncio.run(scenario())
