"""A margin account in plain fractions, from the exchange's public rules alone; for comparison.

Its maintenance margin is summed over the parts of the notional in each bracket, so it knows no deduction.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

Rows = Sequence[tuple[Fraction, Fraction]]
"""Brackets: cap in the quote asset, and the rate of the part below it and above the last cap."""


def maintenance(notional: Fraction, rows: Rows) -> Fraction:
    """Return the maintenance margin of a notional; the last rate also counts above its cap."""
    total, floor = Fraction(0), Fraction(0)
    for number, (cap, rate) in enumerate(rows):
        upper = notional if number == len(rows) - 1 else min(notional, cap)
        total += max(Fraction(0), upper - floor) * rate
        floor = cap
    return total


@dataclass
class PlainPosition:
    """A position by its cash: what its trades cost, and what it is worth at the mark price."""

    rows: Rows
    quantity: Fraction = Fraction(0)
    cash: Fraction = Fraction(0)
    mark: Fraction = Fraction(0)

    @property
    def worth(self) -> Fraction:
        """Return the position at the mark price."""
        return self.quantity * self.mark

    @property
    def needed(self) -> Fraction:
        """Return its maintenance margin."""
        return maintenance(abs(self.worth), self.rows)


@dataclass
class PlainMargin:
    """A cross account: cash at the start, and positions."""

    start: Fraction
    positions: dict[str, PlainPosition] = field(default_factory=dict)

    def trade(self, symbol: str, side: int, price: Fraction, quantity: Fraction, fee: Fraction) -> None:
        """Buy (+1) or sell (-1)."""
        position = self.positions[symbol]
        position.quantity += side * quantity
        position.cash -= side * price * quantity + fee

    def fund(self, symbol: str, mark: Fraction, rate: Fraction) -> Fraction:
        """Pay funding, and return it."""
        position = self.positions[symbol]
        paid = position.quantity * mark * rate
        position.cash -= paid
        return paid

    @property
    def equity(self) -> Fraction:
        """Return the margin balance."""
        return self.start + sum((one.cash + one.worth for one in self.positions.values()), Fraction(0))

    @property
    def needed(self) -> Fraction:
        """Return the maintenance margin of all positions."""
        return sum((one.needed for one in self.positions.values()), Fraction(0))

    def liquidation_price(self, symbol: str) -> Fraction | None:
        """Return the mark price at which the margin is used up if the other marks stay; None if there is none.

        Solved in each bracket: cash + q·p + others = others' margin + that below the bracket + rate·(|q|·p - floor).
        """
        own = self.positions[symbol]
        if not own.quantity:
            return None
        others = self.equity - own.worth - (self.needed - own.needed)
        below, floor = Fraction(0), Fraction(0)
        for number, (cap, rate) in enumerate(own.rows):
            slope = own.quantity - rate * abs(own.quantity)
            price = (below - rate * floor - others) / slope
            notional = abs(own.quantity) * price
            last = number == len(own.rows) - 1
            if price > 0 and notional >= floor and (last or notional <= cap):
                return price
            below += rate * (cap - floor)
            floor = cap
        return None
