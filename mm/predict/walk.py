"""Walk-forward scores of predictors, and a final fit on all samples.

Each of the equal windows but the first is scored by a model fitted on samples whose outcome was known (purge) a whole
horizon (embargo) before it begins (López de Prado, Advances in Financial Machine Learning, 2018, chapter 7).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mm.errors import FitError, UsageError
from mm.instrument import short_text
from mm.predict.fitting import constant_signals, fit, fit_baselines, predict_baselines
from mm.predict.samples import Samples, Task, joined, samples_of
from mm.predict.scoring import PredictedSamples, beats, score
from mm.signals.artefact import SCHEMA_VERSION, Arrays
from mm.signals.compute import NO_OTHERS
from mm.signals.predictor import Predictor

if TYPE_CHECKING:
    from mm.signals.other_feed import OtherFeed
    from mm.tape.tape import Tape

WINDOWS = 6
MOST_PROBED = 10_000  # maximum number of samples per window for the importance of signals


class Learned(NamedTuple):
    """*about* is the content of ``model.json`` without its hash, *arrays* are the kernels'."""

    about: dict[str, Any]
    arrays: Arrays


def learn(  # noqa: PLR0913 - the first three are the question, the others have defaults
    tapes: Sequence["Tape"],
    task: Task,
    model: str,
    seed: int = 0,
    step: Callable[[int], None] = lambda _: None,
    *,
    drop_constant: bool = False,
    others: Mapping[str, "OtherFeed"] = NO_OTHERS,
) -> Learned:
    """Fit a predictor on recorded days, with its score by walk-forward.

    Args:
        step: Called after each of the ``WINDOWS`` fits.
        drop_constant: Leave out constant signals, unless all are.

    Raises:
        FitError: Too few samples, a single class, or a constant signal that stays.
    """
    tick_e8 = tapes[0].instrument.tick_e8
    tick = tick_e8 / 1e8
    samples = samples_of(tapes, task, others)
    constant = constant_signals(task, samples)
    if constant and drop_constant and len(constant) < len(task.signals):
        varying = [place for place, name in enumerate(task.signals) if name not in constant]
        further = range(len(task.signals), task.inputs)
        samples = replace(samples, rows=np.ascontiguousarray(samples.rows[:, [*varying, *further]]))
        task = replace(task, signals=tuple(task.signals[place] for place in varying))
    elif constant:
        raise FitError(
            "{} is constant in all {:,} samples; leave it out of {signals}", ", ".join(constant), len(samples)
        )
    scores = score(task, _walked(task, samples, model, tick, seed, step), tick)
    fitted = fit(model, task, samples, tick, seed)
    step(1)
    about = {
        "schema_version": SCHEMA_VERSION,
        "target": task.target,
        "model": model,
        "horizon": task.horizon_s,
        "signals": list(task.signals),
        "distances_ticks": list(task.distances_ticks),
        "scaler": dict(fitted.scaler),
        "heads": [dict(head) for head in fitted.heads],
        "train_window": {"start_us": int(samples.us[0]), "end_us": int(samples.until_us.max())},
        "days": [day for tape in tapes for day in tape.days],
        "symbol": tapes[0].symbol,
        "tick": short_text(tick_e8),
        "seed": seed,
        "baselines": fit_baselines(task, samples),
        "adverse_moves_ticks": _adverse_moves(samples) if task.target == "adverse" else None,
        "score": scores,
        "usable": beats(scores),
    }
    return Learned(about, fitted.arrays)


def predictions(predictor: Predictor, samples: Samples) -> NDArray[np.float64]:
    predicted = np.empty(len(samples))
    for side in range(len(predictor.heads)):
        at = samples.side == side
        predicted[at] = predictor.predict(samples.rows[at], samples.mid_ticks[at], side)
    return predicted


def _walked(
    task: Task, samples: Samples, model: str, tick: float, seed: int, step: Callable[[int], None]
) -> PredictedSamples:
    begins = samples.us[len(samples) * np.arange(WINDOWS) // WINDOWS]
    place = np.searchsorted(begins, samples.us, side="right") - 1
    pieces = []
    for number in range(1, WINDOWS):
        at = np.flatnonzero(place == number)
        before = samples.at(samples.until_us + task.horizon_us <= begins[number])
        scored = samples.at(at)
        if not len(before) or not len(scored) or scored.us[-1] - scored.us[0] < task.horizon_us:
            span_s = (samples.us[-1] - samples.us[0]) / 1e6
            raise UsageError(
                "{predict_horizon_s} is {:g}, too long for {:,.0f} s in {} windows, each scored by a fit that ends a "
                "horizon before it; give a shorter one, or more days",
                task.horizon_s,
                span_s,
                WINDOWS,
            )
        fitted = fit(model, task, before, tick, seed).predictor
        baselines = predict_baselines(task, scored, fit_baselines(task, before))
        shuffled = shuffled_predictions(fitted, task, scored, seed + number)
        window = np.full(len(at), number)
        moves = np.array(_adverse_moves(before))[scored.side] if task.target == "adverse" else None
        pieces.append(
            PredictedSamples(scored, predictions(fitted, scored), baselines, shuffled, probe(scored), window, moves)
        )
        step(1)
    return _joined(pieces)


def shuffled_predictions(
    predictor: Predictor, task: Task, samples: Samples, seed: int
) -> dict[str, NDArray[np.float64]]:
    draw, shuffled = np.random.default_rng(seed), {}
    samples = samples.at(probe(samples))
    for column, name in enumerate(task.signals):
        rows = samples.rows.copy()
        rows[:, column] = rows[draw.permutation(len(rows)), column]
        shuffled[name] = predictions(predictor, replace(samples, rows=rows))
    return shuffled


def probe(samples: Samples) -> NDArray[np.int64]:
    return np.arange(0, len(samples), -(-len(samples) // MOST_PROBED))


def _joined(pieces: Sequence[PredictedSamples]) -> PredictedSamples:
    def of_all(by_name: Sequence[dict[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
        return {name: np.concatenate([part[name] for part in by_name]) for name in by_name[0]}

    begins = np.cumsum([0, *(len(piece.samples) for piece in pieces[:-1])])
    return PredictedSamples(
        joined([piece.samples for piece in pieces]),
        np.concatenate([piece.values for piece in pieces]),
        of_all([dict(piece.baselines) for piece in pieces]),
        of_all([dict(piece.shuffled) for piece in pieces]),
        np.concatenate([piece.probe + first for piece, first in zip(pieces, begins, strict=True)]),
        np.concatenate([piece.window for piece in pieces]),
        None
        if pieces[0].moves is None
        else np.concatenate([piece.moves for piece in pieces if piece.moves is not None]),
    )


def _adverse_moves(samples: Samples) -> list[list[float]]:
    sides = [samples.move_ticks[samples.side == side] for side in (0, 1)]
    return [[_mean(move[move <= 0]), _mean(move[move > 0])] for move in sides]


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else 0.0
