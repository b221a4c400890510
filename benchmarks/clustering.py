"""``python -m benchmarks.clustering``: how often the intervals of a Hawkes fit include a known truth.

Each day is drawn as families (ancestors, and the children of each), not by the fitted intensity.
"""

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mm.calibration.hawkes import ArrivalFlow, Excitation, HawkesFit, fit_hawkes

HOURS = 14
NORMAL_95 = 1.959964
LAWS = {
    "Poisson": Excitation(np.array([0.05, 0.05]), np.zeros((2, 2, 0)), np.empty(0)),
    "1 kernel, .6": Excitation(np.array([0.05, 0.08]), np.array([[[0.4], [0.2]], [[0.1], [0.5]]]), np.array([1.5])),
    "1 kernel, .85": Excitation(np.array([0.03, 0.03]), np.array([[[0.8], [0.05]], [[0.05], [0.8]]]), np.array([0.2])),
    "2 kernels, .63": Excitation(
        np.array([0.02, 0.02]), np.array([[[0.2, 0.3], [0.05, 0.1]], [[0.1, 0.1], [0.2, 0.2]]]), np.array([5.0, 0.05])
    ),
}


def families(seed: int, law: Excitation, seconds: float) -> list[NDArray[np.float64]]:
    """Draw the orders of both sides in ``[0, seconds)``: ancestors, their children, and so on."""
    rng = np.random.default_rng(seed)
    orders: list[list[float]] = [[], []]
    pending = [(at, side) for side in (0, 1) for at in rng.uniform(0, seconds, rng.poisson(law.mu[side] * seconds))]
    while pending:
        at, source = pending.pop()
        orders[source].append(at)
        for side in (0, 1):
            for m, beta in enumerate(law.beta.tolist()):
                later = at + rng.exponential(1 / beta, rng.poisson(law.branching[side, source, m]))
                pending += [(child, side) for child in later.tolist() if child < seconds]
    return [np.sort(np.array(times)) for times in orders]


def day(seed: int, law: Excitation) -> HawkesFit:
    """Return the fit of one drawn day."""
    seconds = HOURS * 3600.0
    return fit_hawkes(ArrivalFlow.of(families(seed, law, seconds), np.array([[0.0, seconds]])))


def coverage(fit: HawkesFit, law: Excitation) -> list[bool]:
    """Return, per parameter of *law*, whether the 95 % interval of *fit* contains it; empty if kernels are missing."""
    if fit.law is None or fit.se is None or fit.law.beta.size != law.beta.size:
        return []
    truth, fitted, error = (np.concatenate((excitation.mu, excitation.branching.ravel(), excitation.beta))
                            for excitation in (law, fit.law, fit.se))  # fmt: skip
    return [bool(excitation) for excitation in (np.abs(fitted - truth) < NORMAL_95 * error)[~np.isnan(error)]]


def lines(days: int) -> Iterator[str]:
    """Yield the table."""
    yield (
        f"{'flow':<16}{'days':>6}{'orders':>9}{'kernels found':>15}{'ratio off, mean':>17}{'largest':>9}"
        f"{'ratio in 95 %':>15}{'parameters in 95 %':>20}{'KS, largest':>13}"
    )
    for name, law in LAWS.items():
        fits = [day(seed, law) for seed in range(days)]
        ratios = [
            (one.law.ratio if one.law is not None else np.nan) - (law.ratio if law.beta.size else 0.0) for one in fits
        ]
        right = np.mean([one.law is not None and one.law.beta.size == law.beta.size for one in fits])
        errors = [(off, one.se_ratio) for off, one in zip(ratios, fits, strict=True) if one.se_ratio is not None]
        inside = np.mean([abs(off) < NORMAL_95 * error for off, error in errors]) if law.beta.size else np.nan
        parameters = np.mean([one for fit in fits for one in coverage(fit, law)])
        yield (
            f"{name:<16}{days:>6}{np.mean([sum(one.events) for one in fits]):>9,.0f}{right:>15.3f}"
            f"{np.mean(ratios):>17.4f}"
            f"{np.abs(ratios).max():>9.3f}{inside:>15.3f}{parameters:>20.3f}"
            f"{max(max(one.ks) for one in fits if one.ks):>13.3f}"
        )


if __name__ == "__main__":
    for line in lines(int(sys.argv[1]) if len(sys.argv) > 1 else 100):
        print(line, flush=True)
