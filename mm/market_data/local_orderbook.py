"""The book of one symbol, implemented in `mm.markets.local_orderbook`."""

from mm.markets.local_orderbook import LocalOrderBook, SnapshotDepth, SnapshotSanity

__all__ = ["LocalOrderBook", "SnapshotDepth", "SnapshotSanity"]
