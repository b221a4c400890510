"""``mm fills fit --trades``: what the fills of our own orders tell of the queues they waited in."""

import json
import shutil

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from own_trades import orders_near_the_touch, write_log, write_run

SYMBOL, DAY = "ZIUSDT", "20260105"


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def simulated(folder, hours, *market):
    """Simulate a market with order queues below a folder, and return the words that name it."""
    market = market or ("--scenario", "zero_intelligence")
    where = ("--symbol", SYMBOL, "--data-root", folder / "data")
    answer = call("sim", "day", *where, "--day", DAY, "--hours", hours, *market)
    assert answer.exit_code == 0, answer.output
    return (*where, "--out-root", folder / "out")


@pytest.fixture(scope="module")
def minutes(tmp_path_factory):
    """A folder with six minutes of a market; nobody writes into it."""
    folder = tmp_path_factory.mktemp("minutes")
    simulated(folder, 0.1)
    return folder


@pytest.fixture
def desk(minutes, tmp_path):
    """A folder with the same day, and the words that name it."""
    shutil.copytree(minutes / "data", tmp_path / "data")
    return tmp_path, ("--symbol", SYMBOL, "--data-root", tmp_path / "data", "--out-root", tmp_path / "out")


def trade(folder, run_id, rows, symbol=SYMBOL):
    """Write a finished trade, and return its RUN_ID."""
    write_run(folder / "out", symbol, DAY, run_id)
    write_log(folder / "out", symbol, DAY, run_id, rows)
    return run_id


