"""The registry of markets: a new one is a declaration and a line here, or `MARKETS.add` in a module of one's own."""

from mm.markets.binance import SPOT, USDM
from mm.markets.bybit import LINEAR as BYBIT
from mm.markets.bybit import SPOT as BYBIT_SPOT
from mm.markets.market import Markets

MARKETS = Markets(SPOT, USDM, BYBIT, BYBIT_SPOT)
"""Markets by their name in ``MARKET``."""
DEFAULT = SPOT
"""The market of a day, a knob or a log that names none: the first versions knew no other."""
