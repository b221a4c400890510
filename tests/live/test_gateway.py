"""The gateway on an exchange in a box, in real time: orders there and back, and the same books on both sides."""

import asyncio

import pytest
from gateway_rig import ALICE, BOB, trading

from mm.live.gateway import OrderAccess
from mm.sim.exchange.orders import NewOrder

TRANSPORTS = [("ED25519", "websocket"), ("HMAC", "websocket"), ("ED25519", "rest"), ("HMAC", "rest")]


def bob(rig, side: int, ticks: int, lots: int) -> None:
    """Let somebody else send a limit order."""
    us = rig.box.exchange.now_us
    rig.box.exchange.place(us, BOB, NewOrder(side=side, type="LIMIT", ticks=ticks, lots=lots))


@pytest.mark.parametrize(("kind", "transport"), TRANSPORTS)
def test_orders_go_there_and_back(kind: str, transport: str) -> None:
    """Placed, filled in part, replaced, cancelled; by both transports, with both kinds of keys."""

    async def story() -> None:
        async with trading(kind=kind, access=OrderAccess(order_transport=transport)) as rig:
            gateway, listener = rig.gateway, rig.listener
            gateway.place(1, +1, "99.5", "1", "LIMIT_MAKER")
            await rig.until(lambda: listener.state.get(1) == "open")
            bob(rig, -1, 9_950, 400)
            await rig.until(lambda: listener.fills)
            gateway.replace(1, 2, +1, "99.4", "0.6", "LIMIT_MAKER")
            await rig.until(lambda: listener.state.get(2) == "open")
            assert listener.state[1] == "CANCELED"
            gateway.cancel(2)
            await rig.until(lambda: listener.state[2] == "CANCELED")
            wanted = [("accepted", 1), ("filled", 1, "0.40000000"), ("closed", 1, "CANCELED"), ("accepted", 2)]
            assert listener.log == [*wanted, ("closed", 2, "CANCELED")]
            assert [row["type"] for row in rig.audit.rows] == [
                "intent",
                "ack",
                "fill",
                "intent",
                "cancel",
                "ack",
                "intent",
                "cancel",
            ]
            assert gateway.open_orders == 0
            rig.check()

    asyncio.run(story())


@pytest.mark.parametrize("side", [+1, -1])
@pytest.mark.parametrize("order_kind", ["LIMIT", "IOC", "FOK", "MARKET"])
def test_every_kind_of_order(order_kind: str, side: int) -> None:
    """Takers fill at once, and what is left of them ends or rests."""

    async def story() -> None:
        async with trading() as rig:
            bob(rig, -side, 10_000, 1_000)
            price = "" if order_kind == "MARKET" else "100"
            rig.gateway.place(1, side, price, "0.4", order_kind)
            await rig.until(lambda: len(rig.listener.fills) == 1)
            await rig.until(lambda: rig.gateway.open_orders == 0)
            qty = "0.6" if order_kind == "FOK" else "0.7"
            rig.gateway.place(2, side, price, qty, order_kind)
            await rig.until(lambda: len(rig.listener.fills) == 2)
            if order_kind == "IOC":
                await rig.until(lambda: rig.listener.state[2] == "EXPIRED")
            rig.check()
            assert rig.gateway.open_orders == len(rig.at_exchange()) == (order_kind == "LIMIT")

    asyncio.run(story())


def test_a_stop_cancels_what_is_open() -> None:
    """And waits for the ends."""

    async def story() -> None:
        async with trading() as rig:
            for number in range(1, 11):
                rig.gateway.place(number, +1, f"{99 - number}", "1", "LIMIT_MAKER")
            await rig.until(lambda: len(rig.at_exchange()) == 10)
            await rig.gateway.stop()
            assert set(rig.listener.state.values()) == {"CANCELED"}
            assert rig.at_exchange(ALICE) == []

    asyncio.run(story())
