"""A fitted predictor on another day: score and columns."""

import numpy as np
import pytest

from fill_predictors import train
from markets import HORIZON_S, SECOND, SIGNALS, hinted
from mm import Tape
from mm.errors import Mismatch
from mm.instrument import Instrument
from mm.predict.apply import predict_over, rescore, task_of
from mm.predict.samples import Task, samples_of
from mm.predict.walk import predictions
from mm.signals.artefact import Artefact

RETURN = Task("return", HORIZON_S, SIGNALS)


def test_other_day_is_scored_without_refit(tmp_path):
    """A later day of the same market confirms it, a random market does not, and another tick is rejected."""
    train(tmp_path, [hinted(0.9)], RETURN, "logistic")
    artefact = Artefact.read(tmp_path)
    later = rescore(artefact, [hinted(0.9, seed=8)])
    assert later["value"] == pytest.approx(0.9**2 / 3, abs=0.05)
    assert rescore(artefact, [hinted(0.0, 2000, seed=8)])["value"] < 0
    other = Tape.of(
        Instrument("TESTUSDT", tick_e8=2_000_000, lot_e8=1_000), [(SECOND, "snapshot", [(9, 5)], [(10, 5)])]
    )
    with pytest.raises(Mismatch, match=r"tick of 0.01, not on TESTUSDT with a tick of 0.02"):
        rescore(artefact, [other])


def test_columns_equal_predictions_of_samples(tmp_path):
    """The scored values equal the written values at the same instants."""
    train(tmp_path, [hinted(0.9)], RETURN, "logistic")
    artefact, tape = Artefact.read(tmp_path), hinted(0.9, 500, seed=8)
    assert task_of(artefact) == RETURN
    (piece,) = predict_over(tape, artefact)
    samples = samples_of([tape], RETURN)
    at = np.searchsorted(piece.recv_us, samples.us)
    assert piece.recv_us[at].tolist() == samples.us.tolist()
    assert piece.values[0, at].tobytes() == predictions(artefact.predictor(), samples).tobytes()
