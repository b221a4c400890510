"""One symbol's book in plain Python: whole numbers order it, and the exchange's own texts stay as they came.

The recorder and the import keep their book in it, and the compiled book of the backtest is tested against it.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable

from mm.instrument import e8

Level = tuple[str, str]
"""Price and quantity, the exchange's own text."""


class LocalOrderBook:
    """Price levels of both sides.

    A change costs a dictionary entry and, where a level comes or goes, a shift in a sorted list that is short near the
    best price; reading the best levels costs the same in a thin book and in a deep one.

    Args:
        key: Turns price text into the whole number that orders it: 1e-8 of the quote asset, or ``Instrument.ticks``.
            Equal prices need equal numbers. Its errors pass through, and the level is then not applied.
    """

    def __init__(self, key: Callable[[str], int] = e8) -> None:
        self._key = key
        self._bids = _Side()
        self._asks = _Side()

    @classmethod
    def of(cls, bids: Iterable[Level], asks: Iterable[Level], key: Callable[[str], int] = e8) -> "LocalOrderBook":
        """Return the book of a snapshot's levels, given in any order."""
        book = cls(key)
        book.change(bids, asks)
        return book

    def apply(self, side: int, price: str, qty: str) -> None:
        """Set the quantity at *price* on *side* (+1 bid, -1 ask); zero removes the level."""
        if side > 0:
            self._bids.change(self._key, 1, ((price, qty),))
        else:
            self._asks.change(self._key, -1, ((price, qty),))

    def change(self, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Set the levels of an update, as `apply` does."""
        self._bids.change(self._key, 1, bids)
        self._asks.change(self._key, -1, asks)

    def best(self) -> tuple[int | None, int | None]:
        """Return the best bid and ask as the numbers of *key*; None where a side is empty."""
        bids, asks = self._bids.keys, self._asks.keys
        return (bids[-1] if bids else None, -asks[-1] if asks else None)

    def top(self, n: int) -> tuple[list[Level], list[Level]]:
        """Return up to *n* levels a side, bids and asks, each best first."""
        return self._bids.top(n), self._asks.top(n)

    def levels(self) -> tuple[list[Level], list[Level]]:
        """Return all levels, bids and asks, each best first."""
        return self.top(len(self))

    def sizes(self) -> tuple[int, int]:
        """Return how many levels are known, bids and asks."""
        return len(self._bids.keys), len(self._asks.keys)

    def qty_at(self, side: int, key: int) -> str | None:
        """Return the quantity at the price of number *key* on *side*; None where there is no such level."""
        level = self._bids.levels.get(key) if side > 0 else self._asks.levels.get(-key)
        return level[1] if level else None

    def levels_to(self, side: int, key: int) -> int:
        """Return how many levels of *side* stand from the best price to the one of number *key*, both included."""
        keys = self._bids.keys if side > 0 else self._asks.keys
        return len(keys) - bisect_left(keys, key if side > 0 else -key)

    def crossed(self) -> bool:
        """Tell whether the best bid is at or above the best ask: no exchange shows such a book."""
        bids, asks = self._bids.keys, self._asks.keys
        return bool(bids and asks) and bids[-1] >= -asks[-1]

    def differences(self, other: "LocalOrderBook", edges: tuple[int | None, int | None] = (None, None)) -> int:
        """Return how many levels differ from those of *other*, no further than both reach.

        *other* reaches to the last level of a side, this book to the price of number *edges* (bid, ask; None: its end).
        """
        bid, ask = edges
        return self._bids.differences(other._bids, bid) + self._asks.differences(
            other._asks, None if ask is None else -ask
        )

    def check(self) -> None:
        """Raise ValueError where the book is not what it must be: ordered, without empty levels, one key each."""
        for side in (self._bids, self._asks):
            side.check()

    def __len__(self) -> int:
        return len(self._bids.keys) + len(self._asks.keys)


class _Side:
    """Levels by key; the keys ascend and the best price is last, where a list is cheap to change."""

    __slots__ = ("keys", "levels")

    def __init__(self) -> None:
        self.keys: list[int] = []
        self.levels: dict[int, Level] = {}

    def change(self, number: Callable[[str], int], sign: int, changes: Iterable[Level]) -> None:
        keys, levels = self.keys, self.levels
        for price, qty in changes:
            key = sign * number(price)
            if qty.strip("0."):
                if key not in levels:
                    insort(keys, key)
                levels[key] = (price, qty)
            elif levels.pop(key, None):
                del keys[bisect_left(keys, key)]

    def top(self, n: int) -> list[Level]:
        levels = self.levels
        return [levels[key] for key in self.keys[: -n - 1 : -1]]

    def differences(self, other: "_Side", edge: int | None) -> int:
        if not other.keys:
            return 0
        last = other.keys[0] if edge is None else max(edge, other.keys[0])
        ours, theirs = (
            {key: e8(side.levels[key][1]) for key in side.keys[bisect_left(side.keys, last) :]}
            for side in (self, other)
        )
        return sum(ours.get(key) != theirs.get(key) for key in ours.keys() | theirs.keys())

    def check(self) -> None:
        if any(low >= high for low, high in zip(self.keys, self.keys[1:], strict=False)):
            raise ValueError(f"keys do not ascend: {self.keys}")
        if len(self.keys) != len(self.levels) or any(key not in self.levels for key in self.keys):
            raise ValueError(f"{len(self.keys)} keys for {len(self.levels)} levels")
        empty = [price for price, qty in self.levels.values() if not qty.strip("0.")]
        if empty:
            raise ValueError(f"empty levels were kept: {empty}")
