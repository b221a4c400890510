"""How often 95 % intervals hold a known truth, and find an effect: a table of docs/evidence/measured.md.

``PYTHONPATH=.:tests python tests/null_intervals.py`` measures it and replaces the table on the page.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from benchmarks import truth
from benchmarks.diagnostics import hawkes
from mm import Points
from mm.backtest.journal import Fills, Journal, Mids, Orders, State, Stretches
from mm.backtest.metrics.markouts import half_spreads
from mm.base.arrays import Floats
from mm.calibration.fit_points import FitOptions, fit_window
from mm.instrument import Instrument
from mm.predict.samples import Samples, Task
from mm.predict.scoring import PredictedSamples, score
from support import ROOT

PAGE = ROOT / "docs" / "evidence" / "measured.md"
TABLE = re.compile(r"^\| 95 % interval \| [^\n]*\n(?:\|[^\n]*\n)+", re.MULTILINE)
HEAD = "| 95 % interval | from | holds the truth | finds |\n|---|---|---|---|\n"
SECOND = 1_000_000
GRID = Instrument("TESTUSDT", 1_000_000, 100_000)
RUNS = 400
MARKOUTS = ((20, 30), (60, 30), (60, 60), (110, 60))  # minutes of a run, horizon in s
PERSISTENT = ((1, 5.0), (2, 30.0), (6, 30.0))  # hours of samples, half-life of what the predictors say in s
WINDOWS = (1.0, 2.0, 4.0)  # hours of a window
BRANCHING = 0.7

Ends = Iterable[list[float] | tuple[float, float] | None]
Shares = tuple[float, float]
"""How often an interval holds the truth, and how often it excludes what it is not."""


def shares(ends: Ends, true: float, wrong: float) -> Shares:
    """Return how often *ends* hold the *true* value, and exclude a *wrong* one."""
    known = np.array([pair for pair in ends if pair is not None])
    assert len(known) > RUNS / 4
    holds = [((known[:, 0] <= value) & (value <= known[:, 1])).mean() for value in (true, wrong)]
    return float(holds[0]), float(1 - holds[1])


def of_markouts(minutes: int, horizon_s: int) -> Shares:
    """Fills in bursts on a random walk that knows nothing of them; finds half of the deviation of the move."""
    random, ends, wrong = np.random.default_rng(13), [], 0.5 * horizon_s**0.5 * GRID.tick_e8 / 1e8
    for _ in range(RUNS):
        moved = half_spreads(_journal(random, 60 * minutes), GRID, (horizon_s,))[1][horizon_s].mean()
        ends.append(moved.ci95)
    return shares(ends, 0.0, wrong)


def _journal(random: np.random.Generator, seconds: int) -> Any:
    """Return what markouts read of a journal: a mid of one tick a second, and some hundred fills an hour in bursts."""
    mids = np.stack((np.arange(seconds) * SECOND, 200_000 + 2 * np.cumsum(random.choice((-1, 1), seconds))), axis=1)
    bursts = np.repeat(random.uniform(0, seconds, seconds // 60), random.geometric(0.4, seconds // 60))
    us = np.sort(((bursts + random.exponential(2.0, len(bursts))) % seconds * SECOND).astype(np.int64))
    side = np.repeat(random.choice((-1, 1), len(us) // 2 + 1), 2)[: len(us)]  # neighbours are of one side
    mid2 = mids[us // SECOND, 1]
    fills = Fills.empty(len(us))
    fills.us, fills.side, fills.ticks, fills.lots, fills.mid2 = us, side, mid2 // 2 - side, 1, mid2
    spans = Stretches([[0, seconds * SECOND]])
    return Journal(Orders(), fills, State(), Mids(mids), spans=spans, counters={"last_us": int(mids[-1, 0])})


def of_predictors(hours: int, half_life_s: float) -> Shares:
    """Two predictors that are equally wrong, in what persists; finds one that explains a tenth of the variance."""
    random, keep = np.random.default_rng(17), 2 ** (-1 / half_life_s)
    ends, found = [], []
    for _ in range(RUNS):
        y, told, skill = (_persistent(random, 3_600 * hours, keep) for _ in range(3))
        ends.append(_difference(y, 0.3 * told, -0.3 * told))
        found.append(_difference(y + skill / 3, skill / 3, -0.0 * told))
    return shares(ends, 0.0, 1.0)[0], shares(found, 0.1, 0.0)[1]


def _persistent(random: np.random.Generator, count: int, keep: float) -> Floats:
    drawn = random.standard_normal(count) * (1 - keep**2) ** 0.5
    for at in range(1, count):
        drawn[at] += keep * drawn[at - 1]
    return drawn


def _difference(y: Floats, own: Floats, other: Floats) -> list[float] | None:
    """Return the interval of the difference of two predictors of moves of 10 s."""
    us, zero = np.arange(len(y)) * SECOND, np.zeros(len(y), np.int64)
    samples = Samples(us, us + SECOND, zero, y[:, None], y, y, y, y, np.ones(len(y)))
    told = PredictedSamples(samples, own, {"constant": other}, {}, zero[:0], zero)
    ends: list[float] | None = score(Task("return", 10.0, ("spread",)), told, 0.01)["difference_ci95"]
    return ends


def of_windows(hours: float) -> dict[str, Shares]:
    """Windows of a schedule under orders that excite others: A, and k; find 1.5 times A, and .8 times k."""
    random, ends = np.random.default_rng(19), {"A": list[Any](), "k": list[Any]()}
    for _ in range(RUNS):
        fit = fit_window(Points.of(**truth.marks(hawkes(random, hours, BRANCHING))), FitOptions(intervals="block"))
        ends["A"].append(fit.ci95_A_block)
        ends["k"].append(fit.ci95_k_block)
    known = truth.Truth()
    return {"A": shares(ends["A"], known.A, 1.5 * known.A), "k": shares(ends["k"], known.k, 0.8 * known.k)}


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of the table."""
    windows = [of_windows(hours) for hours in WINDOWS]
    of_hours = ", ".join(f"{hours:g}" for hours in WINDOWS)
    for name, wrong in (("A", "1.5 A"), ("k", ".8 k")):
        holds, finds = zip(*(window[name] for window in windows), strict=True)
        yield (
            f"{name} of a window",
            f"{of_hours} h, each order excites .7 others",
            _listed(holds),
            f"{wrong}: {_listed(finds)}",
        )
    holds, finds = zip(*(of_markouts(*run) for run in MARKOUTS), strict=True)
    runs = ", ".join(f"{horizon} s in {minutes} min" for minutes, horizon in MARKOUTS)
    yield "adverse selection of short runs", f"fills in bursts: {runs}", _listed(holds), f"half a sd: {_listed(finds)}"
    holds, finds = zip(*(of_predictors(*market) for market in PERSISTENT), strict=True)
    markets = ", ".join(f"{hours} h, half-life {half_life:g} s" for hours, half_life in PERSISTENT)
    yield "difference of two predictors", f"persistent: {markets}", _listed(holds), f"R² .1: {_listed(finds)}"


def _listed(each: Iterable[float]) -> str:
    return ", ".join(f"{share:.3f}" for share in each)


def table() -> str:
    """Return the table as it stands on the page."""
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows())


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(TABLE.sub(lambda _: table(), text, count=1), encoding="utf-8")
