from mm.backtest.fills.base import FillModel
from mm.backtest.quotes.base import QuoteModel
from mm.backtest.rules import Rules

class Venue:
    def __init__(self, quotes: QuoteModel, fills: FillModel, rules: Rules) -> None: ...
