"""Walks over JSON values against plain ones."""

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


def finite_plainly(value):
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: finite_plainly(one) for name, one in value.items()}
    return [finite_plainly(one) for one in value] if isinstance(value, (list, tuple)) else value


def missing_plainly(key, value, reasons):
    if isinstance(value, list):
        names = [name for row in value if isinstance(row, dict) for name in missing_plainly(key, row, reasons)]
        return list(dict.fromkeys(names))
    if not isinstance(value, dict):
        return [key] if value is None else []
    if key in reasons and value and all(part is None for part in value.values()):
        return [key]
    inside = ((part, one) for part, one in value.items() if one is None or isinstance(one, (dict, list)))
    return [name for part, one in inside for name in missing_plainly(f"{key}.{part}", one, reasons)]


@given(VALUES)
def test_what_is_not_finite_becomes_none_and_tuples_lists(value):
    """At any depth; all else stays what it is."""
    assert repr(_json_values.finite(value)) == repr(finite_plainly(value))


@given(NAMES, VALUES, st.sets(NAMES | st.sampled_from(["a.a", "a.b", "b.a"])))
def test_names_of_what_is_none_are_those_of_its_keys(key, value, reasons):
    """A key with a reason replaces its parts if all of them are None."""
    assert _json_values.missing(key, value, reasons) == missing_plainly(key, value, reasons)


@given(VALUES)
def test_what_is_finite_passes(value):
    """Numbers, texts, None, and what is made of them."""
    _json_values.check(finite_plainly(value))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ({"a": [1.0, {"b": math.nan}]}, ValueError, "a.1.b is nan, which JSON cannot hold"),
        ({"a": (0, [math.inf])}, ValueError, "a.1.0 is inf, which JSON cannot hold"),
        ({"a": {1: {2}}}, TypeError, "a.1 is {2}, which JSON cannot hold"),
    ],
)
def test_what_json_cannot_hold_is_named_with_its_place(value, error, message):
    """From the outside in."""
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        _json_values.check(value)


MONEY = st.builds(lambda units, places: units / 10**places, st.integers(-(10**17), 10**17), st.integers(0, 10))


@given(st.lists(st.none() | MONEY | st.floats(allow_nan=False, allow_infinity=False)), st.sampled_from([",", ", "]))
def test_numbers_are_joined_as_json_writes_them(values, between):
    """Each by the shortest text that stands for it, whether it is money or not."""
    assert _json_values.joined_numbers(values, between) == between.join(map(json.dumps, values))


def test_the_ends_of_what_counts_as_money_read_as_ever():
    """Below 0.0001 a text has an exponent, and from 10,000,000 on 8 decimals have more than 15 digits."""
    edges = [1e-4, 1e7, 1e-8, 0.5, 1e15, 1e16]
    near = [math.nextafter(edge, toward) for edge in edges for toward in (0.0, math.inf)]
    values = [sign * value for value in [0.0, *edges, *near, 9_999_999.999_999_99, 0.000_1 + 1e-8] for sign in (1, -1)]
    assert _json_values.joined_numbers(values, " ") == " ".join(map(repr, values))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_number_is_joined_that_json_cannot_hold(bad):
    """As json.dumps refuses it."""
    with pytest.raises(ValueError, match="JSON can hold"):
        _json_values.joined_numbers([1.0, bad], ",")
