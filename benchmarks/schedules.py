"""``python -m benchmarks.schedules``: what each way to share the past costs on markets whose truth is known.

Days of twelve hours are drawn as the marks count them: blocks of five minutes, cells of one tick, about 75
fills in a quarter of an hour. On a drifting market ln A walks (an Ornstein-Uhlenbeck process of standard
deviation 0.4 and a half-life of 45 minutes), on a constant one nothing does. Every segment is tested on the
truth itself: the log-likelihood per fill that its parameters lose against those that made the day.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from mm.calibration.estimators import Absent, estimate
from mm.calibration.fit_result import PoissonFit
from mm.calibration.points import Floats, Points
from mm.calibration.windows import US_PER_MIN, WEIGHING, WindowFitter, WindowPlan
from mm.cli.console import Console
from mm.cli.frame import command
from mm.cli.knobs import integer, knob
from mm.dataclass import dataclass

BLOCK_MIN, HOURS = 5, 12
BLOCKS = HOURS * 60 // BLOCK_MIN
FILLS_A_BLOCK = 25.0
K = 0.3
CELLS = np.arange(1.0, 31.0)
DEVIATION, HALF_LIFE_MIN = 0.4, 45.0
MARKETS = {"drifting": DEVIATION, "constant": 0.0}
HALF_LIVES_MIN = (15.0, 30.0, 60.0)
PLAIN = ("rolling", "expanding", "static")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is drawn."""

    bench_days: int = knob(200, integer(2, 100_000), "Days of each market.", flag="--days")
    bench_seed: int = knob(0, integer(0, 2**63 - 1), "Key of every draw.", flag="--seed")


def plans() -> dict[str, WindowPlan]:
    """Return every way to share the past by its name, with the windows of a walk-forward and no latency."""
    plain = {mode: WindowPlan(latency_us=0, mode=mode) for mode in PLAIN}
    weighing = {
        f"{mode} {minutes:g}": WindowPlan(latency_us=0, mode=mode, half_life_min=minutes)
        for mode in WEIGHING
        for minutes in HALF_LIVES_MIN
    }
    return plain | weighing


class Day:
    """One drawn day: its truth by block, and the points of any stretch of whole blocks."""

    def __init__(self, deviation: float, seed: int) -> None:
        """Draw the walk of ln A, then the fills."""
        rng = np.random.default_rng(seed)
        near, far = CELLS, np.append(CELLS[1:], np.inf)
        self._width = far - near
        self.gain: Floats = np.exp(-K * near) - np.exp(-K * far)
        self.exposure_s = 2 * BLOCK_MIN * 60.0
        level = math.log(FILLS_A_BLOCK / self.exposure_s / self.gain.sum())
        self.A: Floats = np.exp(level + deviation * _walk(rng) - deviation**2 / 2)
        self._fills = rng.poisson(self.exposure_s * self.A[:, None] * self.gain).astype(float)

    def points(self, start_us: int, end_us: int) -> Points:
        """Return the cells of ``[start_us, end_us)``, with blocks that count from its start."""
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
        """Return the log-likelihood that A and k are expected to lose in a segment, and the fills expected in it."""
        A, k = rates
        blocks = slice(start_us // (BLOCK_MIN * US_PER_MIN), end_us // (BLOCK_MIN * US_PER_MIN))
        truth = self.exposure_s * self.A[blocks, None] * self.gain
        theirs = self.exposure_s * A * (np.exp(-k * CELLS) - np.exp(-k * (CELLS + self._width)))
        return float((truth * np.log(truth / theirs) - truth + theirs).sum()), float(truth.sum())


def _walk(rng: np.random.Generator) -> Floats:
    """Return a stationary Ornstein-Uhlenbeck process of variance 1, block by block."""
    kept = 0.5 ** (BLOCK_MIN / HALF_LIFE_MIN)
    steps = rng.normal(size=BLOCKS)
    walk = np.empty(BLOCKS)
    walk[0] = steps[0]
    for at in range(1, BLOCKS):
        walk[at] = kept * walk[at - 1] + math.sqrt(1 - kept**2) * steps[at]
    return walk


def lost(day: Day, plan: WindowPlan) -> float:
    """Return what a plan loses on a day, in nats per fill."""
    windows = plan.windows(0, BLOCKS * BLOCK_MIN * US_PER_MIN)
    one, whole_loss, fills = WindowFitter(day.points, _bare, plan).one, 0.0, 0.0
    for window in windows:
        found = one(window.train_start_us, window.train_end_us)
        if found.A is None or found.k is None:
            continue
        loss, expected = day.loss(window.start_us, window.end_us, (found.A, found.k))
        whole_loss, fills = whole_loss + loss, fills + expected
    return whole_loss / fills


def _bare(points: Points) -> PoissonFit:
    found = estimate(points.delta_ticks, points.exposure_s, points.fills, points.width_ticks)
    fitted: dict[str, Any] = (
        {} if isinstance(found, Absent) else {name: getattr(found, name) for name in ("A", "k", "se_k", "se_logA")}
    )
    n_fills = float(points.fills.sum())
    return PoissonFit(
        fit_method="poisson_mle", n_fills=n_fills, exposure_s=0.0, usable=bool(fitted), status="", reason="", **fitted
    )


def measure(days: int, seed: int) -> dict[str, dict[str, tuple[float, float, float, float]]]:
    """Return by market and plan: the loss per fill and its error, and how much more than rolling's with its error."""
    found: dict[str, dict[str, tuple[float, float, float, float]]] = {}
    for market, deviation in MARKETS.items():
        drawn = [Day(deviation, seed * 1_000_003 + number) for number in range(days)]
        losses = {name: np.array([lost(day, plan) for day in drawn]) for name, plan in plans().items()}
        found[market] = {name: (*_mean(each), *_mean(each - losses["rolling"])) for name, each in losses.items()}
    return found


def _mean(each: Floats) -> tuple[float, float]:
    return float(each.mean()), float(each.std(ddof=1)) / math.sqrt(len(each))


def table(found: dict[str, dict[str, tuple[float, float, float, float]]]) -> Iterator[str]:
    """Yield what was found as lines for people."""
    yield f"{'mode, half-life':<16}" + "".join(
        f"{market + ', nats per fill':>28}{'beside rolling':>22}" for market in found
    )
    for name in plans():
        cells = [found[market][name] for market in found]
        yield f"{name:<16}" + "".join(f"{f'{a:.4f} ± {b:.4f}':>28}{f'{c:+.4f} ± {d:.4f}':>22}" for a, b, c, d in cells)


@command(Settings)
def main(console: Console, settings: Settings) -> None:
    """Measure what each way to share the past loses against the truth, on drifting and on constant markets."""
    found = measure(settings.bench_days, settings.bench_seed)
    for line in table(found):
        console.say(line)
    names = ("loss", "se_loss", "beside_rolling", "se_beside_rolling")
    fitted = {
        market: {name: dict(zip(names, row, strict=True)) for name, row in rows.items()}
        for market, rows in found.items()
    }
    console.answer({"days": settings.bench_days, "seed": settings.bench_seed, "markets": fitted})


if __name__ == "__main__":
    main()
