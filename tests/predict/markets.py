"""Synthetic markets whose next move is known by construction."""

import numpy as np

from engine_tapes import TEST
from mm import Tape

SECOND = 1_000_000
STEP_US = SECOND
HORIZON_S = 1.0  # contains one move
SIGNALS = ("imbalance_5", "imbalance_1", "momentum_5s")


def hinted(share, steps=4000, seed=5, begin_us=SECOND, ticks=1000):
    """Return a tape whose mid moves one tick per second; queues behind the best prices hint at the direction.

    A hint is uniform in (−1, 1), imbalance_5 about .8 of it, and the next move is up with probability
    (1 + share·hint)/2: the expected move is share·hint, and its R² share²/3. imbalance_1 is noise, the spread one tick.
    A print between the moves takes from either side with equal probability.
    """
    rng = np.random.default_rng(seed)
    hints = rng.uniform(-1, 1, steps + 1)
    bid, events, old = ticks, [], None
    for step in range(steps):
        us = begin_us + step * STEP_US
        lots = (round(1000 * (1 + 0.8 * hints[step])), round(1000 * (1 - 0.8 * hints[step])))
        best = int(rng.integers(1, 4)), int(rng.integers(1, 4))
        bids, asks = [(bid, best[0]), (bid - 1, lots[0])], [(bid + 1, best[1]), (bid + 2, lots[1])]
        if old is None:
            events.append((us, "snapshot", bids, asks))
        else:
            gone = [
                [(price, 0) for price, _ in was if price not in dict(now)]
                for was, now in zip(old, (bids, asks), strict=True)
            ]
            events.append((us, "depth", gone[0] + bids, gone[1] + asks))
        side = 1 if rng.random() < 0.5 else -1
        events.append((us + STEP_US // 4, "trade", side, bid + (side > 0), 1))
        old = bids, asks
        bid += 1 if rng.random() < (1 + share * hints[step]) / 2 else -1
    return Tape.of(TEST, events)
