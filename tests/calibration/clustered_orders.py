"""Orders of a Hawkes law drawn as families (ancestors, and the children of each), not by the fitted intensity."""

import numpy as np
from numpy.typing import NDArray

from mm.calibration.hawkes import Excitation


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
