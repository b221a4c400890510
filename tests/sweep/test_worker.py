"""A worker's answer is one line of JSON, whatever the point came to."""

import json
import math

import pytest

from mm.sweep import play, worker


@pytest.mark.parametrize("value", [math.inf, math.nan, object()])
def test_a_result_that_json_cannot_hold_is_named_as_the_point_s_error(monkeypatch, value):
    """Not "its process ended with exit code 0, 2 times"."""
    monkeypatch.setattr(play, "play", lambda task: {"summary": {"ratio": value, "of": task["place"]}})
    found = json.loads(worker.answer('{"place": 3}'))
    assert found["error"].startswith("its result cannot be written as JSON: ")
    assert found["exit_code"] == 1
    assert "Traceback" in found["traceback"]


def test_a_result_goes_through_as_it_is(monkeypatch):
    """One line, which the caller reads back."""
    monkeypatch.setattr(play, "play", lambda task: {"summary": task})
    assert json.loads(worker.answer('{"place": 3}')) == {"summary": {"place": 3}}
