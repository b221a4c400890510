"""Leverage brackets: the margin that a position's notional needs, and the leverage that it may have.

Amounts are whole 1e-8 of the quote asset. Margins are rounded down, as in the documentation's examples.
"""

from dataclasses import dataclass

from mm.instrument import E8

MOST_LEVERAGE = 125


@dataclass(frozen=True, slots=True)
class Bracket:
    """One range of notionals.

    Attributes:
        rate_e8: Maintenance margin as a share of the notional, 1e-8.
        cum_e8: Deduction, which makes the maintenance margin continuous.
    """

    number: int
    leverage: int
    floor_e8: int
    cap_e8: int
    rate_e8: int
    cum_e8: int

    def maintenance_e8(self, notional_e8: int) -> int:
        return notional_e8 * self.rate_e8 // E8 - self.cum_e8


Brackets = tuple[Bracket, ...]


def _table(rows: tuple[tuple[int, int, int], ...]) -> Brackets:
    brackets: list[Bracket] = []
    floor_e8 = cum_e8 = before_e8 = 0
    for number, (leverage, cap, rate) in enumerate(rows, start=1):
        rate_e8 = rate * E8 // 10_000
        cum_e8 += floor_e8 * (rate_e8 - before_e8) // E8
        brackets.append(Bracket(number, leverage, floor_e8, cap * E8, rate_e8, cum_e8))
        floor_e8, before_e8 = cap * E8, rate_e8
    return tuple(brackets)


BRACKETS = _table(
    (
        (125, 50_000, 40),
        (100, 600_000, 50),
        (75, 3_000_000, 65),
        (50, 12_000_000, 100),
        (25, 70_000_000, 200),
        (20, 100_000_000, 250),
        (10, 230_000_000, 500),
        (5, 480_000_000, 1_000),
        (4, 600_000_000, 1_250),
        (3, 800_000_000, 1_500),
        (2, 1_200_000_000, 2_500),
        (1, 1_800_000_000, 5_000),
    )
)
"""Those that the documentation lists for BTCUSDT."""


def bracket_of(notional_e8: int, brackets: Brackets = BRACKETS) -> Bracket:
    return next((bracket for bracket in brackets if notional_e8 <= bracket.cap_e8), brackets[-1])


def maintenance_e8(notional_e8: int, brackets: Brackets = BRACKETS) -> int:
    return bracket_of(notional_e8, brackets).maintenance_e8(notional_e8)


def most_notional_e8(leverage: int, brackets: Brackets = BRACKETS) -> int:
    return max((bracket.cap_e8 for bracket in brackets if bracket.leverage >= leverage), default=0)
