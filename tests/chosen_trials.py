"""What a user concludes who sweeps, takes the best and plays it again: with the ledger of trials, and without it.

``python tests/chosen_trials.py`` prints the row of docs/evidence/measured.md.
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from mm.backtest.metrics.ranking import mean_ends
from mm.backtest.metrics.verdict import Sample, judge
from mm.base.arrays import Floats
from mm.trials.ledger import Trial, TrialLine
from mm.trials.on_record import Recording

DESIGNS, MINUTES = 50, 480
BEGIN_US = 1_767_600_000_000_000
WORLDS = 200


def trial(design: int, pnl: Floats) -> Trial:
    """Return a design with its PnL by minute."""
    line = TrialLine(
        at_us=0,
        design=f"{design:024x}",
        assumption="queue",
        market="market",
        quotes="coin",
        fills="queue_prob_power",
        days=("20260105",),
        made_by="sweep",
        spans=((BEGIN_US, len(pnl)),),
        begin=0,
    )
    return Trial("BTCUSDT", "20260105", line, pnl)


def steps(pnl: Floats) -> Iterator[tuple[bool, bool, int]]:
    """Yield whether each command says above 0, alone and with the ledger, and the design that it is about.

    A sweep of all designs, one of its two best, one of its best, and the backtest of that, below one OUT_ROOT.
    """
    low, _ = mean_ends(pnl, [len(pnl)])
    order = np.argsort(-low)
    with TemporaryDirectory() as folder:
        for some in (order, order[:2], order[:1]):
            run = Recording(Path(folder), "sweep")
            run.add(trial(int(design), pnl[:, design]) for design in some)
            best, tried = pnl[:, order[:1]], run.on_record().independent
            own = Recording(Path(folder) / "elsewhere" / str(len(some)), "sweep")
            own.add(trial(int(design), pnl[:, design]) for design in some)
            ends = [mean_ends(best, [len(pnl)], trials)[0][0] > 0 for trials in (own.on_record().independent, tried)]
            yield bool(ends[0]), bool(ends[1]), int(order[0])
        run = Recording(Path(folder), "backtest")
        run.add([trial(int(order[0]), pnl[:, order[0]])])
        sample = Sample.of(pnl[:, order[0]])
        told = [judge(sample, trials=trials) for trials in (1.0, run.on_record().independent)]
        alone, allowed = (one is not None and one.text == "above 0" for one in told)
        yield alone, allowed, int(order[0])


def share(worlds: int, minutes: int = MINUTES, edge: float = 0.0) -> dict[str, float]:
    """Return how often some command says above 0, alone and with the ledger.

    Args:
        worlds: Number of markets, each with `DESIGNS` designs.
        minutes: Length.
        edge: Mean of one of the designs, in standard deviations a minute; with it only that design counts as found.
    """
    draw, alone, allowed = np.random.default_rng(17), 0, 0
    for _ in range(worlds):
        pnl = draw.standard_t(4, size=(minutes, DESIGNS)) / 2**0.5
        pnl[:, 0] += edge
        told = [step for step in steps(pnl) if not edge or step[2] == 0]
        alone += any(one for one, _, _ in told[1:])
        allowed += any(one for _, one, _ in told)
    return {"alone": alone / worlds, "allowed": allowed / worlds}


if __name__ == "__main__":
    null = share(WORLDS)
    print(f"null: {100 * null['alone']:.1f} % alone, {100 * null['allowed']:.1f} % with the ledger")
    for minutes, edge in ((480, 0.2), (480, 0.3), (840, 0.2), (840, 0.3)):
        found = share(WORLDS // 2, minutes, edge)
        print(f"an edge of {edge} sd a minute in {minutes // 60} h: found in {100 * found['allowed']:.0f} %")
