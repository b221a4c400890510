"""The experiment by enumeration: every path of a few steps, simulated with cash, inventory and a price."""

import math
from collections.abc import Callable
from typing import NamedTuple

Quotes = Callable[[float, float, float, int], tuple[float, float]]
"""Bid and ask price from time, mid, time left and inventory."""


class Leaf(NamedTuple):
    """One leaf of the tree: its probability, profit and inventory."""

    chance: float
    profit: float
    q: int


def leaves(quotes: Quotes, *, A: float, k: float, sigma: float, T: float, steps: int) -> list[Leaf]:
    """Return every leaf of a session of *steps* steps that starts at a mid of 100 without cash or inventory."""
    dt = T / steps
    ends: list[Leaf] = []

    def visit(step: int, chance: float, cash: float, q: int, mid: float) -> None:
        if chance == 0:
            return
        if step == steps:
            ends.append(Leaf(chance, cash + q * mid, q))
            return
        bid, ask = quotes(step * dt, mid, T - step * dt, q)
        bought = min(A * math.exp(-k * (mid - bid)) * dt, 1)
        sold = min(A * math.exp(-k * (ask - mid)) * dt, 1)
        for buy in (0, 1):
            for sell in (0, 1):
                probability = (bought if buy else 1 - bought) * (sold if sell else 1 - sold)
                for move in (sigma * math.sqrt(dt), -sigma * math.sqrt(dt)):
                    visit(step + 1, chance * probability / 2, cash - buy * bid + sell * ask, q + buy - sell, mid + move)

    visit(0, 1.0, 0.0, 0, 100.0)
    return ends


def moments(ends: list[Leaf], gamma: float) -> dict[str, float]:
    """Return the moments of the tree's leaves under the names of the artefact."""
    profit = sum(end.chance * end.profit for end in ends)
    q = sum(end.chance * end.q for end in ends)
    return {
        "profit_mean": profit,
        "profit_std": math.sqrt(sum(end.chance * (end.profit - profit) ** 2 for end in ends)),
        "final_q_mean": q,
        "final_q_std": math.sqrt(sum(end.chance * (end.q - q) ** 2 for end in ends)),
        "certainty_equivalent": -math.log(sum(end.chance * math.exp(-gamma * end.profit) for end in ends)) / gamma,
    }
