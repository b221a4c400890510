"""Order book of one symbol: levels ordered by integer keys, with the exchange's original decimal texts."""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any

from mm.instrument import e8
from mm.markets.records import level_cells

Level = tuple[str, str]
"""Price and quantity, as the exchange's own text."""

kernel: Any = None
"""The compiled levels, `_levels`; None if there was no compiler at installation.

Both implementations write the same bytes; set it to None before a session or a book is made to use plain Python.
"""
with suppress(ImportError):
    kernel = import_module("mm.markets._levels")


def read_packed(bids: Any, asks: Any) -> tuple[Any, Any] | None:
    """Return both sides' levels in the kernel's form; None without a kernel, or if a level has another format."""
    if kernel is None:
        return None
    sides = kernel.read_levels(bids), kernel.read_levels(asks)
    return None if None in sides else sides


class LocalOrderBook:
    def __init__(self, key: Callable[[str], int] = e8, *, in_e8: bool = False) -> None:
        side, self._cells = _PLAIN
        if in_e8 and kernel:
            side, self._cells = kernel.Side, kernel.cells
        self._key = key
        self._bids = side(key, 1)
        self._asks = side(key, -1)

    @classmethod
    def of(
        cls, bids: Sequence[Level], asks: Sequence[Level], key: Callable[[str], int] = e8, *, in_e8: bool = False
    ) -> "LocalOrderBook":
        book = cls(key, in_e8=in_e8)
        book.change(bids, asks)
        return book

    @property
    def compiled(self) -> tuple[Any, Any] | None:
        """Both sides, bids first, if a kernel keeps them."""
        return None if isinstance(self._bids, PlainSide) else (self._bids, self._asks)

    @property
    def takes_columns(self) -> bool:
        """Whether a kernel keeps the sides, with usual texts only."""
        return all(not isinstance(side, PlainSide) and not side.odd for side in (self._bids, self._asks))

    def apply(self, side: int, price: str, qty: str) -> None:
        """Set the quantity at *price* on *side* (+1 bid, -1 ask); zero removes the level."""
        level = ((price, qty),)
        self.change(*((level, ()) if side > 0 else ((), level)))

    def change(self, bids: Sequence[Level], asks: Sequence[Level]) -> bool:
        try:
            self._bids.change(bids)
            self._asks.change(asks)
        except OverflowError:  # only of a kernel: integers of plain Python are unbounded
            self._switch_to_plain()
            return self.change(bids, asks)
        bid, ask = self._bids.best, self._asks.best
        return bid is not None and ask is not None and bid >= -ask

    def best(self) -> tuple[int | None, int | None]:
        ask = self._asks.best
        return self._bids.best, None if ask is None else -ask

    def top(self, n: int) -> tuple[list[Level], list[Level]]:
        return self._bids.top(n), self._asks.top(n)

    def cells(self, n: int) -> str:
        text = self._cells(self._bids, self._asks, n)
        return level_cells(*self.top(n), n) if text is None else text

    def levels(self) -> tuple[list[Level], list[Level]]:
        return self.top(len(self))

    def sizes(self) -> tuple[int, int]:
        return len(self._bids), len(self._asks)

    def qty_at(self, side: int, key: int) -> str | None:
        return self._bids.qty_at(key) if side > 0 else self._asks.qty_at(-key)

    def levels_to(self, side: int, key: int) -> int:
        return self._bids.count_to(key) if side > 0 else self._asks.count_to(-key)

    def crossed(self) -> bool:
        bid, ask = self._bids.best, self._asks.best
        return bid is not None and ask is not None and bid >= -ask

    def differences(self, other: "LocalOrderBook", edges: tuple[int | None, int | None] = (None, None)) -> int:
        """The number of levels that differ within the depth of both.

        The depth of *other* ends at its last levels, this book's at the keys *edges* (bid, ask; None: its end).
        """
        bid, ask = edges
        return _differences(self._bids, other._bids, bid) + _differences(
            self._asks, other._asks, None if ask is None else -ask
        )

    def check(self) -> None:
        """Raise ValueError if an invariant is violated."""
        for side in (self._bids, self._asks):
            side.check()

    def __len__(self) -> int:
        return len(self._bids) + len(self._asks)

    def _switch_to_plain(self) -> None:
        held = self.levels()
        side, self._cells = _PLAIN
        self._bids, self._asks = side(self._key, 1), side(self._key, -1)
        self.change(*held)


