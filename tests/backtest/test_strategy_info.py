"""The description of a run's strategy."""

import math

from mm.backtest.fills.intensity import Intensity
from mm.backtest.models import QUOTE_MODELS
from mm.backtest.strategy_info import bound_clips, gammas_of, strategy_fields, strategy_of
from mm.instrument import Instrument

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
