"""``mm.backtest`` in Python and ``mm backtest`` are one assembly: every knob by its name, the same rows."""

import inspect
import json
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

import mm
from mm.backtest.models import fixed_spread, trade_cross
from mm.backtest.replay import by_events
from mm.backtest.rules import Rules
from mm.backtest_call import GROUPS
from mm.calibration.fit_result import PoissonFit
from mm.cli.knobs import knobs
from mm.dayfolder.layout import DayFolder
from mm.errors import Mismatch, UsageError
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import SCENARIOS
from mm.sim.flow.session import Session
from support import ROOT, run_python

SYMBOL, DAYS = "SIMUSDT", ("20260105", "20260106")
TABLES = ("orders", "fills", "state")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A folder with two days and a fit of the first."""
    folder = tmp_path_factory.mktemp("desk")
    for seed, day in enumerate(DAYS):
        place = DayFolder(folder / "data", SYMBOL, day)
        make_day(place, SCENARIOS["poisson"](), Session(SYMBOL, day, hours=0.1, seed=seed))
    fit = mm.calibrate(mm.load_day(folder / "data" / SYMBOL / DAYS[0]))
    assert fit.usable
    (folder / "fit.json").write_text(json.dumps(fit.to_json()))
    (folder / "latencies.csv").write_text("order_ms,cancel_ms\n10,5\n90,40\n")
    return folder


@pytest.fixture(scope="module")
def tapes(desk):
    return [mm.load_day(desk / "data" / SYMBOL / day) for day in DAYS]


def by_command(desk, name, days, knobs):
    """Play a run by the command line, and return its folder."""
    variables = {knob.upper(): value for knob, value in knobs.items()}
    out = desk / "runs" / name
    done = run_python("-m", "mm", "backtest", "--out-dir", str(out), cwd=desk, SYMBOL=SYMBOL, DAY=days, **variables)
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


@pytest.mark.parametrize("name", CASES)
def test_python_and_the_command_line_write_the_same_files(desk, tapes, name, tmp_path, monkeypatch):
    """Orders, fills and state byte by byte, and every number of the summary."""
    typed, given = CASES[name]
    monkeypatch.chdir(desk)
    if "fit" in given:
        fit = PoissonFit.from_json(json.loads((desk / given["fit"]).read_text()), "the fit")
        given = {**given, "fit": fit}
    out = by_command(desk, name, f"{DAYS[0]}:{DAYS[1]}", typed)
    result = mm.backtest(tapes, **given)
    result.write_tables(tmp_path)
    for table in TABLES:
        file = f"{table}_{SYMBOL}.csv"
        assert (tmp_path / file).read_bytes() == (out / file).read_bytes(), file
    assert len((out / f"orders_{SYMBOL}.csv").read_text().splitlines()) > 50
    theirs = json.loads((out / "summary.json").read_text())
    ours = json.loads(json.dumps(result.summary))
    if "fit" in given:  # a fit of this process lacks no key, and has no file
        assert ours["fit"].pop("path") == theirs["fit"].pop("path")
    assert {key: theirs[key] for key in ours} == ours
    assert ("sensitivity" in ours) == (name != "small")


def test_a_tape_alone_is_the_default_strategy(tapes):
    result = mm.backtest(tapes[0], sensitivity=0)
    assert result.summary["models"] == {"quote": "avellaneda_stoikov", "fill": "queue_prob_power"}


def test_a_model_of_ones_own_is_played_once_and_by_the_same_terms(tapes):
    """One clip is the smallest that reaches the least notional, and fees are the default, as for a named model."""

    class Counting:
        made = 0

        def quote(self, view):
            Counting.made += 1
            return mm.Quotes(view.bid_ticks, view.ask_ticks)

    result = mm.backtest(tapes[0], Counting(), "trade_cross", initial_inventory=1)
    assert "sensitivity" not in result.summary
    assert Counting.made > 100
    params = {"delta_ticks": 1}
    named = mm.backtest(
        tapes[0], "fixed_spread", "trade_cross", quote_params_json=params, sensitivity=0, initial_inventory=1
    )
    assert set(result.orders["qty"].unique()) == set(named.orders["qty"].unique())


def test_objects_give_the_rows_of_their_names(tapes):
    """A compiled model that was made by hand, and the same by its name and parameters."""
    quotes, fills = fixed_spread(delta_ticks=2), trade_cross(share=0.5)
    by_hand = mm.backtest(tapes, quotes, fills, initial_inventory=3)
    given = {"quote_params_json": {"delta_ticks": 2}, "fill_params_json": {"share": 0.5}}
    by_name = mm.backtest(tapes, "fixed_spread", "trade_cross", initial_inventory=3, **given)
    for table in TABLES:
        assert getattr(by_hand, table).equals(getattr(by_name, table))


def test_rules_are_taken_whole(tapes):
    grid = tapes[0].instrument
    rules = Rules(tick_e8=grid.tick_e8, lot_e8=grid.lot_e8, maker_fee_e8=0)
    result = mm.backtest(tapes[0], fixed_spread(delta_ticks=1), trade_cross(), rules)
    assert result.summary["fees"] == 0
    with pytest.raises(UsageError, match="rules set every term, so maker_fee_rate would have no effect"):
        mm.backtest(tapes[0], fixed_spread(delta_ticks=1), trade_cross(), rules, maker_fee_rate=0)
    with pytest.raises(UsageError, match="quotes is 'glft'; with rules it must be a model"):
        mm.backtest(tapes[0], "glft", trade_cross(), rules)


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"maker_fee": 0}, TypeError, r"mm\.backtest\(\) got an unexpected keyword argument 'maker_fee'; did you mean"),
        ({"maker_fee_rate": 2}, UsageError, "between -1 and 1"),
        ({"order_latency_ms": float("nan")}, UsageError, "ORDER_LATENCY_MS"),
        ({"quotes": "glft", "quote_model": "gueant"}, UsageError, "give one of them"),
        (
            {"quotes": fixed_spread(delta_ticks=1), "sensitivity": 1},
            UsageError,
            "sensitivity plays the models several times",
        ),
        ({"quotes": fixed_spread(delta_ticks=1), "fit_draws": 2}, UsageError, "fit_draws plays the models"),
        ({"quotes": "avellaneda"}, UsageError, "did you mean avellaneda_stoikov"),
        ({"initial_inventory": "0.00000001"}, UsageError, "multiple"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tapes, given, error, says):
    with pytest.raises(error, match=says):
        mm.backtest(tapes[0], **given)


def test_paths_in_the_place_of_a_tape_or_a_fit_are_refused(tapes):
    """Both ended in an AttributeError of a line inside."""
    for given in ("data/SIMUSDT/20260105", Path("data/SIMUSDT/20260105"), [tapes[0], "data/SIMUSDT/20260106"]):
        with pytest.raises(UsageError, match=r"data/SIMUSDT/2026010\d.*mm\.load_day"):
            mm.backtest(given)
    with pytest.raises(UsageError, match=r"fit is 'fit\.json'; .* fill_params_file"):
        mm.backtest(tapes, fit="fit.json")


def test_no_tape_and_a_fit_of_another_market_are_refused(desk, tapes):
    with pytest.raises(UsageError, match="at least one tape"):
        mm.backtest([])
    fit = PoissonFit.from_json(json.loads((desk / "fit.json").read_text()), "the fit")
    with pytest.raises(Mismatch, match="a fit of BTCUSDT"):
        mm.backtest(tapes[0], fit=replace(fit, symbol="BTCUSDT"))
    with pytest.raises(UsageError, match="give one of them"):
        mm.backtest(tapes[0], fit=fit, fill_params_json={"A": 1, "k": 1})


def test_the_signature_names_every_knob_with_the_commands_default():
    """As help, editors and `inspect` show it."""
    parameters = inspect.signature(mm.backtest).parameters
    assert list(parameters)[:4] == ["tape", "quotes", "fills", "rules"]
    named = {one.name: one.default for group in GROUPS for one in knobs(group)}
    assert {name: one.default for name, one in parameters.items() if name in named} == named
    assert parameters["maker_fee_rate"].default == "0.001"


def test_views_can_be_named_by_a_users_annotations(tapes):
    """``from mm import BookView`` is the class that a user's hook is given."""
    seen = {}

    class Hooks:
        def on_trade(self, order, trade):
            seen.update(order=type(order), trade=type(trade))
            return 0

        def on_book(self, order, book, elapsed_us):
            seen.update(book=type(book))
            return 0

    class Join:
        def quote(self, view):
            seen.update(view=type(view))
            return mm.Quotes(view.bid_ticks, view.ask_ticks)

    mm.backtest(tapes[0], Join(), Hooks())
    assert seen == {"order": mm.OrderView, "trade": mm.TradeView, "book": mm.BookView, "view": mm.QuoteView}


def test_the_page_about_python_runs_as_it_is_printed(tmp_path):
    """Each block, in a folder with the day that the page makes."""
    made = run_python("-m", "mm", "sim", "day", "--symbol", SYMBOL, "--day", DAYS[0], "--hours", "0.1", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "python.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        done = run_python("-c", block, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    first = run_python("-c", blocks[0], cwd=tmp_path)
    pnl, fills = first.stdout.split()
    assert float(pnl) != 0
    assert int(fills) > 10


def test_progress_counts_the_events_that_went_by(tapes):
    """A bar in µs of tape stands still in a busy minute; each play goes over all tapes once more."""
    steps = []
    advance = by_events(tapes, steps.append)
    for _ in range(2):
        for tape in tapes:
            length_us, half_us = tape.end_us - tape.start_us, (tape.end_us - tape.start_us) // 2
            advance(half_us)
            assert steps[-1] == sum(us <= tape.start_us + half_us for us in tape.event_us.tolist())
            advance(length_us - half_us)
    assert sum(steps) == 2 * sum(map(len, tapes))
