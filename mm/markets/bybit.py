"""The markets of Bybit that are recorded and played: linear contracts and Spot.

Known from the exchange's documents and its frames: snapshots come in the stream, each replaces the book; a book shows
its best levels only; a print has the number (`seq`) of the change it caused, or of one before. Assumed, since every
recorded frame does so and no document says it: a change has the id after the one before it.
"""

from mm.markets.market import Market
from mm.markets.sequence import FROM_STREAM
from mm.markets.trade_ids import TradeNumbers

BOOK_DEPTHS = 200, 50, 1_000
_FRAMES = r'"topic"\s*:\s*"(orderbook|publicTrade|tickers)\.'

LINEAR = Market(
    name="bybit",
    venue="bybit-linear",
    title="Bybit linear contracts",
    contract=True,
    rule=FROM_STREAM,
    matched_times=True,
    sequenced=True,
    trade_numbers=TradeNumbers.TEXT,
    book_depths=BOOK_DEPTHS,
    fees=("0.0002", "0.00055"),
    recorded_as=("BYBIT",),
    frames=_FRAMES,
    connections="/v5/public/linear|category=linear",
    feed_at="mm.markets.bybit_stream:BYBIT_LINEAR",
    box_at="mm.sim.wire.bybit.market:linear",
)
SPOT = Market(
    name="bybit-spot",
    venue="bybit-spot",
    title="Bybit Spot",
    rule=FROM_STREAM,
    matched_times=True,
    sequenced=True,
    trade_numbers=TradeNumbers.UNDOCUMENTED,
    book_depths=BOOK_DEPTHS,
    fees=("0.001", "0.001"),
    recorded_as=("BYBIT",),
    frames=_FRAMES,
    connections="/v5/public/spot|category=spot",
    feed_at="mm.markets.bybit_stream:BYBIT_SPOT",
    box_at="mm.sim.wire.bybit.market:spot",
)
