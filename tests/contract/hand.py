"""A handmade raw capture: a small, seeded market with the faults of a real connection.

Symbol WILDUSDT, tick 0.0005, from 08:00 Berlin time on 20260105. The spread varies between 1 and 6 ticks. The capture
contains diffs that arrive while a snapshot is in flight, a stale diff, an id gap with a later snapshot, a clock that
steps back, a duplicate trade, a line that is not JSON, messages of other streams, and sweeps over several levels.
"""

import json
from decimal import Decimal
from functools import cache
from random import Random

SYMBOL = "WILDUSDT"
TICK = Decimal("0.0005")
T0 = 1767596400_000000
MIDNIGHT = 1767654000_000000
Levels = dict[int, int]


def line(us: int, message: object) -> str:
    """Return one line of a capture: receive time in microseconds, and JSON."""
    return f"{us} {json.dumps(message)}"


def price(ticks: int) -> str:
    """Return a price in the format of the exchange."""
    return f"{ticks * TICK:.8f}"


def qty(thousandths: int) -> str:
    """Return a quantity in the format of the exchange."""
    return f"{Decimal(thousandths) / 1000:.8f}"


def snapshot(us: int, last_id: int, bids: list[list[str]], asks: list[list[str]]) -> str:
    """Return a REST depth response."""
    return line(us, {"lastUpdateId": last_id, "bids": bids, "asks": asks})


def diff(us: int, first: int, last: int, bids: list[list[str]], asks: list[list[str]], symbol: str = SYMBOL) -> str:
    """Return a depth update."""
    data = {"e": "depthUpdate", "E": us // 1000 - 3, "s": symbol, "U": first, "u": last, "b": bids, "a": asks}
    return line(us, {"stream": f"{symbol.lower()}@depth@100ms", "data": data})


def trade(us: int, number: int, at: str, size: str, *, seller: bool, t_ms: int = 0, symbol: str = SYMBOL) -> str:
    """Return a trade; *seller* means that the aggressor sold."""
    when = t_ms or us // 1000 - 3
    data = {
        "e": "trade",
        "E": when + 1,
        "s": symbol,
        "t": number,
        "p": at,
        "q": size,
        "T": when,
        "m": seller,
    }
    return line(us, {"stream": f"{symbol.lower()}@trade", "data": data})


def small(prints: int = 120, symbol: str = "TINYUSDT") -> list[str]:
    """Return one minute of a book with constant prices: one diff and one trade every half second."""
    bids, asks = ([[f"{100 + side * n / 100:.2f}", "5.000"] for n in range(1, 11)] for side in (-1, 1))
    lines = [snapshot(T0, 100, bids, asks)]
    for n in range(prints):
        us = T0 + (n + 1) * 500_000
        lines.append(
            diff(us, 101 + n, 101 + n, [["99.99", f"{5 + n % 3}.000"]], [["100.01", f"{4 + n % 3}.000"]], symbol)
        )
        at = "99.99" if n % 2 else "100.01"
        lines.append(trade(us + 100_000, 1000 + n, at, "0.500", seller=bool(n % 2), symbol=symbol))
    return lines


class Wild:
    """The exchange that produces the capture: a book in ticks, redrawn around a moving mid."""

    def __init__(self, seed: int, minutes: int, start: int) -> None:
        self.draw = Random(seed)
        self.us, self.end = start, start + minutes * 60_000_000
        self.bid, self.ask = 2000, 2003
        self.bids = {2000 - n: 4000 + n for n in range(30)}
        self.asks = {2003 + n: 4000 + n for n in range(30)}
        self.id, self.trade_id = 5000, 77000
        self.lines: list[str] = []

    def levels(self, side: Levels) -> list[list[str]]:
        """Return a side as rows of strings."""
        return [[price(ticks), qty(size)] for ticks, size in sorted(side.items())]

    def snapshot(self) -> None:
        """Write a REST response with the current book, which arrives after two more diffs."""
        taken = self.id, self.levels(self.bids)[::-1], self.levels(self.asks)
        self.step()
        self.step()
        self.us += 60_000
        self.lines.append(snapshot(self.us, *taken))

    def step(self) -> None:
        """Move the best prices, redraw the top of the book, and write the diff."""
        self.us += self.draw.randrange(80_000, 400_000)
        self.bid += self.draw.choice((-1, 0, 0, 0, 1))
        self.ask = max(self.bid + 1, min(self.bid + 6, self.ask + self.draw.choice((-1, 0, 0, 0, 1))))
        bids = {self.bid - n: self.draw.randrange(1, 9000) for n in range(3)} | {
            ticks: 0 for ticks in self.bids if ticks > self.bid
        }
        asks = {self.ask + n: self.draw.randrange(1, 9000) for n in range(3)} | {
            ticks: 0 for ticks in self.asks if ticks < self.ask
        }
        for side, changes in ((self.bids, bids), (self.asks, asks)):
            side.update(changes)
            for ticks in [ticks for ticks, size in changes.items() if not size]:
                del side[ticks]
        first, self.id = self.id + 1, self.id + self.draw.randrange(1, 6)
        self.lines.append(diff(self.us, first, self.id, self.levels(bids), self.levels(asks)))

    def sweep(self) -> None:
        """Write the prints of one aggressive order: several levels, one trade time, sometimes two prints at a price."""
        seller = self.draw.random() < 0.5
        when = self.us // 1000
        for depth in range(min(8, int(self.draw.expovariate(0.7)) + 1)):
            self.us += self.draw.randrange(0, 300)
            at = self.bid - depth if seller else self.ask + depth
            for _ in range(self.draw.choice((1, 1, 2))):
                self.trade_id += 1
                size = qty(self.draw.randrange(1, 6000))
                self.lines.append(trade(self.us, self.trade_id, price(at), size, seller=seller, t_ms=when))


@cache
def wild(seed: int = 5, minutes: int = 20, start: int = T0) -> list[str]:
    """Return the lines of the wild capture."""
    market = Wild(seed, minutes, start)
    market.step()
    market.snapshot()
    market.lines.append(f"{market.us} {market.lines[0].split(' ', 1)[1]}")  # a stale diff
    third = start + minutes * 20_000_000
    broken = healed = stepped = False
    while market.us < market.end:
        market.step()
        if market.draw.random() < 0.5:
            market.sweep()
        if not broken and market.us > third:
            broken, lost = True, len(market.lines)
            market.step()
            del market.lines[lost]
        if broken and not healed and market.us > third + 30_000_000:
            healed = True
            market.snapshot()
        if not stepped and market.us > 2 * third - start:
            stepped = True
            market.us -= 700_000
    trade_lines = [number for number, text in enumerate(market.lines) if "@trade" in text]
    market.lines.insert(trade_lines[50] + 1, market.lines[trade_lines[50]])
    market.lines.insert(trade_lines[90], f"{market.lines[trade_lines[90]].split()[0]} {{not json")
    market.lines.insert(
        trade_lines[120], market.lines[trade_lines[120]].replace(SYMBOL, "OTHERUSDT").replace("wildusdt", "otherusdt")
    )
    return market.lines
