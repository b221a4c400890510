"""Scores of predictions: out-of-sample R² or log loss against baselines, with intervals by blocks of time."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm.base.estimate import estimated
from mm.clock import US_PER_S
from mm.predict.samples import Samples, Task

BLOCK_S, LEAST_BLOCKS = 300.0, 8
LEAST_PROBABILITY = 1e-6  # clip of probabilities in the log loss
BINS = 10
CONSTANT = "constant"
S_PER_H = 3600
PNL_HINT = {
    "hour": "spread captured by a unit quoted on both sides at the distance that is best by each one's predictions, "
    "before adverse selection and fees",
    "order": "half the spread less the move of the mid, of a unit filled by each aggressive order whose expected move "
    "is below half the spread by each one's predictions, before fees",
}
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PredictedSamples:
    """Out-of-sample predictions.

    Attributes:
        shuffled: Predictions of some samples with one signal shuffled, by its name.
        moves: Mean move (ticks) of the mid against a fill that each sample's fit knows, without and with an adverse
            move, float64[n, 2]; only for ``adverse``.
    """

    samples: Samples
    values: Floats
    baselines: Mapping[str, Floats]
    shuffled: Mapping[str, Floats]
    probe: Ints
    window: Ints
    moves: Floats | None = None


def score(task: Task, predicted: PredictedSamples, tick: float) -> dict[str, Any]:
    samples, y = predicted.samples, predicted.samples.outcome
    losses = {name: _losses(task, y, values) for name, values in predicted.baselines.items()}
    own, unit = _losses(task, y, predicted.values), losses[CONSTANT].mean()
    best = min(losses, key=lambda name: float(losses[name].mean()))
    regression = task.target == "return"
    unit = unit if regression and unit > 0.0 else 1.0
    scores = {
        "metric": "r2" if regression else "log_loss",
        "value": _metric(task, own, unit),
        "baselines": {name: _metric(task, loss, unit) for name, loss in losses.items()},
        "best_baseline": best,
        "difference": float((losses[best] - own).mean() / unit),
        "difference_ci95": _interval(
            samples.us, losses[best] - own, losses[CONSTANT] if regression else np.ones(len(own)), task.horizon_s
        ),
        "samples": len(samples),
        "calibration": _calibration(y, predicted.values),
        "importance": {
            name: float((_losses(task, y[predicted.probe], values) - own[predicted.probe]).mean() / unit)
            for name, values in predicted.shuffled.items()
        },
        "windows": [
            {
                "begin_us": int(samples.us[at][0]),
                "end_us": int(samples.until_us[at][-1]),
                "samples": int(at.sum()),
                "difference": float((losses[best] - own)[at].mean() / unit),
            }
            for at in (predicted.window == number for number in np.unique(predicted.window))
        ],
    }
    if regression:
        return {**scores, "trading": _trading(samples, predicted.values, task.horizon_s)}
    brier = {name: float(np.mean((values - y) ** 2)) for name, values in predicted.baselines.items()}
    return {
        **scores,
        "brier": {"value": float(np.mean((predicted.values - y) ** 2)), "baselines": brier},
        "pnl": _pnl(task, predicted, best, tick),
    }


def beats(scores: Mapping[str, Any]) -> bool:
    return scores["difference_ci95"] is not None and scores["difference_ci95"][0] > 0.0


def _losses(task: Task, y: Floats, values: Floats) -> Floats:
    if task.target == "return":
        return (y - values) ** 2
    p = np.clip(values, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    losses: Floats = -np.log(np.where(y > 0, p, 1.0 - p))
    return losses


def _metric(task: Task, losses: Floats, unit: float) -> float:
    mean = float(losses.mean() / unit)
    return 1.0 - mean if task.target == "return" else mean


def _interval(us: Ints, gains: Floats, units: Floats, horizon_s: float) -> list[float] | None:
    block, _ = blocks_of(us, horizon_s)
    present, block = np.unique(block, return_inverse=True)  # time between days has no samples
    if len(present) < LEAST_BLOCKS:
        return None
    sums, weights = (np.bincount(block, column, len(present)).astype(np.float64) for column in (gains, units))
    return estimated(sums, weights, least=LEAST_BLOCKS).ends


def blocks_of(us: Ints, horizon_s: float) -> tuple[Ints, int]:
    span_us = int(us[-1] - us[0]) + 1
    length_us = max(min(BLOCK_S * US_PER_S, span_us / 40), 2 * horizon_s * US_PER_S)
    block = ((us - us[0]) // length_us).astype(np.int64)
    return block, int(block[-1]) + 1


def _calibration(y: Floats, values: Floats) -> list[dict[str, float]]:
    order = np.argsort(values, kind="stable")
    return [
        {"predicted": float(values[part].mean()), "observed": float(y[part].mean()), "samples": len(part)}
        for part in np.array_split(order, BINS)
        if len(part)
    ]


def _pnl(task: Task, predicted: PredictedSamples, best: str, tick: float) -> dict[str, Any] | None:
    samples, values = predicted.samples, {"": predicted.values, **predicted.baselines}
    if task.target == "fill":
        us, earned = _captured(samples, values)
        per, unit = "hour", 2 * S_PER_H / task.horizon_s * tick  # two sides
    elif predicted.moves is not None:
        quiet, adverse = predicted.moves.T
        gain = samples.spread / 2.0 - samples.move_ticks
        kept = {name: (1.0 - p) * quiet + p * adverse < samples.spread / 2.0 for name, p in values.items()}
        us, earned = samples.us, {name: np.where(kept[name], gain, 0.0) for name in values}
        per, unit = "order", tick
    else:
        return None
    gains = earned[""] - earned[best]
    ends = _interval(us, gains, np.ones(len(us)), task.horizon_s)
    own, *others = (float(column.mean() * unit) for column in earned.values())
    return {
        "per": per,
        "value": own,
        "baselines": dict(zip(predicted.baselines, others, strict=True)),
        "difference": float(gains.mean() * unit),
        "difference_ci95": ends and [end * unit for end in ends],
    }


def _captured(samples: Samples, values: Mapping[str, Floats]) -> tuple[Ints, dict[str, Floats]]:
    """Return the spread captured per instant and side at each one's best distance."""
    distance = samples.rows[:, -1]
    orders, group = np.unique(2 * samples.us + samples.side, return_inverse=True)
    last = np.cumsum(np.bincount(group)) - 1
    best = {name: np.lexsort((distance * p, group))[last] for name, p in values.items()}
    return orders // 2, {name: distance[at] * samples.outcome[at] for name, at in best.items()}


def _trading(samples: Samples, values: Floats, horizon_s: float) -> dict[str, Any]:
    """Take a position when the predicted move exceeds half the spread."""
    wanted = np.flatnonzero(np.abs(values) > samples.spread / 2.0)
    taken, free_us = [], -1
    for at in wanted.tolist():
        if samples.us[at] >= free_us:
            taken.append(at)
            free_us = int(samples.until_us[at])
    earned = np.sign(values[taken]) * samples.outcome[taken] - samples.spread[taken] / 2.0
    ends = _interval(samples.us[taken], earned, np.ones(len(taken)), horizon_s) if taken else None
    return {
        "trades": len(taken),
        "ticks": float(earned.sum()),
        "ticks_per_trade": float(earned.mean()) if taken else None,
        "ticks_per_trade_ci95": ends,
    }