@pytest.mark.slow
def test_fills_of_ours_tell_the_exponent_that_every_order_tells(tmp_path):
    """Two trades of one day; the interval has the exponent that fits to all orders, and a backtest plays it."""
    where = simulated(tmp_path, 1)
    truth = json.loads(call("fills", "fit", *where, "--day", DAY, "--truth", "--life-s", 10, "--json").stdout)
    rows = orders_near_the_touch(tmp_path / "data", SYMBOL, DAY, 1000, seed=2)
    first = {row[2]["client_id"] for row in rows[: len(rows) // 2]}
    parts = [[row for row in rows if (row[2]["client_id"] in first) is half] for half in (True, False)]
    names = ",".join(trade(tmp_path, f"run{number}", part) for number, part in enumerate(parts))
    answer = call("fills", "fit", *where, "--trades", names, "--json")
    assert answer.exit_code == 0, answer.output
    fit = json.loads(answer.stdout)
    assert fit["low"] < truth["exponent"] < fit["high"]
    assert (fit["source"], truth["source"], fit["runs"]) == ("trades", "truth", ["run0", "run1"])
    held = fit["held_out"]
    assert set(held["exponents"]) == {"run0", "run1"}
    assert (held["n_orders"], held["n_fills"]) == (fit["n_orders"], fit["n_fills"])
    assert all(one["hits"] + one["misses"] == fit["n_fills"] for one in held["models"].values())
    back, front = (held["models"][name] for name in ("queue_back", "queue_front"))
    assert back["hits"] + back["false_fills"] < front["hits"] + front["false_fills"]
    assert 300 < fit["n_fills"] < fit["n_orders"] < 1000
    assert abs(fit["bias"]) < 0.03
    assert sum(one["n"] for one in fit["reliability"] if one["by"] == "ahead") == fit["n_orders"]
    (kept,) = (tmp_path / "out" / "fills" / SYMBOL).glob("*_queue_exponent.json")
    assert json.loads(kept.read_text())["source"] == "trades"
    quotes = ("--quote-model", "fixed_spread", "--quote-params-json", '{"delta_ticks": 2}')
    played = call("backtest", *where, "--day", DAY, "--fill-model", "queue_prob_power", *quotes)
    assert played.exit_code == 0, played.output
    (summary,) = (tmp_path / "out" / "backtest").glob("*/*/summary.json")
    assert json.loads(summary.read_text())["sensitivity"]["queue_exponent"]["exponent"] == fit["exponent"]


@pytest.mark.slow
def test_fills_tell_the_exponent_of_the_full_book_where_a_book_comes_in_batches(tmp_path):
    """Every order tells a higher one by a book of 100 ms, which the command says, and by each change that of fills."""
    pytest.importorskip("databento_dbn")
    where = simulated(tmp_path, 1, "--scenario", "large_tick", "--seed", 7)
    batches = json.loads(call("fills", "fit", *where, "--day", DAY, "--truth", "--json").stdout)
    export = ("data", "export", tmp_path / "data" / SYMBOL / DAY, "--format", "dbn", "--out", tmp_path / "x.dbn")
    assert call(*export).exit_code == 0
    steps = ("--contract-size", "0.001", "--tick-size", "0.01", "--data-root", tmp_path / "full")
    made = call("data", "import", tmp_path / "x.dbn", "--format", "databento", "--symbol", SYMBOL, *steps)
    assert made.exit_code == 0, made.output
    of_full = ("--symbol", SYMBOL, "--day", DAY, "--data-root", tmp_path / "full", "--out-root", tmp_path / "truth")
    full = json.loads(call("fills", "fit", *of_full, "--truth", "--json").stdout)
    run = trade(tmp_path, "ours", orders_near_the_touch(tmp_path / "data", SYMBOL, DAY, 1500, seed=7))
    answer = call("fills", "fit", *where, "--trades", run)
    assert answer.exit_code == 0, answer.output
    assert "the book comes every 100 ms" in answer.output
    (path,) = (tmp_path / "out" / "fills" / SYMBOL).glob("*_trades/fills_fit.json")
    fit = json.loads(path.read_text())
    assert fit["low"] < full["exponent"] < fit["high"]
    assert full["high"] < batches["low"]


def test_a_few_orders_tell_no_exponent_and_leave_no_file_for_backtests(desk):
    """What is known is printed and kept, and the end says what to give."""
    folder, where = desk
    run = trade(folder, "few", orders_near_the_touch(folder / "data", SYMBOL, DAY, 30, seed=1))
    answer = call("fills", "fit", *where, "--trades", run)
    assert answer.exit_code == 4
    assert "too_few" in answer.output
    assert not list((folder / "out" / "fills" / SYMBOL).glob("*_queue_exponent.json"))


def test_a_run_id_of_several_symbols_is_the_run_of_the_symbol(desk):
    """As a trade of two symbols has it."""
    folder, where = desk
    trade(folder, "T1", orders_near_the_touch(folder / "data", SYMBOL, DAY, 30, seed=1))
    write_run(folder / "out", "OTHERUSDT", DAY, "T1")
    answer = call("fills", "fit", *where, "--trades", "T1")
    assert "too_few" in answer.output, answer.output


def test_trades_without_a_fill_are_refused(desk):
    """Orders that only ended tell that the queue was longer, never that it was used up."""
    folder, where = desk
    rows = orders_near_the_touch(folder / "data", SYMBOL, DAY, 30, seed=1)
    run = trade(folder, "unfilled", [row for row in rows if row[1] != "fill"])
    answer = call("fills", "fit", *where, "--trades", run)
    assert answer.exit_code != 0
    assert "none of 30 orders filled" in answer.output


def test_runs_that_cannot_tell_it_are_refused_by_name(desk):
    """A backtest, a trade of another symbol, one without its day, one without its log, one that does not exist."""
    folder, where = desk
    backtest = write_run(folder / "out", SYMBOL, DAY, "paper", kind="backtest")
    other = write_run(folder / "out", "OTHERUSDT", DAY, "other")
    later = write_run(folder / "out", SYMBOL, "20260106", "later")
    bare = write_run(folder / "out", SYMBOL, DAY, "bare")
    cases = [
        (backtest, "is a run of kind 'backtest'"),
        (other, "is a trade of OTHERUSDT"),
        (later, f"{folder / 'data' / SYMBOL / '20260106'}: there is no such folder"),
        (bare, f"{DAY}_bare.ndjson: there is no such file"),
        ("nothing", "is neither a run folder nor a RUN_ID"),
    ]
    for run, reason in cases:
        answer = call("fills", "fit", *where, "--trades", run)
        assert answer.exit_code != 0, run
        assert reason in answer.output
        assert "Traceback" not in answer.output
    for words in ((), ("--trades", "bare", "--day", DAY), ("--trades", "bare", "--truth", "1")):
        assert call("fills", "fit", *where, *words).exit_code == 2
