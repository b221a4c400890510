"""Walks over JSON values."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.metrics.json_values import check, finite, missing

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
NAMES = st.sampled_from("abcd")
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.tuples(inner) | st.dictionaries(NAMES, inner, max_size=4)
)


def test_finite_replaces_non_finite_numbers_and_tuples():
    """At any depth; everything else is unchanged."""
    value = {"a": [math.nan, (1, -math.inf)], "b": {"NaN": math.inf, "c": ("NaN", None, True, 0.5)}}
    assert finite(value) == {"a": [None, [1, None]], "b": {"NaN": None, "c": ["NaN", None, True, 0.5]}}


@pytest.mark.slow
@given(VALUES)
def test_finite_values_are_json(value):
    """Whatever they were before."""
    json.dumps(finite(value), allow_nan=False)


@pytest.mark.parametrize(
    ("key", "value", "names"),
    [
        ("a", None, ["a"]),
        ("a", {"x": None, "y": 1, "z": {"u": None}}, ["a.x", "a.z.u"]),
        ("a", [{"x": None}, {"x": None, "y": None}, 3, None], ["a.x", "a.y"]),
        ("b", {"x": None, "y": None}, ["b"]),
        ("b", {"x": None, "y": 1}, ["b.x"]),
        ("b", {}, []),
        ("a", {"b": {"x": None}}, ["a.b"]),
    ],
)
def test_missing_returns_the_names_of_nulls(key, value, names):
    """A key with a reason replaces its parts if all of them are None."""
    assert missing(key, value, {"b", "a.b"}) == names


@given(VALUES)
def test_check_accepts_finite_values(value):
    """Numbers, texts, None, and containers of them."""
    check(finite(value))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ({"a": [1.0, {"b": math.nan}]}, ValueError, "a.1.b is nan, which JSON cannot hold"),
        ({"a": (0, [math.inf])}, ValueError, "a.1.0 is inf, which JSON cannot hold"),
        ({"a": {1: {2}}}, TypeError, "a.1 is {2}, which JSON cannot hold"),
    ],
)
def test_check_names_the_place_of_an_invalid_value(value, error, message):
    """As a dotted path from the outside in."""
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        check(value)
