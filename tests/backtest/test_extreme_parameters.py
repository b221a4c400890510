"""Every declared parameter with extreme values: no crash by a signal, no hang, no allocation without a bound.

The registries are walked, so that a new model, signal, scenario or knob is tried as well.
"""

import random

import pytest

from extreme_outcomes import bad, outcomes
from extreme_player import cases

PLAYER = "extreme_player.py"
SAMPLE = 400


def test_sample_of_extreme_parameters_is_played_or_refused():
    every = cases()
    known = {"kind": "quote", "name": "avellaneda_stoikov", "mode": "session", "values": {"horizon_s": 1e-7}}
    assert known in every
    found = outcomes(PLAYER, [known, *random.Random(0).sample(every, SAMPLE)])
    assert bad(found) == []
    played = sum(outcome == "ok" for _, outcome in found)
    assert SAMPLE // 10 < played < SAMPLE


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["quote", "step", "fill", "signal", "scenario", "knob"])
def test_every_extreme_parameter_is_played_or_refused(kind):
    assert bad(outcomes(PLAYER, [case for case in cases() if case["kind"] == kind])) == []
