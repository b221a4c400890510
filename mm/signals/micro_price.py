"""Fit of the micro-price: the expected move of the mid, by imbalance and spread (Stoikov 2018).

States are buckets of the imbalance B/(B + A) and spreads in ticks. Each change of best prices or lots is a step of a
Markov chain, also counted mirrored, so that no drift is fitted. With Q and T the transition probabilities of steps that
keep and move the mid, and r a step's mean move, the expected first move is ``(1 − Q)⁻¹·r``, and the sum of all is the
minimum-norm solution of ``g = (1 − Q)⁻¹·(r + T·g)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mm.errors import BrokenFile, Mismatch
from mm.instrument import short_text
from mm.tape.tape import Tape

BUCKETS = 10
MOST_SPREADS = 10
WIDE = 0.001  # share of the steps, those with the widest spreads, that is merged into one spread


@dataclass(frozen=True, eq=False)
class MicroPriceFit:
    """*ticks* is micro-price less mid, float64[buckets, spreads]; NaN for states that did not occur."""

    symbol: str
    days: tuple[str, ...]
    tick_e8: int
    steps: int
    ticks: NDArray[np.float64]

    def checked(self, symbol: str, tick_e8: int) -> Self:
        if (symbol, tick_e8) != (self.symbol, self.tick_e8):
            raise Mismatch(
                f"micro_price: fitted on {self.symbol} with a tick of {short_text(self.tick_e8)}, not on {symbol} with "
                f"a tick of {short_text(tick_e8)}; fit it on this market"
            )
        return self

    def to_json(self) -> dict[str, Any]:
        table = [[None if np.isnan(value) else value for value in row] for row in self.ticks.tolist()]
        return {
            "symbol": self.symbol,
            "days": list(self.days),
            "tick_e8": self.tick_e8,
            "steps": self.steps,
            "ticks": table,
        }

    @classmethod
    def from_json(cls, content: Any, source: str) -> Self:
        """*source* is for messages; BrokenFile if malformed."""
        try:
            ticks = np.array(
                [[np.nan if cell is None else cell for cell in row] for row in content["ticks"]], np.float64
            )
            if ticks.ndim != 2 or not ticks.size:
                raise ValueError(f"ticks has the shape {ticks.shape}")
            return cls(
                str(content["symbol"]), tuple(content["days"]), int(content["tick_e8"]), int(content["steps"]), ticks
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BrokenFile(f"{source}: not a fit of a micro-price ({error}); fit it again") from error


def fit_micro_price(tapes: Sequence[Tape]) -> MicroPriceFit | None:
    """Fit whole days of one symbol and tick size; None if the mid never moves."""
    pieces = [_steps(tape) for tape in tapes]
    state, after, moved2 = (np.concatenate(column) for column in zip(*pieces, strict=True))
    if not moved2.any():
        return None
    spreads = state[:, 1]
    widest = int(np.clip(np.quantile(spreads, 1.0 - WIDE, method="inverted_cdf"), 1, MOST_SPREADS))
    before, then = (np.minimum(column[:, 1], widest) - 1 + widest * column[:, 0] for column in (state, after))
    mirror = np.arange(BUCKETS * widest).reshape(BUCKETS, widest)[::-1].ravel()
    before, then = np.concatenate([before, mirror[before]]), np.concatenate([then, mirror[then]])
    moved = np.concatenate([moved2, -moved2]) / 2.0
    ticks = expected_move(before, then, moved, BUCKETS * widest).reshape(BUCKETS, widest)
    days = tuple(day for tape in tapes for day in tape.days)
    return MicroPriceFit(tapes[0].symbol, days, tapes[0].instrument.tick_e8, len(moved2), ticks)


def expected_move(
    before: NDArray[np.int64], after: NDArray[np.int64], moved: NDArray[np.float64], states: int
) -> NDArray[np.float64]:
    """Return each state's sum of expected moves, in *moved*'s unit; NaN if never left."""
    counts = np.bincount(before, minlength=states)
    seen = np.flatnonzero(counts)
    place = np.full(states, -1)
    place[seen] = np.arange(len(seen))
    known = place[after] >= 0  # the last step may lead to a state that is never left
    before, after, moved = place[before[known]], place[after[known]], moved[known]
    size = len(seen)
    unmoved, moving = np.zeros((size, size)), np.zeros((size, size))
    np.add.at(unmoved, (before[moved == 0], after[moved == 0]), 1.0)
    np.add.at(moving, (before[moved != 0], after[moved != 0]), 1.0)
    visits = np.maximum(np.bincount(before, minlength=size), 1)[:, None]
    mean = np.bincount(before, moved, minlength=size) / visits[:, 0]
    system = np.eye(size) - unmoved / visits
    # States from which the mid never moves make the matrix singular; least squares assigns them a move of 0.
    first = np.linalg.lstsq(system, np.column_stack([mean, moving / visits]), rcond=None)[0]
    # Constants solve g = B·g; the minimum-norm solution has none.
    total = np.linalg.lstsq(np.eye(size) - first[:, 1:], first[:, 0], rcond=1e-10)[0]
    moves = np.full(states, np.nan)
    moves[seen] = total
    return moves


def _steps(tape: Tape) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return states (bucket, spread) before and after each step, and moves in half ticks."""
    bid, ask = tape.top_bid_ticks, tape.top_ask_ticks
    bid_lots, ask_lots = tape.top_bid_lots, tape.top_ask_lots
    both = (bid > 0) & (ask > 0)
    lots = np.maximum(bid_lots + ask_lots, 1)
    bucket = np.minimum(BUCKETS * bid_lots // lots, BUCKETS - 1)
    states = np.column_stack([bucket, np.maximum(ask - bid, 1)])
    steps = np.flatnonzero(both[1:] & both[:-1])
    mid2 = bid + ask
    return states[steps], states[steps + 1], mid2[steps + 1] - mid2[steps]
