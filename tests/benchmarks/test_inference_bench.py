"""The measurement of single predictions: a row for each model and for an agent, of calls that answer."""

import numpy as np

from benchmarks import inference
from mm.predict.fitting import MODELS


def test_every_model_and_an_agent_are_measured(monkeypatch):
    """Median and p99 of each, p99 no less; what is called returns one finite number for each output."""
    monkeypatch.setattr(inference, "CALLS", 50)
    found = inference.measure(2)
    assert [row.name for row in found.rows] == [
        f"{name}, {which}" for name in (*MODELS, "agent") for which in ("p50", "p99")
    ]
    for p50, p99 in zip(found.rows[::2], found.rows[1::2], strict=True):
        assert all(0.0 < near <= far for near, far in zip(p50.ours, p99.ours, strict=True))
    answers = [np.asarray(call()) for call in (*inference._predictors().values(), inference._agent())]
    assert [answer.size for answer in answers] == [1, 1, 1, inference.AGENT_OUTPUTS]
    assert all(np.isfinite(answer).all() for answer in answers)
