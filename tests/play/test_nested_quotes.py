"""Nested quote models: their form in QUOTE_PARAMS_JSON, invalid trees, and the shared volatility."""

import json

import pytest

from engine_tapes import TEST
from mm import Tape, backtest
from mm.backtest.models import QUOTE_MODELS, QUOTE_STEPS, declared, trade_cross
from mm.backtest.rules import Account, Execution
from mm.errors import MMError, UnknownModel, UsageError
from mm.play.engine_rules import rules_of
from mm.play.knobs import Models
from mm.play.models import PlayModels
from mm.play.nested_quotes import DEEPEST, Tree, volatility

EVENTS = [
    (1_000_000, "snapshot", [(90, 50), (89, 50)], [(110, 50)]),
    *((1_000_000 * second, "depth", [(91, second)], []) for second in range(2, 40)),
]
MINE = """
from mm import Quotes

class Mine:
    def __init__(self, away):
        self.away = away

    def quote(self, view):
        return Quotes(view.bid_ticks - self.away, view.ask_ticks + self.away)

class Lifted:
    def __init__(self, inner, ticks):
        self.inner, self.ticks = inner, ticks

    def quote(self, view):
        wanted = self.inner.wants(view)
        return Quotes(wanted.bid_ticks + self.ticks, wanted.ask_ticks + self.ticks)

class Wordy:
    def __init__(self, inner):
        pass

    def quote(self, view, more):
        pass
"""


