"""The market of scenario ``poisson``: order flow whose A and k are exact, around a mid that walks.

- The mid stands still between depth instants, 100 ms apart. At each it moves by a whole number of ticks: the
  difference of two Poisson draws, whose variance is sigma² · 0.1 s to the last digit.
- Aggressive orders of each side are a Poisson process of rate A. Each reaches past the mid by an exponential
  distance of rate k. One that does not reach the touch finds no counterpart and prints nothing; any other sweeps
  every level within its reach. So sweeps at or beyond an on-grid distance d, from half the spread on, come at the
  rate A·exp(-k·d), exactly, whatever the mid does.
- An order that finds its millisecond taken by one of its side waits for the next free one, so that prints of one
  side and time are one order.
- A sweep ends at the edge of the book. The book is so deep that less than 1e-9 sweeps of the session are expected
  to get there.
"""

from math import ceil, log
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.errors import UsageError
from mm.sim.flow.session import MS_PER_S, STEP_MS, MarketDay, Session
from mm.sim.flow.regular_book import SIDES, RegularBook, Sweeps, play

if TYPE_CHECKING:
    from mm.sim.flow.session import Ints
    from mm.sim.flow.scenario import Poisson

LEAST_LEVELS = 100
MOST_LEVELS = 5_000  # what one snapshot holds
SWEEPS_AT_EDGE = 1e-9
_STEPS_PER_S = MS_PER_S // STEP_MS


def simulate(scenario: "Poisson", session: Session) -> MarketDay:
    """Return one session of the market that *scenario* describes.

    Raises:
        UsageError: If k is so small that no book is deep enough, or the price falls to where its book would need
            prices below one tick.
    """
    book = _book(scenario, session)
    flows = {side: _orders(scenario, session, side, book.spread) for side in SIDES}
    sent_ms, prints = (np.concatenate(columns) for columns in zip(*flows.values(), strict=True))
    side = np.repeat(SIDES, [flow[0].size for flow in flows.values()])
    order = np.lexsort((side, sent_ms))
    sweeps = Sweeps(sent_ms[order], side[order], np.minimum(prints, book.levels)[order])
    capped = int((prints > book.levels).sum())
    return play(session, scenario.instrument(session.symbol), book, sweeps, _truth(scenario, book, sweeps, capped))


def _book(scenario: "Poisson", session: Session) -> RegularBook:
    half_variance = scenario.sigma_ticks_per_sqrt_s**2 / _STEPS_PER_S / 2
    draws = session.random("mid")
    up, down = (draws.poisson(half_variance, session.steps - 1) for _ in SIDES)
    instrument = scenario.instrument(session.symbol)
    opening = instrument.ticks(scenario.start_price) - (scenario.spread_ticks + 1) // 2
    best_bid = opening + np.concatenate(([0], np.cumsum(up - down)))
    levels = _levels(scenario, session)
    if best_bid.min() < levels:
        raise UsageError(
            f"--start-price {scenario.start_price} is too near to zero: the book of {session.day} is {levels} levels "
            f"deep and its best bid falls to {int(best_bid.min())} ticks; raise it, or lower --tick-size or "
            f"--sigma-ticks-per-sqrt-s"
        )
    return RegularBook(best_bid, scenario.spread_ticks, levels, instrument.lots(scenario.level_qty))


def _levels(scenario: "Poisson", session: Session) -> int:
    """Return how many levels a side it takes that practically no sweep meets the edge."""
    rates, decays = zip(*(scenario.rate(side) for side in SIDES), strict=True)
    orders, decay = sum(rates) * session.steps / _STEPS_PER_S, min(decays)
    levels: int = max(LEAST_LEVELS, ceil(log(max(orders, 1.0) / SWEEPS_AT_EDGE) / decay))
    if levels > MOST_LEVELS:
        raise UsageError(
            f"--k {decay} per tick lets orders reach {levels} ticks deep, and a book holds at most {MOST_LEVELS} "
            f"levels a side; set a larger k, or a larger --tick-size with k scaled by the same factor"
        )
    return levels


def _orders(scenario: "Poisson", session: Session, side: int, spread: int) -> "tuple[Ints, Ints]":
    """Return the instants (ms) of the orders of aggressor *side* that print, and how many levels each reaches."""
    A, k = scenario.rate(-side)
    draws = session.random(f"orders {side}")
    first_ms, end_ms = session.flow_ms
    count = draws.poisson(A * (end_ms - first_ms) / MS_PER_S)
    offset_ms = np.sort((draws.random(count) * (end_ms - first_ms)).astype(np.int64))
    sent_ms = first_ms + _apart(offset_ms)
    prints = np.floor(draws.exponential(1 / k, count) - spread / 2).astype(np.int64) + 1
    printing = (prints > 0) & (sent_ms < end_ms)
    return sent_ms[printing], prints[printing]


def _apart(sorted_ms: "Ints") -> "Ints":
    """Return *sorted_ms* with each instant moved on as little as it takes that no two are equal."""
    place = np.arange(sorted_ms.size)
    moved: Ints = np.maximum.accumulate(sorted_ms - place) + place
    return moved


def _truth(scenario: "Poisson", book: RegularBook, sweeps: Sweeps, capped: int) -> dict[str, Any]:
    return {
        **scenario.truth(),
        "half_spread_ticks": book.spread / 2,
        "levels_per_side": book.levels,
        "sweeps": {"bid": int((sweeps.side < 0).sum()), "ask": int((sweeps.side > 0).sum())},
        "sweeps_at_edge": {"expected_below": SWEEPS_AT_EDGE, "seen": capped},
    }
