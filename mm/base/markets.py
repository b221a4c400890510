"""The names of Binance's markets, as ``MARKET`` and ``OTHERS`` give them."""

SPOT, USDM = "spot", "usdm"
MARKETS = (SPOT, USDM)
