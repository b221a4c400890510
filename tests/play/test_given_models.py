"""Classes, objects and numbers of a notebook, in every function that plays: the same results as by name."""

import json
import shutil
import warnings
from decimal import Decimal
from fractions import Fraction

import numpy as np
import polars as pl
import pytest

import mm
from mm.backtest.models import fixed_spread, trade_cross
from mm.base.knobs import typed
from mm.errors import UsageError
from simulation import simulate_day

SYMBOL, DAY = "SIMUSDT", "20260105"
FREE = {"initial_inventory": 1, "maker_fee_rate": 0}
WINDOWS = {"wf_train_window_min": 3, "wf_step_min": 2}
COUNTING = """
import mm


class Counting:
    def __init__(self, half: float = 1.5):
        self.half, self.calls = half, 0

    def quote(self, view):
        self.calls += 1
        mid, wider = view.mid2_ticks / 2, self.calls > 100
        bid, ask = mid - self.half - wider, mid + self.half + wider
        return mm.Quotes(min(bid, view.ask_ticks - 1), max(ask, view.bid_ticks + 1))
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebook")
    simulate_day(folder / "data", hours=0.15, seed=3, symbol=SYMBOL, day=DAY)
    (folder / "given_counting.py").write_text(COUNTING)
    return folder


@pytest.fixture
def here(workspace, monkeypatch):
    monkeypatch.chdir(workspace)
    monkeypatch.syspath_prepend(str(workspace))
    return workspace


@pytest.fixture
def tape(here):
    return mm.load_day(here / "data" / SYMBOL / DAY)


def typed_at_a_prompt():
    """Return the class as a notebook has it: in no file."""
    scope = {"__name__": "__main__"}
    exec(COUNTING, scope)
    return scope["Counting"]


def swept(*models, grid=None, **knobs):
    grid = grid or {"FILL_MODEL": ["trade_cross"]}
    return mm.sweep(SYMBOL, DAY, grid, *models, **FREE, **knobs).rows


def evaluated(*models, **knobs):
    return mm.evaluate(SYMBOL, DAY, *models, **FREE, **knobs)["rows"][0]["pnl_quoting"]


def test_all_take_a_class_an_object_and_a_name(tape):
    """With the rows of mm.backtest with a new object."""
    from given_counting import Counting

    pnl = mm.backtest(tape, Counting(), "trade_cross", sensitivity=False, **FREE).summary["pnl_quoting"]
    for model in (Counting, "given_counting:Counting", (Counting, {"half": np.float64(1.5)})):
        with warnings.catch_warnings(action="error"):
            assert swept(model)[0]["pnl_quoting"] == evaluated(model, "trade_cross") == pnl
    used, own = Counting(), typed_at_a_prompt()
    for model in (used, own, own(), (own, {"half": 1.5})):
        with pytest.warns(UserWarning, match=r"^Counting: played in this process"):
            assert swept(model)[0]["pnl_quoting"] == pnl
        with pytest.warns(UserWarning, match="put the class into a file"):
            assert evaluated(model, trade_cross(), jobs=2) == pnl
    assert used.calls == 0


def test_points_of_a_class_that_is_in_no_file_are_not_kept(here):
    """It may have changed, or what it reads."""
    for calls in (1, 2):
        with pytest.warns(UserWarning, match="not kept"):
            assert len(swept(typed_at_a_prompt(), out_root=here / "own")) == 1
        assert not list((here / "own").glob("points/**/*.json"))
        trials = mm.trials(out_root=here / "own")
        assert trials[0]["n_trials"] == 1, f"the same code {calls} times is one trial"


def test_an_axis_has_classes(here):
    with pytest.warns(UserWarning, match="Counting"):
        rows = swept(grid={"QUOTE_MODEL": [typed_at_a_prompt(), "given_counting:Counting"]})
    assert len({row["pnl_quoting"] for row in rows}) == 1
    assert len(rows) == 2


@pytest.mark.parametrize("strategy", ["class", "object", "name"])
def test_a_walk_forward_takes_the_strategy_and_the_knobs_of_the_command(tape, here, strategy):
    from given_counting import Counting

    given = {"class": Counting, "object": Counting(), "name": "given_counting:Counting"}[strategy]
    walked = mm.walkforward(tape, given, fills="trade_cross", sensitivity=False, **WINDOWS, **FREE)
    alone = mm.backtest(tape, Counting(), "trade_cross", sensitivity=False, **FREE)
    assert len(walked.schedule.segments) == 3
    assert walked.result.orders.equals(alone.orders)


def test_a_walk_forward_by_knobs_plays_the_default_strategy_as_the_command(tape, here):
    from support import run_python

    walked = mm.walkforward(tape, **WINDOWS, **FREE)
    shutil.rmtree(here / "out" / "moves", ignore_errors=True)  # moves of other days on record are stress to the command
    done = run_python(
        *("-m", "mm", "walkforward", "--symbol", SYMBOL, "--day", DAY, "--run-id", "same", "--initial-inventory", "1"),
        *("--maker-fee-rate", "0", "--wf-train-window-min", "3", "--wf-step-min", "2"),
        cwd=here,
    )
    assert done.returncode == 0, done.stderr
    run = mm.open_run(here / "out" / "walkforward" / SYMBOL / f"{DAY}_same")
    assert walked.schedule.to_json()["segments"] == run.schedule.to_json()["segments"]
    for key in ("pnl_total", "n_fills", "sensitivity"):
        assert json.loads(json.dumps(walked.result.summary[key])) == run.summary[key]


def test_rules_leave_no_place_for_knobs(tape):
    rules = mm.Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, quote_lots=60)
    with pytest.raises(UsageError, match="maker_fee_rate"):
        mm.walkforward(tape, rules, maker_fee_rate=0)
    with pytest.raises(TypeError, match="wf_step"):
        mm.walkforward(tape, wf_step=3)


@pytest.mark.parametrize("second", ["the same tape", "with rules"])
def test_an_object_that_a_run_has_changed_is_said(tape, second):
    """It begins where it ended: an object without state of its own is no matter of concern."""
    from given_counting import Counting

    class Join:
        def __init__(self):
            self.half = 1.0

        def quote(self, view):
            return mm.Quotes(view.bid_ticks, view.ask_ticks)

    def said(model):
        knobs = {"sensitivity": False, **FREE}
        if second == "with rules":
            knobs = {"rules": mm.Rules(tape.instrument.tick_e8, tape.instrument.lot_e8, quote_lots=60)}
        result = mm.backtest(tape, model, trade_cross(), **knobs)
        return [line for line in result.summary["warnings"] if "has run before and kept state" in line]

    counting, join = Counting(), Join()
    assert (said(counting), said(join)) == ([], [])
    assert len(said(counting)) == 1
    assert (said(join), said(Counting())) == ([], [])


NUMBERS = [
    (np.float64(0.1), "0.1"),
    (np.float32(0.1), "0.1"),
    (np.int32(3), "3"),
    (np.bool_(True), "1"),
    (np.array(0.1), "0.1"),
    (np.linspace(0.1, 0.5, 5)[2], "0.30000000000000004"),
    (pl.Series([0.25]).max(), "0.25"),
    (Fraction(1, 4), "0.25"),
    (Decimal("0.10"), "0.10"),
    ((np.float64(1.5), np.int64(2)), "1.5,2"),
    (
        {"a": np.int64(1), "b": [np.float32(0.1), np.bool_(True)], "c": np.arange(2)},
        '{"a": 1, "b": [0.1, true], "c": [0, 1]}',
    ),
]


@pytest.mark.parametrize(("value", "text"), NUMBERS, ids=[text for _, text in NUMBERS])
def test_a_number_is_a_number_whoever_made_it(value, text):
    assert typed(value) == text


def test_what_is_no_json_is_refused_with_its_value():
    with pytest.raises(UsageError, match="object at"):
        typed({"a": object()})


def test_a_grid_of_numpy_numbers_is_a_grid_of_numbers(here):
    knobs = {"quote_model": "fixed_spread", "fill_model": "trade_cross"}
    plain = swept(grid={"DELTA_TICKS": [1.0, 2.5]}, quote_qty=0.06, **knobs)
    given = swept(grid={"DELTA_TICKS": np.array([1.0, 2.5])}, quote_qty=np.float64(0.06), **knobs)
    assert [(row["DELTA_TICKS"], row["pnl_total"]) for row in given] == [
        (row["DELTA_TICKS"], row["pnl_total"]) for row in plain
    ]
    with pytest.warns(UserWarning, match="FixedSpread"):
        assert swept(fixed_spread(delta_ticks=np.float64(2.5)), quote_qty=0.06)[0]["pnl_total"] in {
            row["pnl_total"] for row in plain
        }


@pytest.mark.filterwarnings("ignore:Counting. played in this process")
def test_a_fit_in_memory_is_the_fit_of_its_file(here, tape):
    """In sweeps and evaluations, whatever the strategy is given as; its file is by content, and a second refused."""
    fit = mm.calibrate(tape)
    path = here / "own_fit.json"
    path.write_text(json.dumps(fit.to_json()))
    for quotes in (None, "glft", ("glft", {"gamma": 0.1}), typed_at_a_prompt()):
        found = [
            (
                *(
                    (row["pnl_total"], row["n_fills"])
                    for row in mm.sweep(SYMBOL, DAY, {"QUOTE_QTY": [0.1, 0.2]}, quotes, fit=given, **FREE).rows
                ),
                mm.evaluate(SYMBOL, DAY, quotes, fit=given, **FREE)["pnl"],
            )
            for given in (fit, path)
        ]
        assert found[0] == found[1]
    with pytest.raises(UsageError, match="is missing"):
        mm.evaluate(SYMBOL, DAY, "glft", **FREE)
    assert len(list((here / "out" / "fits").iterdir())) == 1
    with pytest.raises(UsageError, match="give one of them"):
        mm.evaluate(SYMBOL, DAY, "glft", fit=fit, fill_params_file=path, **FREE)
