"""An exchange with a few levels and without a socket: all its past books, and its messages as bytes."""

import json
import random

from mm.sim.exchange.truth import TrueTrade

SYMBOL = "SIMUSDT"
_MID_TICKS = 10_000
_REACH = 14


class TinyExchange:
    """A book that changes at random, id by id, and trades; reproducible by seed.

    Attributes:
        us: Its time in µs.
        last_id: The newest update id.
    """

    def __init__(self, seed: int, us: int, first_id: int = 1_000) -> None:
        self._luck = random.Random(seed)
        self._book: tuple[dict[int, str], dict[int, str]] = (
            {_MID_TICKS - n: f"{n}.50000000" for n in range(1, 9)},
            {_MID_TICKS + n: f"{n}.25000000" for n in range(1, 9)},
        )
        self.us = us
        self.last_id = self._first_id = first_id
        self._books = {self.last_id: self._levels()}
        self._trades: list[TrueTrade] = []

    def advance(self) -> list[bytes]:
        """Advance by 100 ms; return a depth message and up to two trades."""
        luck, first = self._luck, self.last_id + 1
        self.us += 100_000
        changed: tuple[dict[str, str], dict[str, str]] = ({}, {})
        for _ in range(luck.randrange(1, 5)):
            side = luck.randrange(2)
            ticks = _MID_TICKS + luck.randrange(1, _REACH) * (1 if side else -1)
            qty = "0.00000000" if luck.random() < 0.4 else f"{luck.randrange(1, 900)}.00000000"
            if qty.startswith("0.") and len(self._book[side]) < 3:
                qty = "1.00000000"
            changed[side][_price(ticks)] = qty
            if qty.startswith("0."):
                self._book[side].pop(ticks, None)
            else:
                self._book[side][ticks] = qty
            self.last_id += 1
            self._books[self.last_id] = self._levels()
        bids, asks = ([[price, qty] for price, qty in side.items()] for side in changed)
        update = {"e": "depthUpdate", "E": self.us, "s": SYMBOL, "U": first, "u": self.last_id, "b": bids, "a": asks}
        return [_framed("depth@100ms", update), *(self._trade() for _ in range(luck.randrange(3)))]

    def snapshot(self, back: int = 0) -> bytes:
        """Return the REST depth answer as of *back* ids ago."""
        last_id = max(self._first_id, self.last_id - back)
        bids, asks = self._books[last_id]
        return json.dumps({"lastUpdateId": last_id, "bids": bids, "asks": asks}).encode()

    def book(self, update_id: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Return the true book at an id."""
        return self._books[update_id]

    def trades(self, first_id: int, last_id: int) -> list[TrueTrade]:
        """Return the true trades of these ids."""
        return self._trades[first_id - 1 : last_id]

    def _trade(self) -> bytes:
        price, qty = _price(_MID_TICKS + 1), f"{self._luck.randrange(1, 90)}.00000000"
        trade = TrueTrade(len(self._trades) + 1, self.us, price, qty, False)
        self._trades.append(trade)
        fields = {"e": "trade", "E": self.us, "s": SYMBOL, "t": trade.trade_id, "p": price, "q": qty, "T": self.us}
        return _framed("trade", {**fields, "m": False, "M": True})

    def _levels(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        bids, asks = self._book
        return (
            [(_price(ticks), bids[ticks]) for ticks in sorted(bids, reverse=True)],
            [(_price(ticks), asks[ticks]) for ticks in sorted(asks)],
        )


def _price(ticks: int) -> str:
    return f"{ticks // 100}.{ticks % 100:02}000000"


def _framed(stream: str, payload: dict[str, object]) -> bytes:
    """Return a message in the exchange's compact JSON form."""
    return json.dumps({"stream": f"{SYMBOL.lower()}@{stream}", "data": payload}, separators=(",", ":")).encode()
