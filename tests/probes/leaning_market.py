"""A market with one queue at one price, whose cancellations depend on the place in the queue, as a tape."""

import numpy as np

from mm import Tape
from mm.instrument import Instrument

GRID = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000)
BID, ASK = 1000, 1002
STEP_US = 100_000
MOST_LOTS = 40_000  # large, so that equal sizes are rare


def leaning_tape(lean: float, *, steps: int, seed: int = 1) -> Tape:
    """Return a tape of *steps* depth messages, 100 ms apart.

    Args:
        lean: Cancellations fall on the order at the share x of the queue (0 the front) with weight exp(lean·x): 0 is
            uniform, below 0 leans to the front, above 0 to the back.
        steps: Number of messages.
        seed: Seed of all draws.
    """
    draws = np.random.default_rng(seed)
    queue = draws.integers(1, MOST_LOTS, 40).tolist()
    shown = sum(queue)
    events = [(0, "snapshot", [(BID, shown)], [(ASK, 500)])]
    for step in range(1, steps):
        us = step * STEP_US
        queue += draws.integers(1, MOST_LOTS, draws.poisson(0.3)).tolist()
        for _ in range(min(draws.poisson(0.0065 * len(queue)), len(queue))):
            weight = np.exp(lean * (np.arange(len(queue)) + 0.5) / len(queue))
            del queue[draws.choice(len(queue), p=weight / weight.sum())]
        if queue and draws.random() < 0.03:
            events.append((us - 1, "trade", -1, BID, queue.pop(0)))
        if sum(queue) != shown:
            shown = sum(queue)
            events.append((us, "depth", [(BID, shown)], []))
    return Tape.of(GRID, events)
