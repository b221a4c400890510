"""A sender of orders with two transports, whose answers a test gives."""

import asyncio
from collections.abc import Callable
from typing import Any

from gateway_rig import MemoryAudit
from played_api import PlayedApi

from mm.live.orders.sender import OrderSender
from mm.live.orders.states import OrderStates
from mm.live.venues.binance_spot import SpotVenue
from mm.live.venues.live_orders import LiveOrder


class Desk:
    """A sender with two transports, and its order states."""

    def __init__(self) -> None:
        self.states, self.ws, self.rest, self.audit = OrderStates(), PlayedApi(), PlayedApi(), MemoryAudit()
        self.answers: list[str] = []
        ways = (self.ws, self.rest)
        self.sender = OrderSender(
            SpotVenue("SIMUSDT"), 1_000, self.states, ways, self.audit, lambda a, _: self.answers.append(a)
        )

    def order(self, number: int = 1, kind: str = "LIMIT_MAKER") -> LiveOrder:
        order = LiveOrder(number, f"c{number}", +1, "99.5", "1", kind)
        self.states.add(order)
        return order

    def live(self, number: int = 1) -> LiveOrder:
        order = self.order(number)
        self.sender.place(order)
        self.ws.answer(entry(number))
        list(self.states.next_steps())
        return order

    def steps(self) -> list[type]:
        return [type(step) for step in self.states.next_steps()]


def entry(number: int = 1, status: str = "NEW", **more: Any) -> dict[str, Any]:
    return {"orderId": 70 + number, "clientOrderId": f"c{number}", "status": status, "executedQty": "0"} | more


def on_loop(test: Callable[[], None]) -> None:
    async def main() -> None:
        test()

    asyncio.run(main())
