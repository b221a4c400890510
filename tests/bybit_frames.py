"""Frames of Bybit, made: a book that moves, its prints, and what a subscription sends; and a replay of one's own."""

import json
import random
from decimal import Decimal

SYMBOL, BEGIN_MS = "SIMUSDT", 1_786_000_000_000


def frame(topic, kind, ts, data, **more):
    """Return a frame as text."""
    return json.dumps({"topic": topic, "type": kind, "ts": ts, "data": data, **more}, separators=(",", ":"))


class BybitMarket:
    """A book of *depth* levels a side that slides with the price; linear ids of prints are texts, Spot's count."""

    def __init__(self, seed, *, depth=50, linear=True, symbol=SYMBOL):
        self.draw, self.depth, self.linear, self.symbol = random.Random(seed), depth, linear, symbol
        self.u, self.seq, self.ms, self.print_id = 1_000, 500_000, BEGIN_MS, 2_290_000
        self.mid = 10_000
        self.whole = {1: {}, -1: {}}
        for side in self.whole:
            for level in range(1, 3 * depth):
                if self.draw.random() < 0.8 or level < 3:
                    self.whole[side][self.mid - side * level] = self.draw.randrange(1, 90)
        self.shown = self.window()

    def window(self):
        """Return the best levels, as the exchange shows them."""
        return {
            side: dict(sorted(levels.items(), reverse=side == 1)[: self.depth]) for side, levels in self.whole.items()
        }

    def texts(self, side):
        """Return a shown side's levels as texts, best first."""
        return [[price(ticks), qty(lots)] for ticks, lots in self.shown[side].items()]

    def book(self):
        """Return the shown book as decimals, for comparison."""
        return {
            side: [(Decimal(price(ticks)), Decimal(qty(lots))) for ticks, lots in levels.items()]
            for side, levels in self.shown.items()
        }

    def topic(self):
        return f"orderbook.{self.depth}.{self.symbol}"

    def snapshot(self):
        """Tell the whole book, as after a subscription."""
        data = {"s": self.symbol, "b": self.texts(1), "a": self.texts(-1), "u": self.u, "seq": self.seq}
        return frame(self.topic(), "snapshot", self.ms + 2, data, cts=self.ms)

    def restart(self):
        """Begin the ids again."""
        self.u = 1
        return self.snapshot()

    def delta(self):
        """Change some levels, and tell what the window shows differently."""
        self.ms += 100
        self.u += 1
        self.seq += self.draw.randrange(1, 900)
        for _ in range(self.draw.randrange(1, 6)):
            side = self.draw.choice((1, -1))
            best, other = (max(self.whole[1]), min(self.whole[-1]))[::side]
            ticks = best + side * self.draw.choice((1, 0, 0, -1, -2, -5, -20))
            if side * (other - ticks) <= 0:
                continue
            if self.draw.random() < 0.4 and len(self.whole[side]) > self.depth + 5:
                self.whole[side].pop(ticks, None)
            else:
                self.whole[side][ticks] = self.draw.randrange(1, 90)
        return self.told()

    def told(self):
        """Return the frame of what the window shows differently from before."""
        before, self.shown = self.shown, self.window()
        sides = {}
        for side, name in ((1, "b"), (-1, "a")):
            old, new = before[side], self.shown[side]
            changed = [(ticks, new.get(ticks, 0)) for ticks in {*old, *new} if old.get(ticks) != new.get(ticks)]
            sides[name] = [[price(ticks), qty(lots)] for ticks, lots in sorted(changed, reverse=side == 1)]
        data = {"s": self.symbol, **sides, "u": self.u, "seq": self.seq}
        return frame(self.topic(), "delta", self.ms + 2, data, cts=self.ms)

    def prints(self, count=1, *, rpi=False, block=False):
        """Return a frame of *count* prints of a taker, which the next change contains."""
        buys = self.draw.random() < 0.5
        best = min(self.whole[-1]) if buys else max(self.whole[1])
        self.seq += 1
        rows = []
        for _ in range(count):
            self.print_id += 1
            name = f"{self.draw.getrandbits(64):016x}-{self.print_id}" if self.linear else str(self.print_id)
            row = {"T": self.ms + 20, "s": self.symbol, "S": "Buy" if buys else "Sell", "v": qty(1), "p": price(best)}
            rows.append({**row, "L": "PlusTick", "i": name, "BT": block, "RPI": rpi, "seq": self.seq})
        return frame(f"publicTrade.{self.symbol}", "snapshot", self.ms + 21, rows)


def price(ticks):
    return f"{ticks / 10:.2f}"


def qty(lots):
    return "0" if not lots else f"{lots / 1000:.3f}"


class OwnReplay:
    """A replay of frames that shares nothing with the product: the book, None where ids do not prove one."""

    def __init__(self):
        self.u, self.sides, self.prints = None, None, []

    def take(self, text):
        """Apply a frame of the book, or keep its prints."""
        told = json.loads(text)
        data = told.get("data")
        if told.get("topic", "").startswith("publicTrade"):
            self.prints += data
        elif told.get("topic", "").startswith("orderbook"):
            self._book(told["type"], data)

    def _book(self, kind, data):
        if kind == "snapshot":
            self.u, self.sides = data["u"], ({}, {})
        elif self.u is None or (data["u"] > self.u + 1):
            self.u = self.sides = None
            return
        elif data["u"] <= self.u:
            return
        self.u = data["u"]
        for side, rows in zip(self.sides, (data["b"], data["a"]), strict=True):
            for text, lots in rows:
                side.pop(Decimal(text), None)
                if Decimal(lots):
                    side[Decimal(text)] = Decimal(lots)

    def book(self):
        """Return both sides, best first; None without a book."""
        if self.sides is None:
            return None
        bids, asks = self.sides
        return {1: sorted(bids.items(), reverse=True), -1: sorted(asks.items())}
