"""``mm.backtest`` in Python and ``mm backtest`` share one setup: the same knobs by name, the same rows."""

import inspect
import json
import os
import re
from dataclasses import replace
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import mm
from mm import PoissonFit, Rules
from mm.base.knobs import knobs
from mm.errors import DataError, Mismatch, UsageError
from mm.play.python import GROUPS
from named import model_of
from simulation import simulate_day
from support import ROOT, run_python

SYMBOL, DAYS = "SIMUSDT", ("20260105", "20260106")
TABLES = ("orders", "fills", "state")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Return a folder with two days, a fit of the first day and a latency file."""
    folder = tmp_path_factory.mktemp("desk")
    for seed, day in enumerate(DAYS):
        simulate_day(folder / "data", hours=0.1, seed=seed, symbol=SYMBOL, day=day)
    fit = mm.calibrate(mm.load_day(folder / "data" / SYMBOL / DAYS[0]))
    assert fit.usable
    (folder / "fit.json").write_text(json.dumps(fit.to_json()))
    (folder / "latencies.csv").write_text("order_ms,cancel_ms\n10,5\n90,40\n")
    return folder


@pytest.fixture(scope="module")
def tapes(workspace):
    return [mm.load_day(workspace / "data" / SYMBOL / day) for day in DAYS]


def run_command(workspace, name, days, knobs):
    """Run ``mm backtest`` on the command line and return its output folder."""
    variables = {knob.upper(): value for knob, value in knobs.items()}
    out = workspace / "runs" / name
    done = run_python(
        "-m", "mm", "backtest", "--out-dir", str(out), cwd=workspace, SYMBOL=SYMBOL, DAY=days, **variables
    )
    assert done.returncode == 0, done.stderr
    return out


CASES = {
    "defaults": ({}, {}),
    "numbers": (
        {"maker_fee_rate": "0", "order_latency_ms": "5", "requote_on_fill": "0", "initial_inventory": "2.5"},
        {"maker_fee_rate": 0, "order_latency_ms": 5, "requote_on_fill": False, "initial_inventory": Decimal("2.5")},
    ),
    "small": ({"maker_fee_rate": "0.00001", "sensitivity": "0"}, {"maker_fee_rate": 1e-5, "sensitivity": False}),
    "models": (
        {"quote_model": "glft", "fill_model": "poisson", "fill_params_file": "fit.json", "quote_levels": "2"},
        {"quotes": "glft", "fills": "poisson", "fit": "fit.json", "quote_levels": 2},
    ),
    "parameters": (
        {
            "quote_params_json": '{"gamma": 0.5, "k": 0.4}',
            "fill_params_json": '{"exponent": 2}',
            "max_position": "0.5",
            "quote_qty": "0.2",
            "size_ramp": "[0.5, 1]",
        },
        {
            "quote_params_json": {"gamma": 0.5, "k": 0.4},
            "fill_params_json": {"exponent": 2},
            "max_position": 0.5,
            "quote_qty": 0.2,
            "size_ramp": [0.5, 1],
        },
    ),
    "drawn": (
        {"fill_params_file": "fit.json", "fit_draws": "3", "latency_file": "latencies.csv", "seed": "9"},
        {"fill_params_file": "fit.json", "fit_draws": 3, "latency_file": "latencies.csv", "seed": 9},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_python_call_and_command_line_write_same_files(workspace, tapes, name, tmp_path, monkeypatch):
    """Orders, fills and state are equal byte by byte, and every number of the summary matches."""
    command_knobs, call_arguments = CASES[name]
    monkeypatch.chdir(workspace)
    if "fit" in call_arguments:
        fit = PoissonFit.from_json(json.loads((workspace / call_arguments["fit"]).read_text()), "the fit")
        call_arguments = {**call_arguments, "fit": fit}
    out = run_command(workspace, name, f"{DAYS[0]}:{DAYS[1]}", command_knobs)
    result = mm.backtest(tapes, **call_arguments)
    result.write_tables(tmp_path)
    for table in TABLES:
        file = f"{table}_{SYMBOL}.csv"
        assert (tmp_path / file).read_bytes() == (out / file).read_bytes(), file
    assert len((out / f"orders_{SYMBOL}.csv").read_text().splitlines()) > 50
    command_summary = json.loads((out / "summary.json").read_text())
    call_summary = json.loads(json.dumps(result.summary))
    if "fit" in call_arguments:  # a fit passed as an object has the same keys, but no file
        assert call_summary["fit"].pop("path") == command_summary["fit"].pop("path")
    for summary in (command_summary, call_summary):  # what the folder of the command's runs knew before
        del summary["trials"]
        rows = summary.get("sensitivity", {}).get("rows", [])
        rows[:] = [row for row in rows if row["role"] != "stressed"]
    assert {key: command_summary[key] for key in call_summary} == call_summary
    assert ("sensitivity" in call_summary) == (name != "small")


def test_call_with_tape_only_uses_default_models(tapes):
    result = mm.backtest(tapes[0], sensitivity=0)
    assert result.summary["models"] == {"quote": "avellaneda_stoikov", "fill": "queue_prob_power"}


class JoinEarly:
    """Joins the touch for its first quotes only, so that a play with the state of another one quotes nothing."""

    def __init__(self, most=200, handle=None):
        self.left, self.handle = most, handle

    def quote(self, view):
        self.left -= 1
        return mm.Quotes(view.bid_ticks, view.ask_ticks) if self.left >= 0 else None


class TakeAll:
    """A fill model of a user, with state of its own."""

    def __init__(self):
        self.prints = 0

    def on_trade(self, order, trade):
        self.prints += 1
        reached = order.side * (order.ticks - trade.ticks) >= 0
        return trade.lots if reached and trade.side != order.side else 0


@pytest.mark.parametrize("quotes", ["class", "pair", "object"])
@pytest.mark.parametrize("fills", ["class", "object", "compiled"])
def test_own_model_is_played_under_other_assumptions(tapes, quotes, fills):
    """A class is made again, an object copied as it is before the run, so all rows start from the same state."""
    quotes = {"class": JoinEarly, "pair": (JoinEarly, {"most": 200}), "object": JoinEarly()}[quotes]
    fills = {"class": TakeAll, "object": TakeAll(), "compiled": model_of("queue_prob_power", exponent=2)}[fills]
    result = mm.backtest(tapes[0], quotes, fills, initial_inventory=1)
    rows = [row for row in result.summary["sensitivity"]["rows"] if row["role"] != "stressed"]
    named = mm.backtest(tapes[0], JoinEarly(), fills, initial_inventory=1, sensitivity=False)
    (own,) = [row for row in rows if row["role"] == "headline"]
    assert own["pnl_quoting"] == named.summary["pnl_quoting"] == result.summary["pnl_quoting"]
    assert len(rows) == 7  # the simulated day has its order log, so `queue_orders` is one of them
    assert all(row["n_fills"] > 0 for row in rows)


def test_played_object_keeps_the_state_of_the_run_itself(tapes):
    model = JoinEarly()
    mm.backtest(tapes[0], model, initial_inventory=1, sensitivity=False)
    again = JoinEarly()
    mm.backtest(tapes[0], again, initial_inventory=1)
    assert model.left == again.left < 0


def test_output_says_why_a_model_has_no_sensitivity(tapes):
    """An open file, as in a model that logs, cannot be copied; the run itself is played."""
    with open(os.devnull, "w") as handle:
        result = mm.backtest(tapes[0], JoinEarly(handle=handle), initial_inventory=1)
        with pytest.raises(UsageError, match="several times, but JoinEarly cannot be copied"):
            mm.backtest(tapes[0], JoinEarly(handle=handle), initial_inventory=1, sensitivity=1)
        unwanted = mm.backtest(tapes[0], JoinEarly(handle=handle), initial_inventory=1, sensitivity=0)
    assert "sensitivity" not in result.summary
    assert result.summary["n_fills"] > 0
    (note,) = [line for line in result.summary["warnings"] if line.startswith("no sensitivity: ")]
    assert "JoinEarly cannot be copied (TypeError" in note
    assert "package.module:Class" in note
    assert note in str(result)
    assert not any(line.startswith("no sensitivity: ") for line in unwanted.summary["warnings"])


def test_own_quote_model_has_default_terms(tapes):
    """The order quantity is the same as for a named model: the smallest that reaches the minimum notional."""
    result = mm.backtest(tapes[0], JoinEarly, "trade_cross", initial_inventory=1)
    params = {"delta_ticks": 1}
    named = mm.backtest(
        tapes[0], "fixed_spread", "trade_cross", quote_params_json=params, sensitivity=0, initial_inventory=1
    )
    assert set(result.orders["qty"].unique()) == set(named.orders["qty"].unique())


def test_model_objects_produce_same_rows_as_model_names(tapes):
    """A compiled model passed as an object equals the same model passed by name and parameters."""
    quotes, fills = model_of("fixed_spread", delta_ticks=2), model_of("trade_cross", share=0.5)
    from_objects = mm.backtest(tapes, quotes, fills, initial_inventory=3)
    parameters = {"quote_params_json": {"delta_ticks": 2}, "fill_params_json": {"share": 0.5}}
    from_names = mm.backtest(tapes, "fixed_spread", "trade_cross", initial_inventory=3, **parameters)
    for table in TABLES:
        assert getattr(from_objects, table).equals(getattr(from_names, table))


def test_parameters_may_stand_with_the_name(tapes):
    """A pair of name and parameters is the name with its JSON knob."""
    pair = mm.backtest(tapes[0], ("fixed_spread", {"delta_ticks": 2}), ("trade_cross", {"share": 0.5}), sensitivity=0)
    parameters = {"quote_params_json": {"delta_ticks": 2}, "fill_params_json": {"share": 0.5}}
    named = mm.backtest(tapes[0], "fixed_spread", "trade_cross", sensitivity=0, **parameters)
    for table in TABLES:
        assert getattr(pair, table).equals(getattr(named, table))
    with pytest.raises(UsageError, match="give one of them"):
        mm.backtest(tapes[0], ("fixed_spread", {"delta_ticks": 2}), quote_params_json={"delta_ticks": 1})
    with pytest.raises(TypeError, match=r"quotes=\(\"avellaneda_stoikov\", {\"gamma\""):
        mm.backtest(tapes[0], gamma=0.1)


def test_rules_reject_separate_terms_and_model_names(tapes):
    instrument = tapes[0].instrument
    rules = Rules(tick_e8=instrument.tick_e8, lot_e8=instrument.lot_e8, maker_fee_e8=0)
    result = mm.backtest(tapes[0], model_of("fixed_spread", delta_ticks=1), model_of("trade_cross"), rules)
    assert result.summary["fees"] == 0
    with pytest.raises(UsageError, match="rules set every term, so maker_fee_rate would have no effect"):
        mm.backtest(tapes[0], model_of("fixed_spread", delta_ticks=1), model_of("trade_cross"), rules, maker_fee_rate=0)
    with pytest.raises(UsageError, match="quotes is 'glft'; with rules it must be a model"):
        mm.backtest(tapes[0], "glft", model_of("trade_cross"), rules)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"maker_fee": 0}, TypeError, r"mm\.backtest\(\) got an unexpected keyword argument 'maker_fee'; did you mean"),
        ({"maker_fee_rate": 2}, UsageError, "between -1 and 1"),
        ({"order_latency_ms": float("nan")}, UsageError, "^order_latency_ms was 'nan': it must be"),
        ({"fit_draws": 2}, UsageError, r"^fit_draws is 2, .* as fill_params_file and leave fill_per_side"),
        ({"fill_params_file": "nowhere.json"}, DataError, "^fill_params_file nowhere.json: there is no such file"),
        ({"quotes": "glft", "quote_model": "gueant"}, UsageError, "give one of them"),
        ({"quotes": model_of("fixed_spread", delta_ticks=1), "fit_draws": 2}, UsageError, "fit_draws draws A and k"),
        ({"quotes": (JoinEarly, {"mos": 1})}, UsageError, "JoinEarly has no parameter 'mos'.*did you mean most"),
        ({"quotes": "avellaneda"}, UsageError, "did you mean avellaneda_stoikov"),
        ({"initial_inventory": "0.00000001"}, UsageError, "^initial_inventory is 0.00000001; it must be a multiple"),
    ],
)
def test_invalid_arguments_raise_named_errors(tapes, given, error, message):
    with pytest.raises(error, match=message):
        mm.backtest(tapes[0], **given)


def test_path_instead_of_a_tape_raises_usage_error(tapes):
    """Regression: it raised an AttributeError from an internal line."""
    for given in ("data/SIMUSDT/20260105", Path("data/SIMUSDT/20260105"), [tapes[0], "data/SIMUSDT/20260106"]):
        with pytest.raises(UsageError, match=r"data/SIMUSDT/2026010\d.*mm\.load_day"):
            mm.backtest(given)


def test_fit_may_be_its_file(workspace, tapes):
    """`fit=` and `fill_params_file=` are one knob."""
    path = str(workspace / "fit.json")
    by_fit, by_knob = (mm.backtest(tapes[0], sensitivity=False, **{name: path}) for name in ("fit", "fill_params_file"))
    assert np.array_equal(by_fit.journal.orders, by_knob.journal.orders)
    with pytest.raises(UsageError, match="give one of them"):
        mm.backtest(tapes[0], fit=path, fill_params_file=path)


def test_missing_tape_and_mismatched_fit_are_rejected(workspace, tapes):
    with pytest.raises(UsageError, match="at least one tape"):
        mm.backtest([])
    fit = PoissonFit.from_json(json.loads((workspace / "fit.json").read_text()), "the fit")
    with pytest.raises(Mismatch, match="the fit is for BTCUSDT"):
        mm.backtest(tapes[0], fit=replace(fit, symbol="BTCUSDT"))
    with pytest.raises(UsageError, match="give one of them"):
        mm.backtest(tapes[0], fit=fit, fill_params_json={"A": 1, "k": 1})


def test_signature_lists_every_knob_with_command_default():
    """`inspect.signature`, which help and editors use, shows them."""
    parameters = inspect.signature(mm.backtest).parameters
    assert list(parameters)[:4] == ["tape", "quotes", "fills", "rules"]
    named = {one.name: one.default for group in GROUPS for one in knobs(group)}
    assert {name: one.default for name, one in parameters.items() if name in named} == named
    assert parameters["maker_fee_rate"].default == "0.001"


def test_hooks_receive_the_exported_view_classes(tapes):
    """User annotations such as ``mm.BookView`` name the class of the object passed to the hook."""
    received = {}

    class Hooks:
        def on_trade(self, order, trade):
            received.update(order=type(order), trade=type(trade))
            return 0

        def on_book(self, order, book, elapsed_us):
            received.update(book=type(book))
            return 0

    class Join:
        def quote(self, view):
            received.update(view=type(view))
            return mm.Quotes(view.bid_ticks, view.ask_ticks)

    mm.backtest(tapes[0], Join(), Hooks())
    assert received == {"order": mm.OrderView, "trade": mm.TradeView, "book": mm.BookView, "view": mm.QuoteView}


@pytest.mark.slow
def test_python_page_code_blocks_run(tmp_path):
    """Each block runs in a folder that contains the day created by the page's command."""
    made = run_python("-m", "mm", "sim", "day", "--symbol", SYMBOL, "--day", DAYS[0], "--hours", "1", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    page = (ROOT / "docs" / "lookup" / "python.md").read_text()
    blocks = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 5
    plots = find_spec("matplotlib") is not None  # mm does not need it
    for block in blocks if plots else [block for block in blocks if "import matplotlib" not in block]:
        done = run_python("-c", block, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    first = run_python("-c", blocks[0], cwd=tmp_path)
    pnl, fills = first.stdout.split()
    assert float(pnl) != 0
    assert int(fills) > 10


def test_inventory_below_zero_is_refused_on_spot(tapes):
    """Nothing can be held below zero there; a contract's account may be short."""
    with pytest.raises(UsageError, match="Spot holds nothing below 0"):
        mm.backtest(tapes[0], initial_inventory=-1, sensitivity=False)