class PlainSide:
    """Levels of one side by ascending keys: integer prices, negative for asks, so that the best is last."""

    __slots__ = ("_keys", "_levels", "_number", "_sign")

    def __init__(self, number: Callable[[str], int], sign: int) -> None:
        self._number = number
        self._sign = sign
        self._keys: list[int] = []
        self._levels: dict[int, Level] = {}

    @property
    def best(self) -> int | None:
        return self._keys[-1] if self._keys else None

    @property
    def last(self) -> int | None:
        return self._keys[0] if self._keys else None

    def change(self, changes: Iterable[Level]) -> None:
        keys, levels, number, sign = self._keys, self._levels, self._number, self._sign
        for price, qty in changes:
            key = sign * number(price)
            if qty.strip("0."):
                if key not in levels:
                    insort(keys, key)
                levels[key] = (price, qty)
            elif levels.pop(key, None):
                del keys[bisect_left(keys, key)]

    def top(self, n: int) -> list[Level]:
        levels = self._levels
        return [levels[key] for key in self._keys[: -n - 1 : -1]]

    def qty_at(self, key: int) -> str | None:
        level = self._levels.get(key)
        return level[1] if level else None

    def count_to(self, key: int) -> int:
        return len(self._keys) - bisect_left(self._keys, key)

    def quantities(self, key: int) -> dict[int, int]:
        return {near: e8(self._levels[near][1]) for near in self._keys[bisect_left(self._keys, key) :]}

    def check(self) -> None:
        keys, levels = self._keys, self._levels
        if any(low >= high for low, high in pairwise(keys)):
            raise ValueError(f"keys do not ascend: {keys}")
        if len(keys) != len(levels) or any(key not in levels for key in keys):
            raise ValueError(f"{len(keys)} keys for {len(levels)} levels")
        empty = [price for price, qty in levels.values() if not qty.strip("0.")]
        if empty:
            raise ValueError(f"empty levels were kept: {empty}")

    def __len__(self) -> int:
        return len(self._keys)


def _plain_cells(bids: PlainSide, asks: PlainSide, n: int) -> str:
    return level_cells(bids.top(n), asks.top(n), n)


def _differences(ours: PlainSide, theirs: PlainSide, edge: int | None) -> int:
    worst = theirs.last
    if worst is None:
        return 0
    last = worst if edge is None else max(edge, worst)
    held, other = ours.quantities(last), theirs.quantities(last)
    return sum(held.get(key) != other.get(key) for key in held.keys() | other.keys())


_PLAIN: tuple[Callable[[Callable[[str], int], int], PlainSide], Callable[[Any, Any, int], str | None]] = (
    PlainSide,
    _plain_cells,
)


_LEAST_SHARE = 10


@dataclass(frozen=True, slots=True)
class SnapshotDepth:
    """Depth of a snapshot, bids and asks: beyond its last level a book has only levels that changed later."""

    levels: tuple[int, int] = (0, 0)
    edges: tuple[int | None, int | None] = (None, None)

    @classmethod
    def of(cls, bids: Sequence[Level], asks: Sequence[Level], key: Callable[[str], int]) -> "SnapshotDepth":
        last_bid = min((key(price) for price, _ in bids), default=None)
        last_ask = max((key(price) for price, _ in asks), default=None)
        return cls((len(bids), len(asks)), (last_bid, last_ask))

    def horizons(self, limit: int) -> list[tuple[int, int]]:
        """The sides (+1 bid, -1 ask) that a snapshot of *limit* levels cut off, with their edges."""
        sides = zip((1, -1), self.levels, self.edges, strict=True)
        return [(side, edge) for side, levels, edge in sides if edge is not None and levels >= limit]

    def running_out(self, book: LocalOrderBook, limit: int, top_n: int) -> bool:
        """Whether the best *top_n* levels may soon be beyond the snapshot's depth.

        A side with fewer levels than *limit* is complete. Otherwise a tenth of the levels must be left between best
        price and edge, at least twice *top_n*, never more than half.
        """
        for side, edge in self.horizons(limit):
            levels = self.levels[side < 0]
            least = min(max(levels // _LEAST_SHARE, 2 * top_n), levels // 2)
            if book.levels_to(side, edge) < least:
                return True
        return False


_DOUBTS = 3


class SnapshotSanity:
    """Checks snapshots with an empty side: an empty market and a broken response look the same."""

    def __init__(self) -> None:
        self._empty = 0

    def needs_another(self, bids: Sequence[Level], asks: Sequence[Level]) -> bool:
        """The fourth consecutive one is accepted."""
        self._empty = 0 if bids and asks else self._empty + 1
        return 0 < self._empty <= _DOUBTS
