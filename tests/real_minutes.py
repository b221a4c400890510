"""How often the real minutes of a strategy, their mean taken off, look like a finding (docs/evidence/measured.md).

Blocks of half an hour are drawn anew, so that tails and dependence are the market's. ``PYTHONPATH=.:tests python
tests/real_minutes.py`` prints the table; it needs the recorded markets of ``shared/data``.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import mm
from captured import import_files
from mm.backtest.metrics.notes import DRIFT_HALF_LIVES
from mm.backtest.metrics.pnl import account_of, changes_60s
from mm.backtest.metrics.risk import drift_half_life_s
from mm.backtest.metrics.verdict import Sample, judge
from mm.base.arrays import Floats
from mm.base.numbers import ABOVE, BELOW
from mm.dayfolder.layout import days_of
from null_pnl import DESIGNS, HOURS, bounds_of_the_chosen
from support import SHARED

SYMBOL, FOLDER = "NEXOUSDT", SHARED / "data/binance-spot-nexousdt-20240723-24"
BLOCK = 30  # minutes
RUNS, SWEEPS = 400, 150
FUNDED = {"initial_cash": "10000000000", "initial_inventory": "10000000", "maker_fee_rate": 0, "sensitivity": False}
Draw = Callable[[np.random.Generator, tuple[int, int]], Floats]


def real_minutes() -> Floats:
    """Return the quoting PnL by minute of the default strategy on the recorded market, its mean taken off."""
    with TemporaryDirectory() as root:
        import_files(sorted(FOLDER.glob("*.gz")), Path(root), SYMBOL)
        days = [mm.load_day(Path(root) / SYMBOL / day) for day in days_of(Path(root), SYMBOL)]
        played = mm.backtest(days, **FUNDED)
    pnl: Floats = changes_60s(account_of(played.journal, played.terms))
    return pnl - pnl.mean()


def blocks_of(minutes: Floats) -> Draw:
    """Return a function that draws columns of whole blocks of *minutes*, which end where they begin."""

    def drawn(random: np.random.Generator, shape: tuple[int, int]) -> Floats:
        starts = random.integers(0, len(minutes), (-(-shape[0] // BLOCK), 1, shape[1]))
        rows: Floats = minutes[(starts + np.arange(BLOCK)[None, :, None]) % len(minutes)]
        return rows.reshape(-1, shape[1])[: shape[0]]

    return drawn


def of_verdicts(draw: Draw, hours: int, edge: float = 0.0) -> Mapping[str, float]:
    """Return how often a run is above and below 0, how often above without a word, and has a note on a drift.

    *edge* is the mean a minute, in standard deviations. A word is that note, or what would undo the result.
    """
    pnl = draw(np.random.default_rng(hours), (60 * hours, RUNS))
    found = []
    for run in (pnl + edge * pnl.std()).T:
        told, half_life_s = judge(Sample.of(run)), drift_half_life_s(run) or 0.0
        assert told is not None
        above, noted = told.text == ABOVE, 60 * len(run) < DRIFT_HALF_LIVES * half_life_s
        silent = above and not noted and told.undone_by is None
        found.append((above, told.text == BELOW, silent, noted))
    return dict(zip(("above", "below", "silent", "noted"), np.mean(found, axis=0).tolist(), strict=True))


def of_chosen(draw: Draw, hours: int, skill: float = 0.0) -> tuple[float, float]:
    """Return how often the bound of the chosen one is above 0, without and with the pooled tail.

    One design earns *skill* deviations a minute more than nothing.
    """
    random, bounds = np.random.default_rng(hours), []
    for _ in range(SWEEPS):
        pnl = draw(random, (60 * hours, DESIGNS))
        pnl[:, 0] += skill * pnl.std()
        bounds.append(bounds_of_the_chosen(pnl))
    without, pooled = (np.array(bounds) > 0).mean(axis=0).tolist()
    return without, pooled


def sentences() -> str:
    """Return the numbers of docs/evidence/measured.md."""
    draw, hours = blocks_of(real_minutes()), ", ".join(map(str, HOURS))
    null, true = ([of_verdicts(draw, each, edge) for each in HOURS] for edge in (0.0, 0.1))
    nothing, skilled = ([of_chosen(draw, each, skill) for each in HOURS] for skill in (0.0, 0.3))
    above, below, silent, noted = (_listed(one[name] for one in null) for name in ("above", "below", "silent", "noted"))
    without, pooled = (_listed(pair[at] for pair in nothing) for at in (0, 1))
    return (
        f"{hours} h: above 0 in {above} %, below in {below} %, with the note on a drift {noted} %, above 0 without it "
        f"and without `undone_by` {silent} %; an edge of .1 deviations a minute {_listed(one['above'] for one in true)}"
        f" %\nthe chosen of {DESIGNS}: {without} % without the pooled tail, {pooled} % with it; a design of .3 "
        f"deviations a minute {_listed(pair[1] for pair in skilled)} %"
    )


def _listed(shares: Iterable[float]) -> str:
    return ", ".join(f"{100 * share:.0f}" for share in shares)


if __name__ == "__main__":
    print(sentences())
