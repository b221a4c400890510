"""A leg of a trade: the orders that the strategy of another symbol of the account sends in this one.

It is a symbol of the account like any other, with its own gateway, audit log, ledger, limits, recording and run; only
its orders come from another symbol's strategy, in the steps of that symbol.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mm.backtest.strategy import LegModel, Orders
from mm.live.run.play import TradePlay, TradeStart
from mm.live.run.terms import learn_terms
from mm.live.run.trade_run import TradeRun

if TYPE_CHECKING:
    from mm.backtest.live_feed import FeedEvent
    from mm.live.run.trader import Trader


class LiveLeg:
    """The orders of a strategy in another symbol, at an exchange.

    Args:
        model: Sends nothing itself.

    Attributes:
        heard: Called with the events of the symbol: the strategy sees them.
    """

    def __init__(self, model: LegModel) -> None:
        self.heard: Callable[[tuple[FeedEvent, ...]], None] = lambda _events: None
        self._model, self._called = model, False
        self._trader: Trader | None = None
        self._play: TradePlay | None = None

    def open(self, play: TradePlay, trader: "Trader") -> None:
        """Allow orders, which *trader* sends; before, each is refused."""
        self._play, self._trader = play, trader

    @property
    def orders(self) -> Orders:
        """What the strategy gets from ``orders.at(name)``."""
        return self._model.orders

    def begin(self, us: int) -> None:
        """Open them to a call of the strategy, if the symbol has a valid book and its trade goes on."""
        play, trader = self._play, self._trader
        self.orders.dark = play is None or trader is None or trader.ended is not None or not any(play.engine.best)
        self._model.begin(us if play is None else max(us, play.engine.now_us))

    def finish(self) -> None:
        """End the call; what it has sent leaves with `send`."""
        self._model.finish()
        self._called = True

    def kill(self, us: int, reason: str) -> None:
        """Do nothing: the kill of a symbol kills all of its account."""

    def send(self) -> None:
        """Send the orders and cancels of the last call, after the strategy's own."""
        if self._called and self._trader is not None:
            self._called = False
            self._trader.act()


class LegRun(TradeRun):
    """A trade of one symbol whose orders come from the strategy of another one.

    Attributes:
        leg: The orders.
    """

    is_leg = True

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._model = LegModel()
        self.leg = LiveLeg(self._model)

    async def learn(self) -> None:
        """Ask the exchange for the terms."""
        self.terms = await learn_terms(self.parts.rest.rest, self.symbol, self.day.day, self.run.log)

    def _play(self, start: TradeStart) -> TradePlay:
        return TradePlay(self.terms, self._strategy, start, self.run, leg=self._model)

    def _heard(self, events: "tuple[FeedEvent, ...]") -> None:
        self.leg.heard(events)

    def _begun(self, play: TradePlay, trader: "Trader") -> None:
        super()._begun(play, trader)
        self.leg.open(play, trader)
