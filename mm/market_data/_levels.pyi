# Generated from mm/market_data/_levels.pyx by `make stubs`; edit that file instead.

"""Levels and the sides of a book as whole numbers, without an object a level; `local_orderbook` has the plain twin.

Why compiled: a busy symbol changes some 46 levels in a message, and a recorder reads, checks, orders and writes each
(``python -m mm.bench recorder``). Only what the exchanges usually write is understood here, decimals of up to eight
places of at most 64 bits: number and places are such a text. All else is left to the plain twin, or kept as text.
"""

from collections.abc import Callable, Iterable
from typing import Self, final

import msgspec

@final
class Levels:
    """Levels of one side of a depth message, in its order: a sequence of texts of price and quantity.

    Attributes:
        json: As they came.
        step_e8: Greatest common divisor of the prices, in 1e-8; 0 without a level.
        lot_e8: That of the quantities, but for the one that the exchange shows where more rests; 0 without any.
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
        """Return *side*, ticks and lots of each level on the tick; None where one of those has no whole lots.

        Args:
            side: Stands in each row as it is.
            tick_e8: Price step, in 1e-8; above 0.
            lot_e8: Quantity step, in 1e-8; above 0.
        """

def read_levels(json: msgspec.Raw | bytes) -> Levels | None:
    """Return the levels of a JSON array; None where they are not written as the exchange does, or a price is zero.

    Args:
        json: Its bytes (``bytes``, ``msgspec.Raw``).
    """

class Side:
    """The levels of one side; keys are the prices in 1e-8, of asks negative, so that the best is the greatest.

    They stand in order, the best last, with room before and behind them: a change moves what is shorter.

    Args:
        number: Returns a price in 1e-8; its errors pass through.
        sign: 1 of bids, -1 of asks.

    Every method that takes texts raises OverflowError where a price has more than 64 bits.
    """
    def __new__(cls, number: Callable[[str], int], sign: int) -> Self: ...
    def change(self, changes: Iterable[tuple[str, str]]) -> None:
        """Set the quantities of *changes*, texts of price and quantity; zero removes a level."""
    def top(self, n: int) -> list[tuple[str, str]]:
        """Return up to *n* levels, the best first."""
    @property
    def best(self) -> int | None:
        """Key of the best level; None without one."""
    @property
    def last(self) -> int | None:
        """That of the last level."""
    def qty_at(self, key: int) -> str | None:
        """Return the quantity of the level *key*; None where there is none."""
    def count_to(self, key: int) -> int:
        """Return how many levels stand from the best to *key*, both included."""
    def quantities(self, key: int) -> dict[int, int]:
        """Return the quantities, in 1e-8, of the levels from the best to *key*."""
    def check(self) -> None:
        """Raise ValueError where the side is not what it must be: ordered, without empty levels, each text its own."""
    def __len__(self) -> int: ...

def cells(bids: Side, asks: Side, n: int) -> str | None:
    """Return the cells of the best *n* levels, bid and ask by turns, a missing one empty; None where texts are odd."""
