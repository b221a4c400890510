"""A leg of a trade: the orders that the strategy of another symbol of the account sends in this one."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mm.backtest.strategy import LegModel, Orders
from mm.live.run.live_play import TradePlay, TradeStart
from mm.live.run.quote import LegTrade
from mm.live.run.trade_run import TradeRun

if TYPE_CHECKING:
    from mm.backtest.engine.live_feed import FeedEvent
    from mm.live.run.trader import Trader


class LiveLeg:
    """The orders of a strategy in another symbol, at an exchange: an `OrderSource`."""

    is_leg = True

    def __init__(self) -> None:
        self.owner: Callable[[tuple[FeedEvent, ...]], None] = lambda _events: None
        self.legs: Mapping[str, LegTrade] = {}
        self.waits: Callable[[], str] = lambda: ""
        self._model, self._called = LegModel(), False
        self._trader: Trader | None = None
        self._play: TradePlay | None = None

    # as the source of a trade's orders

    def play(self, trade: TradeRun, start: TradeStart) -> TradePlay:
        return TradePlay(trade.terms, trade.strategy, start, trade.run, leg=self._model)

    def begun(self, play: TradePlay, trader: "Trader") -> None:
        play.engine.manager.allow = trader.allow
        self._play, self._trader = play, trader

    def heard(self, events: "tuple[FeedEvent, ...]") -> None:
        self.owner(events)

    def decided(self) -> None: ...

    # as the engine of the strategy calls it

    @property
    def orders(self) -> Orders:
        return self._model.orders

    def begin(self, us: int) -> None:
        """Only if the symbol has a valid book and its trade goes on."""
        play, trader = self._play, self._trader
        self.orders.dark = play is None or trader is None or trader.ended is not None or not any(play.engine.best)
        self._model.begin(us if play is None else max(us, play.engine.now_us))

    def finish(self) -> None:
        self._model.finish()
        self._called = True

    def kill(self, us: int, reason: str) -> None:
        """The kill of a symbol kills all of its account."""

    def send(self) -> None:
        if self._called and self._trader is not None:
            self._called = False
            self._trader.act()
