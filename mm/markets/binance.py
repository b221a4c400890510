"""The markets of Binance that are recorded, played and traded."""

from mm.markets.market import Market
from mm.markets.sequence import CONTIGUOUS, LINKED

_COIN_M = r"USD_(PERP|\d{6})$"

SPOT = Market(
    name="spot",
    venue="binance-spot",
    title="Binance Spot",
    rule=CONTIGUOUS,
    inverse=_COIN_M,
    recorded_as=("BINANCE", "BINANCE_US"),
    feed_at="mm.markets.binance_spot:BINANCE_SPOT",
    account_at="mm.live.venues.binance_spot:SpotAccount",
    box_at="mm.sim.wire.spot:make",
)
USDM = Market(
    name="usdm",
    venue="binance-usdm",
    title="Binance USD-M futures",
    contract=True,
    best_prices=True,
    rule=LINKED,
    matched_times=True,
    inverse=_COIN_M,
    recorded_as=("BINANCE_FUTURES",),
    feed_at="mm.markets.binance_usdm:BINANCE_USDM",
    account_at="mm.live.venues.binance_usdm:UsdmAccount",
    box_at="mm.sim.wire.usdm.market:UsdmMarket",
)
