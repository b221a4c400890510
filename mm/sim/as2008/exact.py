"""Exact moments of the experiment: a forward recursion of inventory probabilities instead of simulated paths.

Profit is the fills' distances from the mid (gain), plus inventory times the moves of the mid. The moves do not depend
on the quotes, so the two parts are uncorrelated, and the second has variance sigma²·dt·Σ E[q²]. The first requires, for
each inventory, its probability and the first two moments of the gain so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mm.sim.as2008.model import Fills, Floats, PaperModel, Policy, fills

LOST = 1e-24
"""Upper bound of the truncated probability, at inventories that practically no path reaches."""
RARE = 1e-12
"""If truncating this probability changes the certainty equivalent, it depends on paths that practically never occur."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of the paths of a strategy; field names are the keys of the artefact.

    Attributes:
        expected_steps_with_lambda_dt_above_1: Steps of a path with a fill probability capped at 1, over both sides.
        certainty_equivalent: -(1/gamma)·ln E[exp(-gamma·profit)]; None if it depends on paths with probability below
            10⁻¹².
    """

    avg_spread: float | None
    profit_mean: float
    profit_std: float
    final_q_mean: float
    final_q_std: float
    fills_per_path: float
    std_spread_capture: float
    std_inventory_pnl: float
    expected_steps_with_lambda_dt_above_1: float
    certainty_equivalent: float | None


def exact(market: PaperModel, policy: Policy) -> Moments:
    walk, without_rare = _Walk(market, policy, LOST), _Walk(market, policy, RARE)
    for each in (walk, without_rare):
        for step in range(market.steps):
            each.take(step)
    certain, truncated = walk.certainty_equivalent, without_rare.certainty_equivalent
    return walk.moments(certain if abs(certain - truncated) <= 1e-6 * max(1.0, abs(certain)) else None)


class _Walk:
    def __init__(self, market: PaperModel, policy: Policy, lost: float) -> None:
        self._market = market
        self._policy = policy
        self._spare = lost / (2 * market.steps)
        self._q = np.zeros(1, dtype=np.int64)
        self._mass = np.ones(1)
        self._first = np.zeros(1)  # of the gain minus its mean so far
        self._second = np.zeros(1)
        self._log_utility = np.zeros(1)  # ln E[exp(-gamma·profit); q]
        self._gained = self._fills = self._cut = self._squares = 0.0

    def take(self, step: int) -> None:
        table = fills(self._market, self._policy, step, self._q)
        self._fills += float(self._mass @ (table.bid_chance + table.ask_chance))
        self._cut += float(self._mass @ table.cut)
        self._fill(table)
        self._trim()
        self._squares += float(self._mass @ self._q**2)
        risk = self._market.gamma * self._market.move * self._q
        self._log_utility = self._log_utility + np.logaddexp(risk, -risk) - np.log(2)

    def _fill(self, table: Fills) -> None:
        bid, ask = table.bid_chance, table.ask_chance
        mean = float(self._mass @ (bid * table.bid_gain + ask * table.ask_gain))
        self._gained += mean
        outcomes = (
            (0, (1 - bid) * (1 - ask), np.zeros(bid.shape)),
            (1, bid * (1 - ask), table.bid_gain),
            (-1, (1 - bid) * ask, table.ask_gain),
            (0, bid * ask, table.bid_gain + table.ask_gain),
        )
        mass, first, second, utility = [], [], [], []
        for shift, chance, gain in outcomes:
            deviation = gain - mean
            mass.append((shift, chance * self._mass))
            first.append((shift, chance * (self._first + deviation * self._mass)))
            second.append((shift, chance * (self._second + deviation * (2 * self._first + deviation * self._mass))))
            with np.errstate(divide="ignore"):
                utility.append((shift, np.log(chance) + self._log_utility - self._market.gamma * gain))
        self._mass, self._first, self._second = _sum(mass), _sum(first), _sum(second)
        self._log_utility = _sum(utility, np.logaddexp)
        self._q = np.arange(self._q[0] - 1, self._q[-1] + 2)

    def _trim(self) -> None:
        low = int(np.searchsorted(np.cumsum(self._mass), self._spare, side="right"))
        high = len(self._mass) - int(np.searchsorted(np.cumsum(self._mass[::-1]), self._spare, side="right"))
        kept = slice(low, high)
        self._q, self._mass, self._log_utility = self._q[kept], self._mass[kept], self._log_utility[kept]
        self._first, self._second = self._first[kept], self._second[kept]

    @property
    def certainty_equivalent(self) -> float:
        return -float(np.logaddexp.reduce(self._log_utility)) / self._market.gamma

    def moments(self, certainty_equivalent: float | None) -> Moments:
        capture = max(0.0, float(self._second.sum() - self._first.sum() ** 2))
        drift = self._market.move**2 * self._squares
        mean_q = float(self._mass @ self._q)
        return Moments(
            avg_spread=self._policy.average_spread,
            profit_mean=self._gained,
            profit_std=float(np.sqrt(capture + drift)),
            final_q_mean=mean_q,
            final_q_std=float(np.sqrt(self._mass @ (self._q - mean_q) ** 2)),
            fills_per_path=self._fills,
            std_spread_capture=float(np.sqrt(capture)),
            std_inventory_pnl=float(np.sqrt(drift)),
            expected_steps_with_lambda_dt_above_1=self._cut,
            certainty_equivalent=certainty_equivalent,
        )


def _sum(parts: Sequence[tuple[int, Floats]], add: np.ufunc = np.add) -> Floats:
    total = np.full(len(parts[0][1]) + 2, 0.0 if add is np.add else -np.inf)
    for shift, values in parts:
        place = slice(1 + shift, 1 + shift + len(values))
        total[place] = add(total[place], values)
    return total
