"""The description of a run's strategy."""

import math
from itertools import pairwise
from unittest.mock import patch

import hypothesis
import pytest
from hypothesis import strategies as st

from mm.backtest.fills.intensity import Intensity
from mm.backtest.models import QUOTE_MODELS
from mm.backtest.strategy_info import bound_clips, gammas_of, strategy_fields, strategy_of, untraded_us
from mm.instrument import Instrument
from mm.tape.tape import Tape

GRID = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000)


class Mine:
    """A user's quote model with its own risk aversion and bound."""

    gamma, q_max = 0.25, 4.0

    def quote(self, view):
        return None


class WiderBound:
    """A model around another model, with a wider bound."""

    q_max = 9.0

    def __init__(self, inner):
        self.inner = inner

    def quote(self, view):
        return self.inner.quote(view)


def test_bound_clips_returns_narrowest_nested_bound():
    """Quotes stop at the first bound, at any depth of nesting."""
    assert bound_clips(WiderBound(Mine())) == 4.0
    assert bound_clips(object()) is None


def test_infinite_bound_is_reported_as_none():
    """An infinite q_max is no bound."""
    model = Mine()
    model.q_max = math.inf
    assert bound_clips(model) is None


def test_gamma_of_python_model_is_reported_once():
    """It does not count its quotes, so its attribute applies to all of them."""
    assert gammas_of(WiderBound(Mine())).tolist() == [[0.25, 1]]
    assert gammas_of(object()) is None


def test_strategy_lists_each_step_with_its_parameters():
    """The default strategy is a formula inside post-only, behind the touch and in a bound; all four are listed."""
    model = QUOTE_MODELS["avellaneda_stoikov"](k=0.5, skew_share=0.2)
    strategy = strategy_of(model)
    names = []
    while strategy is not None:
        names.append(strategy["model"])
        inner = strategy.get("inner", [None])[0]
        strategy, last = inner, strategy
    assert names == ["InventoryBound", "Behind", "PostOnly", "AvellanedaStoikov"]
    assert last["parameters"]["skew_share"] == 0.2
    assert last["parameters"]["gamma"] == "auto"
    assert "signals" not in last["parameters"]
    assert last["parameters"]["sigma"] == "tape"
    assert strategy_fields(model)["bound_clips"] == 30.0


def test_strategy_reports_source_of_k_and_a():
    """A number, `touch` or `fit`; an A that no formula uses is absent, not null."""

    def parameters(name, **params):
        strategy = strategy_of(QUOTE_MODELS[name](**params))
        while "inner" in strategy:
            (strategy,) = strategy["inner"]
        return strategy["parameters"]

    curve = Intensity.constant(0.5, 0.3)
    for params, k, a in (({"k": "touch"}, "touch", None), ({"k": 0.5}, 0.5, None), ({"intensity": curve}, "fit", None)):
        reported = parameters("avellaneda_stoikov", **params)
        assert (reported["k"], reported.get("A")) == (k, a)
        assert None not in reported.values()
    for name in ("glft", "expected_value"):
        reported = parameters(name, intensity=curve)
        assert (reported["k"], reported["A"]) == ("fit", "fit")
        reported = parameters(name, k=0.5, A=1.0)
        assert (reported["k"], reported["A"]) == (0.5, 1.0)


@pytest.mark.slow
@hypothesis.given(st.lists(st.integers(0, 60), max_size=6), st.integers(0, 30), st.integers(31, 60))
def test_untraded_time_equals_that_of_a_plain_loop(seconds, start, end):
    """The longest interval between trades and the ends of a window, if it is more than half of the window."""
    events = [(s * 1_000_000 + 5, "trade", 1, 1001, 1) for s in sorted(seconds)]
    tape = Tape.of(GRID, [(0, "snapshot", [(999, 50)], [(1001, 50)]), *events, (61_000_000, "depth", [(998, 1)], [])])
    a_us, b_us = start * 1_000_000, end * 1_000_000
    inside = [us for us, *_ in events if a_us <= us < b_us]
    longest = max(later - earlier for earlier, later in pairwise([a_us, *inside, b_us]))
    expected = longest if 2 * longest > b_us - a_us else 0
    for nearest in (1, 4096):
        with patch("mm.backtest.strategy_info.NEAREST", nearest):
            assert untraded_us(tape.between(a_us, b_us)) == (expected, b_us - a_us)


@pytest.mark.parametrize(
    ("traded", "expected"),
    [
        ([1, 3, 5, 7, 9, 91, 93, 95, 97, 99], (0, 20)),  # an 80 s gap of the recorder
        ([9, 91, 93, 95, 97, 99], (0, 20)),
        ([93, 95, 97, 99], (13, 20)),  # all of the first 10 s, and 3 s after the pause
        ([], (20, 20)),
    ],
)
def test_time_without_a_book_is_not_untraded_time(traded, expected):
    """A gap of the recorder is excluded from the time in which no trade could fill an order."""
    book = ([(999, 50)], [(1001, 50)])
    trades = [(s * 1_000_000, "trade", 1, 1001, 1) for s in traded]
    pause = [(10_000_000, "gap"), (90_000_000, "snapshot", *book)]
    events = sorted([*trades, *pause, (100_000_000, "depth", [(998, 1)], [])])
    tape = Tape.of(GRID, [(0, "snapshot", *book), *events])
    assert untraded_us(tape) == tuple(s * 1_000_000 for s in expected)
