"""The text of a schedule: what json writes, number by number."""

import json
import math

import msgspec
import pytest

from mm.commands.schedule import _text

CURVES = (
    ((0.0, 1.5), (1.0, 0.25)),
    (),
    ((0.5, 3.0), (2.5, 9.999999999999999e-05), (10.0, 1e-05)),
    ((0.0, 1e16), (7.0, 123456789012345680.0)),
    ((0.125, 0.0001), (100000.00001, 0.1 + 0.2)),
    ((1.0, 4.2e-300), (2.0, 5e-324)),
)


def schedule():
    return {
        "reason": 'δ = 0, "quoted", 1e-5',
        "segments": [{"A": 1e-7, "lambda_curve": curve, "k": 3.0} for curve in CURVES],
        "clustering": {"p": 2.5e-09},
    }


def test_a_schedule_is_written_as_json_writes_it():
    """Whatever the size of the numbers of its curves."""
    assert msgspec.json.format(_text(schedule()), indent=1) == msgspec.json.format(json.dumps(schedule()), indent=1)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_number_that_json_does_not_know_is_refused(value):
    content = schedule()
    content["segments"][0]["lambda_curve"] = ((0.0, 1.0), (1.0, value))
    with pytest.raises(ValueError, match="not JSON compliant"):
        _text(content)