@pytest.fixture
def models_dir(tmp_path, monkeypatch):
    """Return the current folder with a module of custom models."""
    (tmp_path / "my_tree_models.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def knobs(name, params):
    return Models(quote_model=name, quote_params_json=json.dumps(params))


def made(name, params):
    return PlayModels.of(knobs(name, params), Tape.of(TEST, EVENTS), 0).quoting


def make_quotes(name, params):
    return made(name, params).model


def first_prices(name, params):
    """Return the prices of the first orders that a run sends, bid and ask."""
    tape = Tape.of(TEST, EVENTS)
    models = knobs(name, params)
    quotes = PlayModels.of(models, tape, 0).quotes()
    rules = rules_of(tape, Execution(), Account(initial_inventory="1"), models)
    result = backtest(tape, quotes, trade_cross(), rules)
    placed = result.orders.filter(result.orders["action"] == "PLACE")
    return placed["price"].head(2).to_list()


FIXED = ["fixed_spread", {"delta_ticks": 3}]


def test_steps_wrap_the_model_in_given_order():
    """Around a mid of 100: 97 and 103, then widened to a spread of 8, then rounded out to multiples of 10."""
    steps = [["least_spread", {"ticks": 8}], ["round_to", {"ticks": 10}]]
    model = make_quotes("steps", {"model": FIXED, "steps": steps})
    assert model.name == "fixed_spread+least_spread+round_to"
    assert first_prices("steps", {"model": FIXED, "steps": steps}) == [0.90, 1.10]
    assert first_prices("steps", {"model": FIXED, "steps": steps[:1]}) == [0.96, 1.04]


def test_custom_models_work_in_steps_and_mixtures(models_dir):
    """Custom models and steps are named by package.module:Class, and their module is an input of the run."""
    mixture = {"models": [["my_tree_models:Mine", {"away": 2}, 1], [*FIXED, 3]]}
    lifted = ["my_tree_models:Lifted", {"ticks": 1}]
    params = {"model": ["mixed", mixture], "steps": [lifted, ["post_only", {}]]}
    found = made("steps", params)
    assert found.model.name == "Lifted+post_only"
    assert found.sources == ["my_tree_models"] * 2
    # (88 + 3·97)/4 = 94.75 and (112 + 3·103)/4 = 105.25, each a tick higher
    assert first_prices("steps", params) == [0.95, 1.07]


def test_every_registered_model_and_step_can_be_built():
    """The registries match the functions that build the models."""
    params_by_model = {
        "imbalance": {"delta_ticks": 1, "shift_ticks": 1},
        "grid": {"delta_ticks": 1, "levels": 2, "step_ticks": 1},
        "inventory_skew": {"delta_ticks": 1, "skew_ticks": 1},
        "adaptive_spread": {"least_ticks": 1, "per_sigma": 1},
        "microprice": {"delta_ticks": 1},
        "expected_value": {"A": 1.0},
        "symmetric": {},
        "mixed": {"models": [[*FIXED, 1]]},
    }
    for name, params in params_by_model.items():
        assert declared(QUOTE_MODELS[name]).name == name
        assert make_quotes(name, params).name == name
    values = {"q_max": 2.0, "eta": 0.1, "ticks": 2, "extra_ticks": 1.0, "inventory": 2.0}
    values |= {"signal": "imbalance_1", "by": 1.0, "horizon_s": 60.0}
    params_by_step = {
        "inventory_bound": ["q_max"],
        "fushimi_size": ["eta"],
        "least_spread": ["ticks"],
        "round_to": ["ticks"],
        "post_only": [],
        "widen": ["extra_ticks", "inventory"],
        **{key: ["signal", "by"] for key in ("shift_by", "widen_by", "size_by")},
        **{key: ["horizon_s"] for key in ("kelly_skew", "kelly_size")},
    }
    assert set(params_by_step) == set(QUOTE_STEPS)
    steps = [[step, {name: values[name] for name in names}] for step, names in params_by_step.items()]
    assert make_quotes("steps", {"model": FIXED, "steps": steps}).name == "+".join(["fixed_spread", *params_by_step])


def test_nested_model_without_k_logs_assumed_default():
    found = made("steps", {"model": ["avellaneda_stoikov", {}], "steps": []})
    assert [note.name for note in found.notes] == ["k_assumed"]


def nested_params(levels):
    params = {"model": FIXED, "steps": [["post_only", {}]]}
    for _ in range(levels - 2):
        params = {"model": ["steps", params], "steps": [["post_only", {}]]}
    return params


WRONG = [
    ("steps", {}, "quote_params_json: steps needs model, steps$"),
    ("steps", {"model": FIXED}, "steps needs steps"),
    ("steps", {"model": "fixed_spread", "steps": []}, r'steps takes {"model": \[name, .*entry is \'fixed_spread\''),
    ("steps", {"model": FIXED, "steps": {}}, "steps takes .*; {} is not a list"),
    ("steps", {"model": FIXED, "steps": [["post_only"]]}, r"steps takes .*; an entry is \['post_only'\]"),
    ("steps", {"model": FIXED, "steps": [["postonly", {}]]}, "unknown step 'postonly'; .*did you mean post_only"),
    (
        "steps",
        {"model": FIXED, "steps": [["round_to", {"tick": 1}]]},
        "round_to has no parameter 'tick'; known are ticks",
    ),
    ("steps", {"model": FIXED, "steps": [["round_to", {"ticks": 1.5}]]}, "ticks is 1.5; it must be a whole number"),
    ("steps", {"model": FIXED, "steps": [["inventory_bound", {}]]}, "inventory_bound needs q_max"),
    ("steps", {"model": FIXED, "steps": [["post_only", {"inner": 1}]]}, "post_only has no parameter 'inner'"),
    ("steps", {"model": FIXED, "steps": [], "more": 1}, "steps has no parameter 'more'"),
    ("steps", {"model": ["fixed", {}], "steps": []}, "unknown quote model 'fixed'"),
    (
        "steps",
        {"model": FIXED, "steps": [["my_tree_models:Wordy", {}]]},
        "wrong signature; it is called with 1 argument",
    ),
    ("mixed", {}, "mixed needs models"),
    ("mixed", {"models": []}, "mixed: models is empty"),
    ("mixed", {"models": [FIXED]}, r"mixed takes {\"models\": \[\[name, {parameters}, weight\], ...\]}; an entry is"),
    ("mixed", {"models": [[*FIXED, True]]}, "mixed takes .*; an entry is"),
    ("mixed", {"models": [[*FIXED, -1]]}, "a weight is -1; it must be above 0"),
    ("steps", nested_params(DEEPEST + 1), "models are nested more than 8 deep"),
]


@pytest.mark.parametrize(("name", "params", "message"), WRONG)
def test_invalid_model_tree_raises_error(models_dir, name, params, message):
    """The message names the invalid part and the expected form."""
    with pytest.raises((UsageError, UnknownModel, MMError), match=message):
        make_quotes(name, params)


def test_models_can_be_nested_eight_deep():
    assert make_quotes("steps", nested_params(DEEPEST)).name.startswith("fixed_spread+post_only")


# The volatility


def sigma(name, params):
    return volatility(Tree.parsed(name, params))


ADAPTIVE = ["adaptive_spread", {"least_ticks": 1, "per_sigma": 1}]
AS = ["avellaneda_stoikov", {"k": 1}]


def test_rules_use_volatility_settings_of_the_model():
    """Settings come from QUOTE_PARAMS_JSON, else from the model's default, else from the engine's."""
    rules = rules_of(
        Tape.of(TEST, EVENTS),
        Execution(),
        Account(),
        knobs("steps", {"model": ["symmetric", {"sigma_method": "two_scale", "sigma_window_s": 90}], "steps": []}),
    )
    assert (rules.sigma_method, rules.sigma_window_s, rules.sigma_half_life_s) == ("two_scale", 90, 60.0)
    assert sigma(*ADAPTIVE)["sigma_method"] == "ewma"
    assert sigma(*AS)["sigma_method"] == "rolling"
    assert sigma(*FIXED) == {}
    bare = rules_of(Tape.of(TEST, EVENTS), Execution(), Account())
    assert bare.sigma_method == "rolling"


def test_volatility_setting_of_one_model_applies_to_all():
    """A model with a fixed sigma has no volatility setting."""
    with_method = [AS[0], AS[1] | {"sigma_method": "two_scale"}]
    assert sigma("mixed", {"models": [[*with_method, 1], [*ADAPTIVE, 1]]})["sigma_method"] == "two_scale"
    with_sigma = [AS[0], AS[1] | {"sigma": 0.4}]
    assert sigma("mixed", {"models": [[*with_sigma, 1], [*ADAPTIVE, 1]]})["sigma_method"] == "ewma"


def test_custom_model_sets_volatility_by_its_parameters(models_dir):
    (models_dir / "my_sigma_model.py").write_text(
        "class Own:\n"
        "    def __init__(self, sigma_method='ewma', sigma_half_life_s=5.0): pass\n"
        "    def quote(self, view): return None\n"
    )
    found = sigma("steps", {"model": ["my_sigma_model:Own", {"sigma_half_life_s": 7}], "steps": []})
    assert found == {"sigma_method": "ewma", "sigma_half_life_s": 7}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"sigma_window_s": 0}, "sigma_window_s is 0; it must be a whole number between 1 and 1000000"),
        ({"sigma_window_s": True}, "sigma_window_s is True"),
        ({"sigma_half_life_s": "60"}, "sigma_half_life_s is '60'; it must be a number above 0"),
        ({"sigma_half_life_s": 0}, "sigma_half_life_s is 0"),
    ],
)
def test_invalid_volatility_parameters_raise_usage_error(params, message):
    with pytest.raises(UsageError, match=f"quote_params_json: {message}"):
        sigma(AS[0], AS[1] | params)


def test_conflicting_volatility_methods_raise_usage_error():
    message = (
        "sigma_method is 'rolling' for avellaneda_stoikov and 'ewma' for adaptive_spread; one run has one volatility"
    )
    with pytest.raises(UsageError, match=message):
        sigma("mixed", {"models": [[*AS, 1], [*ADAPTIVE, 1]]})
