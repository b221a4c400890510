"""What an order manager needs of a strategy's orders in another market."""

from typing import Protocol

from mm.backtest.strategy import Orders


class LegOrders(Protocol):
    @property
    def orders(self) -> Orders: ...

    def begin(self, us: int) -> None: ...

    def finish(self) -> None: ...

    def kill(self, us: int, reason: str) -> None: ...
