"""Converts decimal texts of one symbol to checked integers, and derives the steps that divide all of them."""

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal, InvalidOperation
from math import gcd
from typing import Any

from mm.errors import OffGrid, Sentence, parameter
from mm.instrument import E8, e8, short_text
from mm.markets.local_orderbook import Level

REMEMBERED_TEXTS = 200_000
ENOUGH_MESSAGES = 100
"""Number of messages after which prices are not multiples of a step by chance."""

MOST_E8 = 10**19
"""Upper limit of prices and quantities, 10¹¹ in 1e-8 units: readers refuse larger ones."""

MOST_SHOWN_E8 = 2**63 - 1
"""The largest quantity that the exchange displays, in 1e-8; larger ones appear as this value, which is on no grid."""

NO_MIN_NOTIONAL = Sentence(
    "the minimum notional is unknown, so a backtest without {quote_qty} quotes one quantity step, whatever its value; "
    "give {min_notional} (exchangeInfo has it), or set {quote_qty}"
)
"""The warning of an import whose instrument has no minimum notional."""


class Grid:
    """Prices and quantities in 1e-8, cached by their text, since the same few thousand recur."""

    def __init__(self, *, derives_steps: bool = True) -> None:
        self.tick_e8 = self.lot_e8 = 0
        self._named = 0, 0
        self.seen_tick_e8 = self.seen_step_e8 = 0
        self.off = False
        self._derives_steps = derives_steps
        self._prices = _Texts(1, lambda price_e8: self.passed(price_e8, 0))
        self._qtys = _Texts(0, self._note_qty)
        self.price: Callable[[str], int] = self._prices.__getitem__
        self.qty: Callable[[str], int] = self._qtys.__getitem__

    def use(self, tick_e8: int, lot_e8: int) -> None:
        self.tick_e8, self.lot_e8 = gcd(self.tick_e8, tick_e8), gcd(self.lot_e8, lot_e8)
        self._named = tick_e8, lot_e8
        self.passed(0, 0)

    def next_day(self) -> None:
        self.tick_e8, self.lot_e8 = self._named
        self.passed(0, 0)

    def report(self) -> dict[str, str]:
        """The greatest steps that divide everything so far, if new; they apply from now on."""
        finer = {}
        if self.tick_e8 and self.seen_tick_e8 % self.tick_e8:
            self.tick_e8 = gcd(self.tick_e8, self.seen_tick_e8)
            finer["tick_size"] = short_text(self.tick_e8)
        if self.lot_e8 and self.seen_step_e8 % self.lot_e8:
            self.lot_e8 = gcd(self.lot_e8, self.seen_step_e8)
            finer["step_size"] = short_text(self.lot_e8)
        self.off = False
        return finer

    def check(self, levels: Collection[Level]) -> None:
        if not levels:
            return
        prices, qtys = zip(*levels, strict=True)
        for _ in map(self.price, prices):
            pass
        if self._derives_steps or not _have_eight_places(qtys):
            for _ in map(self.qty, qtys):
                pass
        else:
            self._note_qty(gcd(*(qty for qty in map(_whole, qtys) if qty != MOST_SHOWN_E8)))

    def check_packed(self, bids: Any, asks: Any) -> None:
        """Note the steps of levels that the kernel has checked."""
        tick_e8 = gcd(self.seen_tick_e8, bids.step_e8, asks.step_e8)
        lot_e8 = gcd(self.seen_step_e8, bids.lot_e8, asks.lot_e8)
        if tick_e8 != self.seen_tick_e8 or lot_e8 != self.seen_step_e8:
            self.passed(tick_e8, lot_e8)

    def check_one(self, price: str, qty: str) -> None:
        self.price(price)
        value = self.qty(qty) if self._derives_steps else e8(qty)
        if 0 < value < MOST_E8:
            self._note_qty(value)
        elif not self.qty(qty):
            raise OffGrid(f"a trade of {qty}, which is not valid")

    def keeps(self, tick_e8: int, lot_e8: int) -> bool:
        pairs = (gcd(self.seen_tick_e8, tick_e8), self.tick_e8), (gcd(self.seen_step_e8, lot_e8), self.lot_e8)
        return not any(known and seen % known for seen, known in pairs)

    def passed(self, tick_e8: int, lot_e8: int) -> None:
        self.seen_tick_e8 = gcd(self.seen_tick_e8, tick_e8)
        self.seen_step_e8 = gcd(self.seen_step_e8, lot_e8)
        pairs = (self.seen_tick_e8, self.tick_e8), (self.seen_step_e8, self.lot_e8)
        self.off = any(known and seen % known for seen, known in pairs)

    def _note_qty(self, qty_e8: int) -> None:
        if gcd(self.seen_step_e8, qty_e8) != self.seen_step_e8 and qty_e8 != MOST_SHOWN_E8:
            self.passed(0, qty_e8)

    def prices_off(self, tick_e8: int) -> tuple[list[str], int]:
        """Distinct prices off *tick_e8*, and the number of distinct prices, of the latest `REMEMBERED_TEXTS`."""
        return [text for text, price in self._prices.items() if price % tick_e8], len(self._prices)

    def too_fine(self, tick_e8: int, messages: int) -> list[str]:
        """Warn if all prices of *messages* are on a coarser step than *tick_e8* (0: not given)."""
        seen = short_text(self.seen_tick_e8)
        if not tick_e8 or messages < ENOUGH_MESSAGES or self.seen_tick_e8 <= tick_e8 or self.seen_tick_e8 % tick_e8:
            return []
        return [
            f"every price of the capture is a multiple of {seen}, {self.seen_tick_e8 // tick_e8} times tick size "
            f"{short_text(tick_e8)}: if {seen} is the exchange's tick size, import again with "
            f"{parameter('tick_size')} {seen}; with too fine a tick, quotes rest and fill at prices that do not exist "
            f"on the exchange"
        ]


