"""An untrained fill predictor with constant parameters, for tests that run or reject it."""

from pathlib import Path

import numpy as np

from engine_tapes import TEST
from mm.signals.artefact import Artefact, write

SIGNALS = ["imbalance_1", "spread", "signed_volume_1s"]
WEIGHTS, BIAS = ((0.5, -0.3, 0.2, -0.8), (-0.5, -0.2, -0.1, -0.6)), (0.4, -0.2)
SCALER, DISTANCES, HORIZON_S = ((0.0, 2.0, 1e-5, 2.0), (0.5, 1.5, 4e-5, 1.0)), (0.5, 2.0, 6.0), 2.0


def written(folder, **changes):
    """Write a logistic fill predictor and return its folder."""
    Path(folder).mkdir(exist_ok=True)
    bias = changes.pop("bias", BIAS)
    weights = changes.pop("weights", WEIGHTS)
    arrays = {}
    for side in range(2):
        arrays |= {f"{side}.w0": np.array(weights[side]).reshape(-1, 1), f"{side}.b0": np.array([bias[side]])}
    about = {
        "target": "fill",
        "model": "logistic",
        "horizon": HORIZON_S,
        "signals": SIGNALS,
        "distances_ticks": list(DISTANCES),
        "scaler": {"mean": SCALER[0], "scale": SCALER[1], "priced": [False] * 4},
        "heads": [{"kind": "network", "activations": ["logistic"]}] * 2,
        "train_window": {"start_us": 0, "end_us": 1},
        "days": ["19700101"],
        "symbol": TEST.symbol,
        "tick": str(TEST.tick_e8 / 1e8),
        "usable": True,
    }
    write(Path(folder), {**about, **changes}, arrays)
    return str(folder)


def train(folder, tapes, task, model, seed=0):
    """Fit a predictor to tapes, and return it as written; *task* is its target, horizon, signals and distances."""
    from mm.predict.samples import Task
    from mm.predict.walk import learn

    write(folder, *learn(tapes, Task(*task) if isinstance(task, tuple) else task, model, seed))
    return Artefact.read(folder)
