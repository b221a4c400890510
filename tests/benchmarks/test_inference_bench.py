"""The measurement of single predictions: rows for each model and for an agent, of calls with valid results."""

import numpy as np
import pytest

from benchmarks import inference
from mm.predict.fitting import MODELS

pytestmark = pytest.mark.slow  # a measurement of the project, not a fault of the product


def test_measure_returns_p50_and_p99_of_models_and_agent(monkeypatch):
    """Median and p99 of each, with p99 at least the median; each call returns one finite number per output."""
    monkeypatch.setattr(inference, "CALLS", 50)
    measured = inference.measure(2)
    assert [row.name for row in measured.rows] == [
        f"{name}, {which}" for name in (*MODELS, "agent") for which in ("p50", "p99")
    ]
    for p50, p99 in zip(measured.rows[::2], measured.rows[1::2], strict=True):
        assert all(0.0 < median_us <= p99_us for median_us, p99_us in zip(p50.ours, p99.ours, strict=True))
    answers = [np.asarray(call()) for call in (*inference._predictors().values(), inference._agent())]
    assert [answer.size for answer in answers] == [1, 1, 1, inference.AGENT_OUTPUTS]
    assert all(np.isfinite(answer).all() for answer in answers)