_PLACES = 8
_LEAST = Decimal(1).scaleb(-_PLACES)


def rounded_qty(text: str, contract_size: Decimal | None = None) -> tuple[str, bool]:
    """A quantity with at most eight places, times *contract_size*, and whether that is exact.

    Text that is no number is returned unchanged, for the grid to refuse it.
    """
    short = len(text) - text.find(".") - 1 <= _PLACES or "." not in text
    if contract_size is None and short and "e" not in text and "E" not in text:
        return text, True
    try:
        exact = Decimal(text) * (1 if contract_size is None else contract_size)
        rounded = exact.quantize(_LEAST)
    except InvalidOperation:
        return text, True
    if not rounded.is_finite() or rounded < 0:
        return text, True
    if contract_size is None and rounded == exact and "e" not in text.lower():
        return text, True
    return short_text(int(rounded.scaleb(_PLACES))) or "0", rounded == exact


class _Texts(dict[str, int]):
    def __init__(self, least: int, note: Callable[[int], None]) -> None:
        super().__init__()
        self._least = least
        self._note = note

    def __missing__(self, text: str) -> int:
        value = e8(text)
        if value < self._least or text[0] == "-":
            raise OffGrid(f"{text} is {'negative' if text[0] == '-' else 'zero'}, which is not valid here")
        if value >= MOST_E8:
            raise OffGrid(
                f"{text} is too large: prices and quantities below {MOST_E8 // E8:,} are read; of so cheap a coin give "
                f"tables (--format table) with {parameter('price_scale')} 1000, which counts it by the thousand"
            )
        if len(self) >= REMEMBERED_TEXTS:
            self.clear()
        self[text] = value
        self._note(value)
        return value


def _have_eight_places(texts: Sequence[str]) -> bool:
    joined = "".join(texts)
    digits = joined.replace(".", "")
    return (
        min(map(len, texts)) >= len("0.00000000")
        and max(map(len, texts)) <= len("99999999999.00000000")
        and {text[-9] for text in texts} == {"."}
        and len(joined) - len(digits) == len(texts)
        and digits.isdigit()
        and digits.isascii()
    )


def _whole(text: str) -> int:
    return int(text[:-9] + text[-8:])
