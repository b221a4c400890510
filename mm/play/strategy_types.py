"""The types of strategies that ``mm.backtest`` accepts, for type checkers and editors."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from mm.backtest.quotes.base import QuoteModel, QuoteView
from mm.backtest.quotes.view import Quotes
from mm.backtest.strategy import Orders


class Quoting(Protocol):
    def quote(self, view: QuoteView, /) -> Quotes | None: ...


class Sending(Protocol):
    def on_event(self, market: QuoteView, orders: Orders, /) -> None: ...


Strategy = Quoting | Sending | QuoteModel
StrategyClass = Callable[..., Strategy]
StrategyOrName = str | Strategy | StrategyClass | tuple[str | StrategyClass, Mapping[str, Any]]
