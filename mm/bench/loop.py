"""Tapes whose truth is known: a book that moves at irregular instants, with fills or prints drawn from A and k."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mm.bench.truth import Arrivals, Ints

if TYPE_CHECKING:
    from mm.calibration.points import Points
    from mm.tape.tape import Tape

DELTAS = (1.0, 2.0, 3.0, 5.0, 8.0)
DWELL_MS = 20_000.0
GAP_S = 1.0  # between two messages of the book, on average; exponential, so from instants to seconds
S = 1_000_000

Event = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Sides:
    """The intensity that fills are drawn from.

    Attributes:
        bid: A in 1/s and k in 1/tick of buys.
        ask: The same of sells.
    """

    bid: tuple[float, float] = (0.3, 0.4)
    ask: tuple[float, float] = (0.15, 0.25)

    def of(self, side: str) -> tuple[float, float]:
        """Return A and k of ``bid`` or ``ask``."""
        return self.bid if side == "bid" else self.ask


def irregular_tape(rng: np.random.Generator, hours: float = 1.0, arrivals: Arrivals | None = None) -> "Tape":
    """Return a tape whose book moves by half ticks and ticks at irregular instants.

    Args:
        rng: Draws the book.
        hours: Length of the tape.
        arrivals: Aggressive orders; each prints at every price from the best to the farthest that it reaches, and
            not at all if that is none. None for a tape without prints.
    """
    from mm.instrument import Instrument
    from mm.tape.tape import Tape

    count = rng.poisson(hours * 3600 / GAP_S)
    instants = np.unique(rng.integers(0, round(hours * 3600 * S), count))
    bids = 10_000 + np.cumsum(rng.integers(-1, 2, instants.size))
    asks = bids + rng.integers(1, 3, instants.size)
    events = list(_book(instants.tolist(), bids.tolist(), asks.tolist()))
    if arrivals is not None:
        events.extend(_prints(arrivals, instants, bids, asks))
        events.sort(key=lambda event: event[0])
    return Tape.of(Instrument("SIMUSDT", 1_000_000, 100_000), events)


def _book(instants: list[int], bids: list[int], asks: list[int]) -> Iterator[Event]:
    """Yield a snapshot and the messages that move the best prices."""
    shown: tuple[int, int] | None = None
    for us, bid, ask in zip(instants, bids, asks, strict=True):
        if shown is None:
            yield us, "snapshot", [(bid, 10)], [(ask, 10)]
        elif shown != (bid, ask):
            gone = [[(old, 0)] if old != new else [] for old, new in zip(shown, (bid, ask), strict=True)]
            yield us, "depth", [*gone[0], (bid, 10)], [*gone[1], (ask, 10)]
        shown = bid, ask


def _prints(arrivals: Arrivals, instants: Ints, bids: Ints, asks: Ints) -> Iterator[Event]:
    """Yield the prints of orders that meet a book."""
    for second, reached, depth in zip(*(column.tolist() for column in arrivals.columns), strict=True):
        us = round(second * S)
        now = int(np.searchsorted(instants, us, side="right")) - 1
        if now < 0 or us == instants[now]:
            continue
        bid, ask = int(bids[now]), int(asks[now])
        middle, best, way = (bid + ask) / 2, (bid, ask)[reached], (-1, 1)[reached]
        for ticks in range(best, math.floor(way * middle + depth) * way + way, way):
            yield us, "trade", way, ticks, 1


def played(tape: "Tape", truth: Sides, seed: int) -> "Points":
    """Return the exposure and first fills of a ladder of orders that fill as *truth* says."""
    from mm.backtest.models import poisson
    from mm.backtest.replay import backtest
    from mm.backtest.rules import Rules
    from mm.calibration.exposure import order_exposure
    from mm.calibration.quotes import CalibrationLadder

    bid, ask = ({"A": A, "k": k} for A, k in (truth.bid, truth.ask))
    fills = poisson(bid=bid, ask=ask, seed=seed)
    rules = Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, enforce_balances=False)
    quotes = CalibrationLadder(DELTAS, DWELL_MS, seed=seed, start_us=tape.start_us)
    return order_exposure(backtest(tape, quotes, fills, rules).journal, tape).points
