from mm.backtest.quotes.base import QuoteModel

class FixedSpread(QuoteModel):
    delta_ticks: float
    def __init__(self, *, delta_ticks: float) -> None: ...
