"""Walks over JSON values against plain implementations."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.backtest.metrics import _json_values

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
NAMES = st.sampled_from("abcd")
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.tuples(inner) | st.dictionaries(NAMES, inner, max_size=4)
)


def plain_finite(value):
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: plain_finite(item) for name, item in value.items()}
    return [plain_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


def plain_missing(key, value, reasons):
    if isinstance(value, list):
        names = [name for row in value if isinstance(row, dict) for name in plain_missing(key, row, reasons)]
        return list(dict.fromkeys(names))
    if not isinstance(value, dict):
        return [key] if value is None else []
    if key in reasons and value and all(part is None for part in value.values()):
        return [key]
    inside = ((part, item) for part, item in value.items() if item is None or isinstance(item, (dict, list)))
    return [name for part, item in inside for name in plain_missing(f"{key}.{part}", item, reasons)]


@given(VALUES)
def test_finite_replaces_non_finite_numbers_and_tuples(value):
    """At any depth; everything else is unchanged."""
    assert repr(_json_values.finite(value)) == repr(plain_finite(value))


@given(NAMES, VALUES, st.sets(NAMES | st.sampled_from(["a.a", "a.b", "b.a"])))
def test_missing_returns_the_names_of_nulls(key, value, reasons):
    """A key with a reason replaces its parts if all of them are None."""
    assert _json_values.missing(key, value, reasons) == plain_missing(key, value, reasons)


@given(VALUES)
def test_check_accepts_finite_values(value):
    """Numbers, texts, None, and containers of them."""
    _json_values.check(plain_finite(value))


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
        _json_values.check(value)


MONEY = st.builds(lambda units, places: units / 10**places, st.integers(-(10**17), 10**17), st.integers(0, 10))


@given(st.lists(st.none() | MONEY | st.floats(allow_nan=False, allow_infinity=False)), st.sampled_from([",", ", "]))
def test_joined_numbers_equal_json_output(values, separator):
    """Each number as its shortest text, whether it is an amount of money or not."""
    assert _json_values.joined_numbers(values, separator) == separator.join(map(json.dumps, values))


def test_joined_numbers_equal_repr_at_limits_of_fast_path():
    """Below 0.0001 a text has an exponent, and from 10,000,000 on 8 decimals have more than 15 digits."""
    edges = [1e-4, 1e7, 1e-8, 0.5, 1e15, 1e16]
    near = [math.nextafter(edge, toward) for edge in edges for toward in (0.0, math.inf)]
    values = [sign * value for value in [0.0, *edges, *near, 9_999_999.999_999_99, 0.000_1 + 1e-8] for sign in (1, -1)]
    assert _json_values.joined_numbers(values, " ") == " ".join(map(repr, values))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_joined_numbers_reject_non_finite_numbers(bad):
    """Like json.dumps with allow_nan=False."""
    with pytest.raises(ValueError, match="JSON can hold"):
        _json_values.joined_numbers([1.0, bad], ",")
