# Generated from mm/market_data/_levels.pyx by `make stubs`; edit that file instead.

"""Levels and book sides as integers, without one object per level; the Python version is in `local_orderbook`.

Why compiled: a busy symbol changes some 46 levels per message, and a recorder parses, checks, orders and writes each
(``python -m mm.bench recorder``). Only the usual format of the exchanges is handled here, decimals of up to eight
places in 64 bits: number and places determine the text. Everything else is left to the Python version, or kept as text.
"""

from collections.abc import Callable, Iterable
from typing import Self, final

import msgspec

@final
class Levels:
    """Levels of one side of a depth message, in its order: a sequence of texts of price and quantity.

    Attributes:
        json: Their JSON text.
        step_e8: Greatest common divisor of the prices, in 1e-8; 0 without a level.
        lot_e8: The same for the quantities, except the largest one that the exchange can display; 0 without any.
    """
    @property
    def json(self) -> msgspec.Raw: ...
    @property
    def step_e8(self) -> int: ...
    @property
    def lot_e8(self) -> int: ...
    def __len__(self) -> int: ...
    def __getitem__(self, at: int, /) -> tuple[str, str]: ...
    def on_grid(self, side: int, tick_e8: int, lot_e8: int) -> list[tuple[int, int, int]] | None:
        """Return *side*, ticks and lots of each level on the tick; None if one of these is not in whole lots.

        Args:
            side: Copied into each row.
            tick_e8: Price step, in 1e-8; above 0.
            lot_e8: Quantity step, in 1e-8; above 0.
        """

def read_levels(json: msgspec.Raw | bytes) -> Levels | None:
    """Return the levels of a JSON array; None if the format differs from the exchange's, or a price is zero.

    Args:
        json: The array as bytes (``bytes``, ``msgspec.Raw``).
    """

class Side:
    """The levels of one side; keys are the prices in 1e-8, negative for asks, so that the best is the greatest.

    They are in order, the best last, with free space before and after them: a change moves the shorter part.

    Args:
        number: Returns a price in 1e-8; its exceptions propagate.
        sign: 1 for bids, -1 for asks.

    Every method with text arguments raises OverflowError if a price has more than 64 bits.
    """
    def __new__(cls, number: Callable[[str], int], sign: int) -> Self: ...
    def change(self, changes: Iterable[tuple[str, str]]) -> None:
        """Set the quantities of *changes*, texts of price and quantity; zero removes a level."""
    def top(self, n: int) -> list[tuple[str, str]]:
        """Return up to *n* levels, the best first."""
    @property
    def best(self) -> int | None:
        """Key of the best level; None without levels."""
    @property
    def last(self) -> int | None:
        """Key of the last level; None without levels."""
    def qty_at(self, key: int) -> str | None:
        """Return the quantity of the level *key*; None if there is none."""
    def count_to(self, key: int) -> int:
        """Return the number of levels from the best to *key*, both included."""
    def quantities(self, key: int) -> dict[int, int]:
        """Return the quantities, in 1e-8, of the levels from the best to *key*."""
    def check(self) -> None:
        """Raise ValueError if an invariant is violated: ordered keys, no empty levels, consistent texts."""
    def __len__(self) -> int: ...

def cells(bids: Side, asks: Side, n: int) -> str | None:
    """Return the cells of the best *n* levels, alternating bid and ask, empty for missing ones; None for odd texts."""
