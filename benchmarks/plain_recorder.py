"""A straightforward recorder, as one would write it in an afternoon: the reference of `mm bench recorder`.

It records the same streams in the same kinds of files with standard means: json, Decimal prices in sorted lists, the
csv module, gzip files in append mode. It has no gap rule, no recovery, no ledger.

``python -m benchmarks.plain_recorder WS_URL REST_URL FOLDER`` records until SIGTERM and prints its message counts.
"""

import asyncio
import csv
import gzip
import json
import os
import signal
import sys
import time
import urllib.request
from bisect import bisect_left, insort
from decimal import Decimal
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

SYMBOL = "BTCUSDT"
TOP_N = 20
FLUSH_S = 5.0


class _Book:
    """Decimal prices, sorted, and their quantities."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.sides: tuple[dict[Decimal, Decimal], ...] = tuple(
            {Decimal(price): Decimal(qty) for price, qty in snapshot[side]} for side in ("bids", "asks")
        )
        self.prices = tuple(sorted(side) for side in self.sides)

    def change(self, update: dict[str, Any]) -> None:
        """Apply a depth message."""
        for side, prices, levels in zip(self.sides, self.prices, (update["b"], update["a"]), strict=True):
            for price_text, qty_text in levels:
                price, qty = Decimal(price_text), Decimal(qty_text)
                if qty:
                    if price not in side:
                        insort(prices, price)
                    side[price] = qty
                elif side.pop(price, None) is not None:
                    del prices[bisect_left(prices, price)]

    def top(self) -> list[Decimal]:
        """Return the best levels, bid and ask alternating."""
        bids, asks = self.prices
        cells = []
        for n in range(min(TOP_N, len(bids), len(asks))):
            bid, ask = bids[-1 - n], asks[n]
            cells += [bid, self.sides[0][bid], ask, self.sides[1][ask]]
        return cells


async def record(ws_url: str, rest_url: str, folder: Path) -> dict[str, int]:
    """Record until SIGTERM, and return the number of received messages of each kind."""
    counts = {"depth": 0, "trade": 0}
    frames_file = (folder / "frames.csv").open("w", newline="")
    trades_file = (folder / "trades.csv").open("w", newline="")
    diffs_file = gzip.open(folder / "diffs.ndjson.gz", "at", compresslevel=6)  # noqa: SIM115 - closed below
    frames, trades = csv.writer(frames_file), csv.writer(trades_file)
    name = SYMBOL.lower()
    async with connect(f"{ws_url}/stream?streams={name}@depth@100ms/{name}@trade", compression=None) as stream:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(stream.close()))
        with urllib.request.urlopen(f"{rest_url}/api/v3/depth") as answer:
            book = _Book(json.load(answer))
        flushed_s = time.monotonic()
        try:
            async for raw in stream:
                recv_us = time.time_ns() // 1000
                message = json.loads(raw)["data"]
                if message["e"] == "depthUpdate":
                    counts["depth"] += 1
                    diffs_file.write(json.dumps({"recv_us": recv_us, **message}) + "\n")
                    book.change(message)
                    frames.writerow([message["E"], recv_us, message["u"], *(f"{cell:f}" for cell in book.top())])
                else:
                    counts["trade"] += 1
                    trades.writerow([recv_us, *(message[key] for key in ("E", "T", "t", "p", "q", "m"))])
                if time.monotonic() - flushed_s > FLUSH_S:
                    for file in (frames_file, trades_file, diffs_file):
                        file.flush()
                        os.fsync(file.fileno())
                    flushed_s = time.monotonic()
        except ConnectionClosed:
            pass
    for file in (frames_file, trades_file, diffs_file):
        file.close()
    return counts


if __name__ == "__main__":
    print(json.dumps(asyncio.run(record(sys.argv[1], sys.argv[2], Path(sys.argv[3])))), flush=True)
