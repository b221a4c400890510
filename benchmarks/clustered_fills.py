"""``python -m benchmarks.clustered_fills``: clustering of fills of permanently resting orders, by fill model.

Both sides are quoted at a fixed distance from the mid, one lot, with the usual latencies and without bounds. The
dispersion is the variance of the fills per span over their mean: 1 for independent fills.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mm.backtest.fills.intensity import Intensity
from mm.backtest.models import fixed_spread, hawkes, poisson, trade_cross
from mm.backtest.quotes.steps import Gated
from mm.backtest.replay import backtest
from mm.backtest.rules import Rules
from mm.calibration.intensities import intensity_of
from mm.clock import US_PER_S
from mm.models.builder import read_fitted
from mm.tape.columns import Ints
from mm.tape.load import load_day
from mm.tape.tape import Tape

STRETCHES_S = (60, 600)
SEEDS = 8


def instants(tape: Tape, delta_ticks: float, fills: object, intensity: Intensity) -> Ints:
    """Return the fill times of the orders, in µs; orders rest while the intensity has a piece."""
    rules = Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, enforce_balances=False, maker_fee_e8=0)
    quotes = Gated(fixed_spread(delta_ticks=delta_ticks), intensity)
    us: Ints = backtest(tape, quotes, fills, rules).journal.fills[:, 0]
    return us


def dispersion(us: Ints, span_us: tuple[int, int], stretch_s: int) -> float:
    """Return the variance of the fills of complete spans of *stretch_s* over their mean."""
    counts, _ = np.histogram(us, np.arange(*span_us, stretch_s * US_PER_S))
    return float(counts.var() / counts.mean()) if counts.any() else float("nan")


def lines(tape: Tape, intensity: Intensity, distances: list[float]) -> Iterator[str]:
    """Yield the table: one model per line, for each distance; drawn fills are means over several seeds."""
    heads = "".join(f"{f'dispersion in {stretch} s':>22}" for stretch in STRETCHES_S)
    yield f"{'ticks':>6}  {'filled by':<13}{'fills':>8}{heads}"
    span_us = max(tape.start_us, intensity.rows()[0].start_us), tape.end_us
    for delta in distances:
        drawn: dict[str, Callable[..., object]] = {"poisson": poisson, "hawkes": hawkes}
        played = {"trade_cross": [instants(tape, delta, trade_cross(), intensity)]}
        for name, make in drawn.items():
            played[name] = [
                instants(tape, delta, make(intensity=intensity, seed=seed), intensity) for seed in range(SEEDS)
            ]
        for name, found in played.items():
            spread = (np.mean([dispersion(us, span_us, stretch) for us in found]) for stretch in STRETCHES_S)
            count = np.mean([len(us) for us in found])
            yield f"{delta:>6g}  {name:<13}{count:>8,.0f}" + "".join(f"{value:>22.2f}" for value in spread)


def main() -> None:
    """Print the table of a day and a fit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("day", type=Path, help="day folder")
    parser.add_argument("fit", type=Path, help="poisson_fit.json, or a poisson_schedule.json with clustering")
    parser.add_argument("distances", type=float, nargs="+", help="ticks from the mid")
    given = parser.parse_args()
    for line in lines(load_day(given.day), intensity_of(read_fitted(given.fit)), given.distances):
        print(line, flush=True)


if __name__ == "__main__":
    main()
