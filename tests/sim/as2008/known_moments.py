"""Moments of the experiment of Avellaneda and Stoikov (2008) from independently written recursions."""

from dataclasses import replace

from mm.sim.as2008.exact import exact
from mm.sim.as2008.model import STRATEGIES, PaperModel

PAPER = PaperModel(gamma=0.1, A=140.0, k=1.5, sigma=2.0, horizon_s=1.0, steps=200)
# profit mean and deviation, final inventory's deviation (its mean is 0), kurtosis of profit in a million paths
KNOWN = {
    (0.1, "inventory"): (64.892543085619, 6.543152441954, 2.92679126262, 3.022),
    (0.1, "symmetric"): (68.228178508093, 13.457347670412, 8.401659452278, 5.407),
    (0.01, "inventory"): (68.399627644946, 8.960560658474, 5.212538440789, 3.634),
    (0.01, "symmetric"): (68.66618009732, 13.677615352671, 8.711877120616, 5.638),
    (1.0, "inventory"): (31.454501789177, 4.837919292805, 1.641392874112, 3.07),
    (1.0, "symmetric"): (43.868978913517, 10.75145247027, 5.189281484153, 3.907),
}


def exact_moments(gamma, strategy, market=PAPER):
    """Return the exact moments of a strategy at *gamma*."""
    own = replace(market, gamma=gamma)
    return exact(own, STRATEGIES[strategy](own))
