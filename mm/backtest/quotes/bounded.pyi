from mm.backtest.quotes.distances import Distances

DEFAULT_BOUND: float

class Bounded(Distances): ...
