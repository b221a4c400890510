"""``python -m benchmarks.schedules``: the loss of each window mode on markets with known truth.

Days of twelve hours are drawn in the format of the marks: blocks of five minutes, cells of one tick, about 75 fills per
quarter of an hour. On a drifting market, ln A is an Ornstein-Uhlenbeck process with a standard deviation of 0.4 and a
half-life of 45 minutes; on a constant market, it does not change. Every segment is evaluated on the truth: the loss is
the log-likelihood per fill of the true parameters less that of the segment's parameters.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mm.base.arrays import Floats
from mm.base.knobs import integer, knob
from mm.calibration.estimators import NoEstimate, estimate
from mm.calibration.fit_result import PoissonFit
from mm.calibration.points import Points
from mm.calibration.windows import US_PER_MIN, WEIGHING, WindowFitter, WindowPlan
from mm.cli.console import Console
from mm.cli.frame import command

BLOCK_MIN, HOURS = 5, 12
BLOCKS = HOURS * 60 // BLOCK_MIN
FILLS_PER_BLOCK = 25.0
K = 0.3
CELLS = np.arange(1.0, 31.0)
DEVIATION, HALF_LIFE_MIN = 0.4, 45.0
MARKETS = {"drifting": DEVIATION, "constant": 0.0}
HALF_LIVES_MIN = (15.0, 30.0, 60.0)
PLAIN = ("rolling", "expanding", "static")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Number of days, and the seed."""

    bench_days: int = knob(200, integer(2, 100_000), "Number of days of each market.", flag="--days")
    bench_seed: int = knob(0, integer(0, 2**63 - 1), "Seed of all random draws.", flag="--seed")


def plans() -> dict[str, WindowPlan]:
    """Return every window mode by its name, with the windows of a walk-forward and no latency."""
    plain = {mode: WindowPlan(latency_us=0, mode=mode) for mode in PLAIN}
    weighing = {
        f"{mode} {minutes:g}": WindowPlan(latency_us=0, mode=mode, half_life_min=minutes)
        for mode in WEIGHING
        for minutes in HALF_LIVES_MIN
    }
    return plain | weighing


