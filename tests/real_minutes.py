"""How often the real minutes of a strategy, their mean taken off, look like a finding.

``PYTHONPATH=.:tests python tests/real_minutes.py out/sweep/<S>/<RUN>/pnl_60s.csv`` draws them anew, for each design.
"""

import sys
from pathlib import Path

import numpy as np

from null_pnl import DESIGNS, HOURS, bounds_of_the_chosen

SWEEPS = 150


def shares(minutes: np.ndarray, hours: int, skill: float) -> list[float]:
    """Return how often the bound of the chosen is above 0, without and with the pooled tail.

    One design earns *skill* deviations a minute more than nothing.
    """
    random, found = np.random.default_rng(hours), []
    for _ in range(SWEEPS):
        pnl = minutes[random.integers(0, len(minutes), (60 * hours, DESIGNS))]
        pnl[:, 0] += skill * minutes.std()
        found.append(bounds_of_the_chosen(pnl))
    return [100 * share for share in (np.array(found) > 0).mean(axis=0).tolist()]


if __name__ == "__main__":
    table = np.loadtxt(Path(sys.argv[1]), delimiter=",", skiprows=1, ndmin=2)
    real = table[:, 1] - table[:, 1].mean()
    for hours in HOURS:
        null, skilled = shares(real, hours, 0.0), shares(real, hours, 0.3)
        print(
            f"{hours} h: of nothing {null[0]:.0f} %, pooled {null[1]:.0f} %; .3 deviations, pooled {skilled[1]:.0f} %"
        )
