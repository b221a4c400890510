"""Decimal texts of one symbol as whole numbers, checked once each, and the steps they turn out to be multiples of."""

from collections.abc import Callable, Collection, Iterable, Sequence
from math import gcd
from pathlib import Path
from typing import Any

import msgspec

from mm.errors import BrokenFile, OffGrid
from mm.instrument import e8, from_exchange_info
from mm.market_data.local_orderbook import Level

REMEMBERED_TEXTS = 200_000


class Grid:
    """Prices and quantities in 1e-8, remembered by their text: the same few thousand come again and again.

    Args:
        tick_e8: The price step, where it is known.
        derives_steps: Whether `seen_step_e8` is wanted; without it, quantities are checked many at a time.

    Attributes:
        tick_e8: The price step that prices must be multiples of; None while it is not known.
        seen_tick_e8: Greatest common divisor of all prices so far; 0 before the first.
        seen_step_e8: That of all quantities, where steps are derived.
        all_on_tick: Whether no price so far was off the known tick, or none is known.
        price: Returns a price in 1e-8; raises OffGrid where the text is no decimal above zero.
        qty: Returns a quantity in 1e-8; raises OffGrid where the text is no decimal of zero or more.
    """

    def __init__(self, tick_e8: int | None = None, *, derives_steps: bool = True) -> None:
        self.tick_e8 = tick_e8
        self.seen_tick_e8 = self.seen_step_e8 = 0
        self.all_on_tick = True
        self._derives_steps = derives_steps
        self._prices = _Texts(1, self.passed)
        self._qtys = _Texts(0, self._note_step)
        self.price: Callable[[str], int] = self._prices.__getitem__
        self.qty: Callable[[str], int] = self._qtys.__getitem__

    def use_tick(self, tick_e8: int) -> None:
        """Take *tick_e8* as the price step from now on."""
        self.tick_e8 = tick_e8
        self.all_on_tick = not self.seen_tick_e8 % tick_e8

    def check(self, levels: Collection[Level]) -> None:
        """Raise OffGrid where a price or a quantity of *levels* is not what `price` and `qty` take."""
        if not levels:
            return
        prices, qtys = zip(*levels, strict=True)
        for _ in map(self.price, prices):
            pass
        if self._derives_steps or not _have_eight_places(qtys):
            for _ in map(self.qty, qtys):
                pass

    def check_one(self, price: str, qty: str) -> None:
        """Do what `check` does for one level."""
        self.price(price)
        if self._derives_steps or e8(qty) <= 0:
            self.qty(qty)

    def passed(self, step_e8: int) -> None:
        """Note prices that were checked, all of them multiples of *step_e8*."""
        self.seen_tick_e8 = gcd(self.seen_tick_e8, step_e8)
        self.all_on_tick = not self.tick_e8 or not self.seen_tick_e8 % self.tick_e8

    def _note_step(self, step_e8: int) -> None:
        self.seen_step_e8 = gcd(self.seen_step_e8, step_e8)

    def is_off_tick(self, price: str) -> bool:
        """Return True if *price* is no multiple of the known tick; False while none is known."""
        return bool(self.tick_e8 and self.price(price) % self.tick_e8)

    def off_tick(self, prices: Iterable[str]) -> str | None:
        """Return the first of *prices* that is no multiple of the known tick; None where all are, or none is known."""
        tick = self.tick_e8
        return next((text for text in prices if self.price(text) % tick), None) if tick else None

    def prices_off_tick(self) -> tuple[list[str], int]:
        """Return the different prices that are no multiples of the known tick, and how many different ones came.

        Only the latest `REMEMBERED_TEXTS` count.
        """
        tick = self.tick_e8
        return [text for text, price in self._prices.items() if tick and price % tick], len(self._prices)


def known_tick_e8(path: Path) -> int | None:
    """Return the price step in an ``instrument.json``; None where it is missing or cannot be read."""
    try:
        entry = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        return from_exchange_info(entry, str(path)).tick_e8
    except (OSError, ValueError, RecursionError, BrokenFile, msgspec.MsgspecError):
        return None


class _Texts(dict[str, int]):
    """Whole numbers by their text; one that is new is checked.

    Args:
        least: The least that is allowed, in 1e-8.
        note: Called with each new number.
    """

    def __init__(self, least: int, note: Callable[[int], None]) -> None:
        super().__init__()
        self._least = least
        self._note = note

    def __missing__(self, text: str) -> int:
        value = e8(text)
        if value < self._least or text[0] == "-":
            raise OffGrid(f"{text} is {'negative' if text[0] == '-' else 'zero'}, which the exchange never sends here")
        if len(self) >= REMEMBERED_TEXTS:
            self.clear()
        self[text] = value
        self._note(value)
        return value


def _have_eight_places(texts: Sequence[str]) -> bool:
    """Return True if all *texts* are decimals of eight places, without a sign, as the exchange writes them."""
    joined = "".join(texts)
    digits = joined.replace(".", "")
    return (
        min(map(len, texts)) >= len("0.00000000")
        and {text[-9] for text in texts} == {"."}
        and len(joined) - len(digits) == len(texts)
        and digits.isdigit()
        and digits.isascii()
    )
