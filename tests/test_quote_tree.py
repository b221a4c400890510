"""Quote models in quote models: how QUOTE_PARAMS_JSON names them, what is refused, and their one volatility."""

import json
from types import SimpleNamespace

import pytest

from engine_tapes import TEST
from mm.backtest.models import QUOTE_MODELS, QUOTE_STEPS, declared, trade_cross
from mm.backtest.replay import backtest
from mm.backtest.rules import Account, Execution
from mm.cli.config import Models
from mm.commands import assemble
from mm.errors import MMError, UnknownModel, UsageError
from mm.model_maker import ModelMaker
from mm.quote_tree import DEEPEST, Tree, volatility
from mm.tape.tape import Tape

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


class NoRun:
    """A run that nobody reads."""

    def __init__(self):
        self.files, self.warned = [], []
        self.log = SimpleNamespace(warning=lambda event, **_: self.warned.append(event))

    def input_file(self, path):
        self.files.append(path.name)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with models of one's own."""
    (tmp_path / "my_tree_models.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def knobs(name, params):
    return Models(quote_model=name, quote_params_json=json.dumps(params))


def made(name, params, run=None):
    tape = Tape.of(TEST, EVENTS)
    return ModelMaker(run or NoRun(), knobs(name, params), tape, 0).quotes()


def first_prices(name, params):
    """Return the prices of the first orders that a run sends, bid and ask."""
    tape = Tape.of(TEST, EVENTS)
    models = knobs(name, params)
    quotes = ModelMaker(NoRun(), models, tape, 0).quotes()
    rules = assemble.rules(tape, Execution(), Account(initial_inventory="1"), models)
    result = backtest(tape, quotes, trade_cross(), rules)
    placed = result.orders.filter(result.orders["action"] == "PLACE")
    return placed["price"].head(2).to_list()


FIXED = ["fixed_spread", {"delta_ticks": 3}]


def test_steps_are_put_around_the_model_in_their_order():
    """90 and 110 about 100: 97 and 103, out to a spread of 8, out to multiples of 10."""
    steps = [["least_spread", {"ticks": 8}], ["round_to", {"ticks": 10}]]
    model = made("steps", {"model": FIXED, "steps": steps})
    assert model.name == "fixed_spread+least_spread+round_to"
    assert first_prices("steps", {"model": FIXED, "steps": steps}) == [0.90, 1.10]
    assert first_prices("steps", {"model": FIXED, "steps": steps[:1]}) == [0.96, 1.04]


def test_models_of_ones_own_stand_in_steps_and_mixtures(here):
    """By package.module:Class, as model and as step; what they are made of is an input of the run."""
    run = NoRun()
    mixture = {"models": [["my_tree_models:Mine", {"away": 2}, 1], [*FIXED, 3]]}
    lifted = ["my_tree_models:Lifted", {"ticks": 1}]
    params = {"model": ["mixed", mixture], "steps": [lifted, ["post_only", {}]]}
    assert made("steps", params, run).name == "Lifted+post_only"
    assert run.files == ["my_tree_models.py"] * 2
    # (88 + 3·97)/4 = 94.75 and (112 + 3·103)/4 = 105.25, each a tick higher
    assert first_prices("steps", params) == [0.95, 1.07]


def test_every_model_and_every_step_can_be_named():
    """The registries and the functions behind them agree."""
    needed = {
        "imbalance": {"delta_ticks": 1, "shift_ticks": 1},
        "grid": {"delta_ticks": 1, "levels": 2, "step_ticks": 1},
        "inventory_skew": {"delta_ticks": 1, "skew_ticks": 1},
        "adaptive_spread": {"least_ticks": 1, "per_sigma": 1},
        "microprice": {"delta_ticks": 1},
        "expected_value": {"A": 1.0},
        "symmetric": {},
        "mixed": {"models": [[*FIXED, 1]]},
    }
    for name, params in needed.items():
        assert declared(QUOTE_MODELS[name]).name == name
        assert made(name, params).name == name
    own = {"q_max": 2.0, "eta": 0.1, "ticks": 2, "extra_ticks": 1.0, "inventory": 2.0}
    own |= {"signal": "imbalance_1", "by": 1.0, "horizon_s": 60.0}
    takes = {
        "inventory_bound": ["q_max"],
        "fushimi_size": ["eta"],
        "least_spread": ["ticks"],
        "round_to": ["ticks"],
        "post_only": [],
        "widen": ["extra_ticks", "inventory"],
        **{key: ["signal", "by"] for key in ("shift_by", "widen_by", "size_by")},
        **{key: ["horizon_s"] for key in ("kelly_skew", "kelly_size")},
    }
    assert set(takes) == set(QUOTE_STEPS)
    steps = [[step, {name: own[name] for name in names}] for step, names in takes.items()]
    assert made("steps", {"model": FIXED, "steps": steps}).name == "+".join(["fixed_spread", *takes])


def test_a_k_that_nobody_gave_is_assumed_and_told_inside_too():
    run = NoRun()
    made("steps", {"model": ["avellaneda_stoikov", {}], "steps": []}, run)
    assert run.warned == ["k_assumed"]


def deep(levels):
    params = {"model": FIXED, "steps": [["post_only", {}]]}
    for _ in range(levels - 2):
        params = {"model": ["steps", params], "steps": [["post_only", {}]]}
    return params


WRONG = [
    ("steps", {}, "QUOTE_PARAMS_JSON: steps needs model, steps$"),
    ("steps", {"model": FIXED}, "steps needs steps"),
    ("steps", {"model": "fixed_spread", "steps": []}, r'steps takes {"model": \[name, .*; one is \'fixed_spread\''),
    ("steps", {"model": FIXED, "steps": {}}, "steps takes .*; {} is not a list"),
    ("steps", {"model": FIXED, "steps": [["post_only"]]}, r"steps takes .*; one is \['post_only'\]"),
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
    ("mixed", {"models": [FIXED]}, r"mixed takes {\"models\": \[\[name, {parameters}, weight\], ...\]}; one is"),
    ("mixed", {"models": [[*FIXED, True]]}, "mixed takes .*; one is"),
    ("mixed", {"models": [[*FIXED, -1]]}, "a weight is -1; it must be above 0"),
    ("steps", deep(DEEPEST + 1), "models are nested more than 8 deep"),
]


@pytest.mark.parametrize(("name", "params", "told"), WRONG)
def test_what_cannot_be_a_model_is_refused(here, name, params, told):
    """One line that says which part, and what would do."""
    with pytest.raises((UsageError, UnknownModel, MMError), match=told):
        made(name, params)


def test_eight_models_deep_is_deep_enough():
    assert made("steps", deep(DEEPEST)).name.startswith("fixed_spread+post_only")


# The volatility


def sigma(name, params):
    return volatility(Tree.of(name, params))


ADAPTIVE = ["adaptive_spread", {"least_ticks": 1, "per_sigma": 1}]
AS = ["avellaneda_stoikov", {"k": 1}]


def test_the_engine_counts_the_volatility_that_the_model_asks_for():
    """From QUOTE_PARAMS_JSON into the rules; without a word the model's own default, and the engine's for the rest."""
    rules = assemble.rules(
        Tape.of(TEST, EVENTS),
        Execution(),
        Account(),
        knobs("steps", {"model": ["symmetric", {"sigma_method": "two_scale", "sigma_window_s": 90}], "steps": []}),
    )
    assert (rules.sigma_method, rules.sigma_window_s, rules.sigma_half_life_s) == ("two_scale", 90, 60.0)
    assert sigma(*ADAPTIVE)["sigma_method"] == "ewma"
    assert sigma(*AS)["sigma_method"] == "rolling"
    assert sigma(*FIXED) == {}
    bare = assemble.rules(Tape.of(TEST, EVENTS), Execution(), Account())
    assert bare.sigma_method == "rolling"


def test_what_one_model_says_counts_for_all():
    """And a model that was given its volatility has no wish."""
    said = [AS[0], AS[1] | {"sigma_method": "two_scale"}]
    assert sigma("mixed", {"models": [[*said, 1], [*ADAPTIVE, 1]]})["sigma_method"] == "two_scale"
    given = [AS[0], AS[1] | {"sigma": 0.4}]
    assert sigma("mixed", {"models": [[*given, 1], [*ADAPTIVE, 1]]})["sigma_method"] == "ewma"


def test_a_users_model_chooses_by_the_same_names(here):
    (here / "my_sigma_model.py").write_text(
        "class Own:\n"
        "    def __init__(self, sigma_method='ewma', sigma_half_life_s=5.0): pass\n"
        "    def quote(self, view): return None\n"
    )
    found = sigma("steps", {"model": ["my_sigma_model:Own", {"sigma_half_life_s": 7}], "steps": []})
    assert found == {"sigma_method": "ewma", "sigma_half_life_s": 7}


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"sigma_window_s": 0}, "sigma_window_s is 0; it must be a whole number of seconds"),
        ({"sigma_window_s": True}, "sigma_window_s is True"),
        ({"sigma_half_life_s": "60"}, "sigma_half_life_s is '60'; it must be a number of seconds above 0"),
        ({"sigma_half_life_s": 0}, "sigma_half_life_s is 0"),
    ],
)
def test_a_volatility_without_sense_is_refused(params, told):
    with pytest.raises(UsageError, match=f"QUOTE_PARAMS_JSON: {told}"):
        sigma(AS[0], AS[1] | params)


def test_two_volatilities_in_one_run_are_refused():
    told = "sigma_method is 'rolling' for avellaneda_stoikov and 'ewma' for adaptive_spread; one run has one volatility"
    with pytest.raises(UsageError, match=told):
        sigma("mixed", {"models": [[*AS, 1], [*ADAPTIVE, 1]]})
