"""Random markets written as files of other formats by plain Python, and the books that a reader must find in them."""

import csv
import gzip
import random
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np

from captured import import_files
from mm import load_day
from named import kind_of

START_US = 1_709_647_200_000_000  # 2024-03-05 14:00 UTC, 09:00 in New York
TICK, STEP = Decimal("0.01"), Decimal("0.001")


@dataclass
class PlainMarket:
    """A market: messages of (µs, exchange's µs, kind, content), and the book after each of them."""

    seed: int
    length: int = 120
    start_us: int = START_US
    gap_us: int = 2_000_000
    prices: tuple[Decimal, Decimal] = (TICK, STEP)
    messages: list = field(default_factory=list)
    books: dict[int, tuple[dict, dict]] = field(default_factory=dict)
    trades: list = field(default_factory=list)

    def __post_init__(self):
        rng = random.Random(self.seed)
        tick, step = self.prices
        bids = {10_000 - n: rng.randint(1, 900) for n in range(1, 9)}
        asks = {10_000 + n: rng.randint(1, 900) for n in range(1, 9)}
        us = self.start_us
        self._note(us, us - 5_000, "snapshot", (dict(bids), dict(asks)), bids, asks)
        for _ in range(self.length):
            us += rng.randint(1_000, self.gap_us)
            late = rng.randint(500, 40_000)
            if rng.random() < 0.3:
                side = rng.choice((1, -1))
                price = min(asks) if side > 0 else max(bids)
                self.trades.append((us, side, price * tick, rng.randint(1, 500) * step))
                self.messages.append((us, us - late, "trade", self.trades[-1][1:]))
                continue
            changed = {}
            for _ in range(rng.randint(1, 4)):
                side, levels, other = rng.choice(((1, bids, asks), (-1, asks, bids)))
                edge = min(other) if side > 0 else max(other)
                price = edge - side * rng.randint(1, 12)
                if len(levels) > 3 and price in levels and rng.random() < 0.5:
                    del levels[price]
                    changed[side, price] = 0
                else:
                    levels[price] = changed[side, price] = rng.randint(1, 900)
            self._note(us, us - late, "depth", changed, bids, asks)

    def _note(self, us, exch_us, kind, content, bids, asks):
        tick, step = self.prices
        self.messages.append((us, exch_us, kind, content))
        self.books[us] = tuple({price * tick: qty * step for price, qty in side.items()} for side in (bids, asks))

    def rows(self):
        """Yield (µs, exchange's µs, kind, side, price, quantity), level by level."""
        tick, step = self.prices
        for us, exch_us, kind, content in self.messages:
            if kind == "trade":
                yield us, exch_us, kind, *content
            elif kind == "snapshot":
                for side, levels in ((1, content[0]), (-1, content[1])):
                    yield from ((us, exch_us, kind, side, price * tick, qty * step) for price, qty in levels.items())
            else:
                yield from ((us, exch_us, kind, side, p * tick, qty * step) for (side, p), qty in content.items())


def imported(form, paths, root, symbol="SIMUSDT", **options):
    """Import files; return the report."""
    arguments = {"tick_size": "0.01", "qty_step": "0.001"} | options
    return import_files(map(Path, paths), Path(root), symbol, form=form, **arguments)


def books_of(path):
    """Return the book of a day folder after the last message of each time, row by row; None in a gap."""
    tape = load_day(path)
    tick, lot = Decimal(tape.instrument.tick_e8) / 10**8, Decimal(tape.instrument.lot_e8) / 10**8
    book, books, trades = ({}, {}), {}, []
    for at in range(len(tape)):
        us, kind = int(tape.event_us[at]), kind_of(tape.kind[at])
        rows = range(tape.first_row[at], tape.first_row[at + 1])
        if kind == "trade":
            (row,) = rows
            trades.append((us, int(tape.row_side[row]), int(tape.row_ticks[row]) * tick, int(tape.row_lots[row]) * lot))
            continue
        if kind not in ("snapshot", "depth", "gap"):
            continue
        if kind != "depth":
            book = ({}, {})
        for row in rows:
            side = book[0] if tape.row_side[row] > 0 else book[1]
            price, qty = int(tape.row_ticks[row]) * tick, int(tape.row_lots[row]) * lot
            side[price] = qty
            if not qty:
                del side[price]
        books[us] = None if kind == "gap" else (dict(book[0]), dict(book[1]))
    return books, trades


def write_csv(path, header, rows):
    """Write a CSV, compressed if the name ends in .gz."""
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "wt", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if header:
            writer.writerow(header)
        writer.writerows(rows)
    return path


def write_hftbacktest(path, market, version=2):
    """Write a market as the arrays of hftbacktest: every row visible to both sides."""
    buy, sell, both = 1 << 29, 1 << 28, (1 << 31) | (1 << 30)
    codes = {"depth": 1, "trade": 2, "snapshot": 4}
    rows = list(market.rows())
    if version == 1:
        data = np.array([(codes[k], exch, us, side, float(p), float(q)) for us, exch, k, side, p, q in rows])
    else:
        names = [("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8")]
        dtype = np.dtype([*names, ("order_id", "u8"), ("ival", "i8"), ("fval", "f8")], align=True)
        cells = [
            (codes[k] | both | (buy if side > 0 else sell), exch * 1000, us * 1000, float(p), float(q), 0, 0, 0.0)
            for us, exch, k, side, p, q in rows
        ]
        data = np.array(cells, dtype)
    np.savez_compressed(path, data=data)
    return path


def write_tardis(folder, market, exchange="binance", symbol="SIMUSDT", packed=""):
    """Write a market as incremental_book_L2 and trades."""
    common = (exchange, symbol)
    book, trades = [], []
    for us, exch, kind, side, price, qty in market.rows():
        if kind == "trade":
            trades.append((*common, exch, us, len(trades) + 77, "buy" if side > 0 else "sell", price, qty))
        else:
            snapshot = "true" if kind == "snapshot" else "false"
            book.append((*common, exch, us, snapshot, "bid" if side > 0 else "ask", price, qty))
    head = ("exchange", "symbol", "timestamp", "local_timestamp")
    return (
        write_csv(folder / f"book.csv{packed}", (*head, "is_snapshot", "side", "price", "amount"), book),
        write_csv(folder / f"trades.csv{packed}", (*head, "id", "side", "price", "amount"), trades),
    )
