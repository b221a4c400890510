"""The keys of every kind of summary, and their order in the file, as the lists of ``summary_keys`` have them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_legs import Hedge, markets, play

from journals import run_terms, seeded
from mm import Result
from mm.__main__ import main
from mm.backtest.metrics.numbers import NUMBERS, Summary
from mm.backtest.metrics.summary_number import given
from simulation import simulate_day

KEPT = Path(__file__).parent / "summary_keys"
FIRST, SECOND = "AAAUSDT", "BBBUSDT"
QUOTES = ("--quote-model", "fixed_spread", "--quote-params-json", '{"delta_ticks": 1}', "--maker-fee-rate", "0")
RUNS = {
    "run": ("backtest", "--symbol", FIRST, *QUOTES, "--max-position", "0.3"),
    "account": ("backtest", "--symbol", f"{FIRST},{SECOND}", "--one-account", "1", *QUOTES),
    "walkforward": ("walkforward", "--symbol", FIRST, "--wf-train-window-min", "2", "--wf-step-min", "2"),
}


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """Return a function that calls a command on six simulated minutes of two symbols, and returns its folder."""
    home = tmp_path_factory.mktemp("keys")
    for seed, symbol in enumerate((FIRST, SECOND)):
        simulate_day(home / "data", hours=0.1, seed=seed, symbol=symbol)

    def called(name, *words):
        knobs = {"DATA_ROOT": str(home / "data"), "OUT_ROOT": str(home / name), "LOG_LEVEL": "ERROR"}
        done = CliRunner().invoke(main, [*words, "--day", "20260105"], env=knobs)
        assert done.exit_code == 0, done.stderr
        return home / name

    return called


def outline(value, name=""):
    """Yield the dotted names of a value's keys in their order; rows have those of the first one."""
    if isinstance(value, dict):
        for key, item in value.items():
            path = f"{name}.{key}".lstrip(".")
            yield path
            yield from outline(item, path)
    elif isinstance(value, list) and value:
        yield from outline(value[0], f"{name}[]")


def assert_kept(name, summary):
    assert set(summary) <= set(NUMBERS)
    assert list(outline(summary)) == (KEPT / f"{name}.txt").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("name", RUNS)
def test_keys_of_a_run(name, call):
    """With a queue model, of an account, and walk-forward."""
    [path] = call(name, *RUNS[name]).glob("*/*/20260105_*/**/summary.json")
    assert_kept(name, json.loads(path.read_text(encoding="utf-8")))


def test_keys_of_a_point(call):
    """The records by which a sweep plays no design twice: of a point of the grid, and of the chosen one with bounds."""
    design = ("--symbol", FIRST, "--quote-model", "fixed_spread", "--grid", "DELTA_TICKS=1")
    folder = call("sweep", "sweep", *design, "--rank-by", "pnl_quoting")
    records = [json.loads(path.read_text(encoding="utf-8"))["summary"] for path in folder.glob("points/*/*/*.json")]
    point, chosen = sorted(records, key=lambda summary: "bounds" in summary)
    assert_kept("point", point)
    assert_kept("chosen_point", chosen)


def test_keys_of_legs():
    """The numbers of all legs stand where a run of one market has its own; the legs follow."""
    assert_kept("legs", play(*markets(), Hedge()).summary)


def test_keys_where_fees_have_no_value():
    terms = run_terms(unvalued_fees={"BNB": "0.1"}, unbounded="the quotes are an object", excluded=("08:00 to 08:01",))
    assert_kept("unvalued_fees", Result(seeded(90).journal(), terms).summary)


def test_an_older_version_may_lack_numbers():
    """A key of every run is read as None, one of some runs as unset, and one that no run has any more not at all."""
    old = Summary.read({"symbol": "AAAUSDT", "pnl_total": 2.5, "all_legs": {"pnl_total": 4.0}, "gone": 1})
    assert (old.symbol, old.pnl_quoting, given(old.legs), old.quoting) == ("AAAUSDT", None, None, 4.0)
    assert old.own is old
