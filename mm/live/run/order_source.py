"""Where the orders of a trade come from: the symbol's own strategy, or that of another symbol of the account."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mm.backtest.strategy import LegModel, Orders
from mm.live.run.live_play import TradePlay, TradeStart
from mm.live.run.other_markets import feeds_of
from mm.live.run.trade_end import TradeEnd
from mm.live.run.trade_run import TradeRun
from mm.live.run.trader import Trader

if TYPE_CHECKING:
    from mm.backtest.engine.live_feed import FeedEvent


class OrderSource(Protocol):
    is_leg: bool
    legs: "Mapping[str, LegTrade]"

    def play(self, trade: TradeRun, start: TradeStart) -> TradePlay: ...

    def begun(self, play: TradePlay, trader: Trader) -> None: ...

    def heard(self, events: "tuple[FeedEvent, ...]") -> None: ...

    def decided(self) -> None: ...

    def waits(self) -> str: ...


class OwnStrategy:
    """The strategy of the symbol's own knobs: an `OrderSource`."""

    is_leg = False

    def __init__(self) -> None:
        self.legs: Mapping[str, LegTrade] = {}
        self._own: list[Callable[[tuple[FeedEvent, ...]], None]] = []

    def play(self, trade: TradeRun, start: TradeStart) -> TradePlay:
        terms = {**trade.others, **{name: leg.trade.terms for name, leg in self.legs.items()}}
        parts = {**trade.seen_parts, **{name: leg.trade.parts for name, leg in self.legs.items()}}
        feeds = feeds_of(terms, parts)
        play = TradePlay(trade.terms, trade.strategy, start, trade.run, feeds)
        play.engine.manager.take_legs({name: leg.leg for name, leg in self.legs.items()})
        for name, leg in self.legs.items():
            leg.leg.owner = partial(play.hear, name)
        self._own = [partial(play.engine.feed_other, name) for name in trade.own_views]
        play.own_views = trade.own_views
        return play

    def begun(self, play: TradePlay, trader: Trader) -> None:
        if self.legs:
            play.engine.manager.allow = trader.allow

    def heard(self, events: "tuple[FeedEvent, ...]") -> None:
        for feed in self._own:
            feed(events)

    def decided(self) -> None:
        for leg in self.legs.values():
            leg.leg.send()

    def waits(self) -> str:
        lost = ((leg.trade.key, leg.quote.lost) for leg in self.legs.values())
        return next((f"leg {key}: {why}" for key, why in lost if why), "")


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

    def begun(self, play: TradePlay, trader: Trader) -> None:
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


class LegQuote(Protocol):
    """The quoting in a leg's symbol; `Quote` is one."""

    end: TradeEnd

    @property
    def lost(self) -> str: ...


class LegTrade(NamedTuple):
    """Another symbol of the account, to which a strategy sends orders."""

    trade: TradeRun
    quote: LegQuote
    leg: LiveLeg
