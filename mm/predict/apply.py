"""Applies a predictor to other days: predictions per signal row, and a score, without scikit-learn."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mm.instrument import e8
from mm.predict.fitting import predict_baselines
from mm.predict.samples import Task, samples_of
from mm.predict.scoring import PredictedSamples, score
from mm.predict.walk import predictions, probe, shuffled_predictions
from mm.signals.artefact import Artefact
from mm.signals.compute import NO_OTHERS, compute

if TYPE_CHECKING:
    from mm.signals.other_feed import OtherFeed
    from mm.tape.tape import Tape


class PredictedRows(NamedTuple):
    recv_us: NDArray[np.int64]
    values: NDArray[np.float64]


def predict_over(
    tape: "Tape", artefact: Artefact, others: Mapping[str, "OtherFeed"] = NO_OTHERS
) -> Iterator[PredictedRows]:
    """Yield predictions in pieces; Mismatch if symbol or tick are not the fit's."""
    artefact.check(tape.symbol, tape.instrument.tick_e8)
    names = artefact.signal_names
    for piece in compute(tape, names, others=others):
        yield PredictedRows(piece.recv_us, piece.values)


def write_predictions(
    path: Path, artefact: Artefact, pieces: Iterable[PredictedRows], about: Mapping[str, Any]
) -> tuple[int, int]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sided = [f"prediction_{side}" for side in artefact.sides]
    names = ["prediction", *sided]
    fields = [pa.field("recv_us", pa.int64()), *(pa.field(name, pa.float64()) for name in names)]
    schema = pa.schema(fields, metadata={"mm": json.dumps(about)})
    rows = known = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for piece in pieces:
            mean = piece.values.mean(axis=0)
            columns = [mean, *(piece.values if sided else ())]
            arrays = [pa.array(piece.recv_us), *(pa.array(column, from_pandas=True) for column in columns)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            rows, known = rows + len(mean), known + int(np.count_nonzero(~np.isnan(mean)))
    return rows, known


def rescore(
    artefact: Artefact, tapes: Sequence["Tape"], others: Mapping[str, "OtherFeed"] = NO_OTHERS
) -> dict[str, Any]:
    """Return the score on other days against the fitted baselines; FitError without samples, or Mismatch."""
    task = task_of(artefact)
    for tape in tapes:
        artefact.check(tape.symbol, tape.instrument.tick_e8)
    samples, kernels = samples_of(tapes, task, others), artefact.predictor()
    baselines = predict_baselines(task, samples, artefact.about["baselines"])
    about, window = artefact.about, np.zeros(len(samples), np.int64)
    seed, moves = about["seed"], about["adverse_moves_ticks"]
    values, shuffled = predictions(kernels, samples), shuffled_predictions(kernels, task, samples, seed)
    known = None if moves is None else np.array(moves)[samples.side]
    predicted = PredictedSamples(samples, values, baselines, shuffled, probe(samples), window, known)
    return score(task, predicted, e8(about["tick"]) / 1e8)


def task_of(artefact: Artefact) -> Task:
    about = artefact.about
    return Task(about["target"], about["horizon"], artefact.signals, tuple(about["distances_ticks"]))
