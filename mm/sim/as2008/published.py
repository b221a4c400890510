"""What the paper prints: Avellaneda, Stoikov, Quantitative Finance 8(3), 217-224 (2008), tables 1 to 3.

The third gamma is 1. The working paper of 2006 prints other tables, with a third gamma of 0.5; its own rules do not
give them.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mm.sim.as2008.market import Market

PATHS = 1000


@dataclass(frozen=True, slots=True)
class Published:
    """One line of the paper's tables, of PATHS simulated paths."""

    avg_spread: float
    profit_mean: float
    profit_std: float
    final_q_mean: float
    final_q_std: float


_TABLES: Mapping[tuple[float, str], Published] = {
    (0.1, "inventory"): Published(1.49, 65.0, 6.6, 0.08, 2.9),
    (0.1, "symmetric"): Published(1.49, 68.4, 12.7, 0.26, 8.4),
    (0.01, "inventory"): Published(1.35, 68.6, 8.7, 0.12, 5.1),
    (0.01, "symmetric"): Published(1.35, 68.8, 12.8, 0.09, 8.7),
    (1.0, "inventory"): Published(3.02, 31.4, 5.0, 0.02, 1.7),
    (1.0, "symmetric"): Published(3.02, 44.0, 11.0, 0.0, 5.1),
}


def published(market: Market, strategy: str) -> Published | None:
    """Return what the paper prints of *strategy* in *market*; None where it was never there."""
    paper = Market(gamma=market.gamma, A=140.0, k=1.5, sigma=2.0, horizon_s=1.0, steps=200)
    return _TABLES.get((market.gamma, strategy)) if market == paper else None