class Day:
    """One drawn day: its truth by block, and the points of any interval of complete blocks."""

    def __init__(self, deviation: float, seed: int) -> None:
        """Draw the path of ln A, then the fills."""
        rng = np.random.default_rng(seed)
        near, far = CELLS, np.append(CELLS[1:], np.inf)
        self._width = far - near
        self.gain: Floats = np.exp(-K * near) - np.exp(-K * far)
        self.exposure_s = 2 * BLOCK_MIN * 60.0
        level = math.log(FILLS_PER_BLOCK / self.exposure_s / self.gain.sum())
        self.A: Floats = np.exp(level + deviation * _walk(rng) - deviation**2 / 2)
        self._fills = rng.poisson(self.exposure_s * self.A[:, None] * self.gain).astype(float)

    def points(self, start_us: int, end_us: int) -> Points:
        """Return the cells of ``[start_us, end_us)``, with blocks numbered from its start."""
        blocks = range(start_us // (BLOCK_MIN * US_PER_MIN), end_us // (BLOCK_MIN * US_PER_MIN))
        count = len(blocks)
        return Points.of(
            np.tile(CELLS, count),
            np.full(count * CELLS.size, self.exposure_s),
            self._fills[blocks.start : blocks.stop].ravel(),
            block=np.repeat(np.arange(count), CELLS.size),
            width_ticks=np.tile(self._width, count),
        )

    def loss(self, start_us: int, end_us: int, rates: tuple[float, float]) -> tuple[float, float]:
        """Return the expected loss in log-likelihood of A and k in a segment, and its expected fills."""
        A, k = rates
        blocks = slice(start_us // (BLOCK_MIN * US_PER_MIN), end_us // (BLOCK_MIN * US_PER_MIN))
        truth = self.exposure_s * self.A[blocks, None] * self.gain
        expected = self.exposure_s * A * (np.exp(-k * CELLS) - np.exp(-k * (CELLS + self._width)))
        return float((truth * np.log(truth / expected) - truth + expected).sum()), float(truth.sum())


def _walk(rng: np.random.Generator) -> Floats:
    """Return a stationary Ornstein-Uhlenbeck process of variance 1, block by block."""
    decay = 0.5 ** (BLOCK_MIN / HALF_LIFE_MIN)
    steps = rng.normal(size=BLOCKS)
    walk = np.empty(BLOCKS)
    walk[0] = steps[0]
    for place in range(1, BLOCKS):
        walk[place] = decay * walk[place - 1] + math.sqrt(1 - decay**2) * steps[place]
    return walk


def loss_per_fill(day: Day, plan: WindowPlan) -> float:
    """Return the loss of a plan on a day, in nats per fill."""
    windows = plan.windows(0, BLOCKS * BLOCK_MIN * US_PER_MIN)
    fit_window, whole_loss, fills = WindowFitter(day.points, _point_fit, plan).one, 0.0, 0.0
    for window in windows:
        fit = fit_window(window.train_start_us, window.train_end_us)
        if fit.A is None or fit.k is None:
            continue
        loss, expected = day.loss(window.start_us, window.end_us, (fit.A, fit.k))
        whole_loss, fills = whole_loss + loss, fills + expected
    return whole_loss / fills


def _point_fit(points: Points) -> PoissonFit:
    estimated = estimate(points.delta_ticks, points.exposure_s, points.fills, points.width_ticks)
    fitted: dict[str, Any] = (
        {}
        if isinstance(estimated, NoEstimate)
        else {name: getattr(estimated, name) for name in ("A", "k", "se_k", "se_logA")}
    )
    n_fills = float(points.fills.sum())
    return PoissonFit(
        fit_method="poisson_mle", n_fills=n_fills, exposure_s=0.0, usable=bool(fitted), status="", reason="", **fitted
    )


def measure(days: int, seed: int) -> dict[str, dict[str, tuple[float, float, float, float]]]:
    """Return, by market and plan, the loss per fill and its excess over the rolling plan's, with standard errors."""
    found: dict[str, dict[str, tuple[float, float, float, float]]] = {}
    for market, deviation in MARKETS.items():
        drawn = [Day(deviation, seed * 1_000_003 + number) for number in range(days)]
        losses = {name: np.array([loss_per_fill(day, plan) for day in drawn]) for name, plan in plans().items()}
        found[market] = {name: (*_mean(each), *_mean(each - losses["rolling"])) for name, each in losses.items()}
    return found


def _mean(each: Floats) -> tuple[float, float]:
    return float(each.mean()), float(each.std(ddof=1)) / math.sqrt(len(each))


def table(found: dict[str, dict[str, tuple[float, float, float, float]]]) -> Iterator[str]:
    """Yield the results as lines of text."""
    yield f"{'mode, half-life':<16}" + "".join(
        f"{market + ', nats per fill':>28}{'vs. rolling':>22}" for market in found
    )
    for name in plans():
        cells = [found[market][name] for market in found]
        yield f"{name:<16}" + "".join(f"{f'{a:.4f} ± {b:.4f}':>28}{f'{c:+.4f} ± {d:.4f}':>22}" for a, b, c, d in cells)


def _main(console: Console, settings: Settings) -> None:
    """Measure the loss of each window mode against the truth, on drifting and on constant markets."""
    found = measure(settings.bench_days, settings.bench_seed)
    for line in table(found):
        console.print(line)
    names = ("loss", "se_loss", "beside_rolling", "se_beside_rolling")
    fitted = {
        market: {name: dict(zip(names, row, strict=True)) for name, row in rows.items()}
        for market, rows in found.items()
    }
    console.set_json({"days": settings.bench_days, "seed": settings.bench_seed, "markets": fitted})


main = command(Settings, body=_main)


if __name__ == "__main__":
    main()
