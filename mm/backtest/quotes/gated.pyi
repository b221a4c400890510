from mm.backtest.fills.intensity import Intensity
from mm.backtest.quotes.base import QuoteModel

class Gated(QuoteModel):
    inner: QuoteModel
    def __init__(self, inner: object, intensity: Intensity) -> None: ...
