"""Valid but unusual days: each ends with a clear error line or a clear warning."""

import json
from pathlib import Path

import pytest
from lab import Done, Lab

pytestmark = pytest.mark.slow  # a process for each case

SYMBOL = "SIMUSDT"
FUNDS = {"INITIAL_CASH": "100000000", "INITIAL_INVENTORY": "1000"}
LATER_KEYS = ("sigma_ticks", "predictive_ci95", "warnings", "dispersion")


def tick_wide(lab: Lab, name: str, command: str, *flags: str, **variables: str) -> Done:
    """Run a command on a simulated day whose spread is one tick 99 % of the time."""
    data = lab.sim("tick-wide", "--scenario", "large_tick")
    where = {"SYMBOL": SYMBOL, "DAY": "20260105", "DATA_ROOT": str(data)}
    return lab.command(f"odd/{name}", command, "--json", *flags, **where, **variables)


def test_fit_warns_of_one_tick_spread(lab: Lab) -> None:
    """With such a spread, fills depend on the queue more than on the distance."""
    done = tick_wide(lab, "fit", "calibrate")
    assert done.code == 0, done.err
    assert [note for note in done.last["warnings"] if note.startswith("a large tick: the spread is one tick in ")]


@pytest.mark.parametrize("fitted", [False, True], ids=["no fit", "fit"])
def test_backtest_quotes_at_touch_for_one_tick_spread(lab: Lab, fitted: bool) -> None:
    """Quotes are half a tick from the mid, with or without a fit; one tick farther nothing would fill."""
    variables = dict(FUNDS)
    if fitted:
        variables["FILL_PARAMS_FILE"] = tick_wide(lab, "fit", "calibrate").last["path"]
    done = tick_wide(lab, f"run-{fitted}", "backtest", **variables)
    assert done.code == 0, done.err
    assert done.last["n_fills"] > 100
    assert done.last["quoted_half_spread"]["p50"] == pytest.approx(0.005)  # in the quote asset: half a tick of 0.01


def test_walk_forward_has_fills_for_one_tick_spread(lab: Lab) -> None:
    windows = ("--wf-train-window-min", "10", "--wf-step-min", "5")
    done = tick_wide(lab, "walk", "walkforward", *windows, **FUNDS)
    assert done.code == 0, done.err
    assert done.last["n_fills"] > 100


def test_fit_of_older_version_is_accepted_with_warning_of_missing_keys(lab: Lab) -> None:
    """A and k are used; the warning lists the missing keys."""
    path = tick_wide(lab, "fit", "calibrate").last["path"]
    content = json.loads(Path(path).read_text())
    older = lab.root / "older_fit.json"
    older.write_text(json.dumps({key: value for key, value in content.items() if key not in LATER_KEYS}))
    done = tick_wide(lab, "older", "backtest", FILL_PARAMS_FILE=str(older), **FUNDS)
    assert done.code == 0, done.err
    assert done.last["n_fills"] > 100
    (note,) = [note for note in done.last["warnings"] if "lacks " in note]
    assert all(key in note for key in LATER_KEYS if key in content), note


@pytest.mark.parametrize("command", ["calibrate", "backtest", "schedule", "walkforward"])
def test_day_with_trades_but_no_book_is_rejected(lab: Lab, command: str) -> None:
    """Exit 3 and one line with the reason."""
    trades = []
    for i in range(200):
        us = 1767600000_000000 + i * 1_000_000
        data = {"e": "trade", "E": us // 1000, "s": SYMBOL, "t": 1000 + i, "p": f"100.0{i % 3}", "q": "0.010"}
        data |= {"T": us // 1000 - 3, "m": bool(i % 2)}
        trades.append(f"{us} {json.dumps({'stream': 'simusdt@trade', 'data': data})}")
    grid = ("--tick-size", "0.01", "--qty-step", "0.001", "--min-notional", "1")
    imported = lab.imported("trades only", trades, "--symbol", SYMBOL, *grid)
    assert imported.code == 3, imported.err
    assert "never synced, so it cannot be replayed" in imported.out
    where = {"SYMBOL": SYMBOL, "DAY": "20260105", "DATA_ROOT": str(imported.cwd / "data")}
    done = lab.command(f"odd/trades-{command}", command, **where)
    assert done.code == 3
    (line,) = done.err.splitlines()
    assert "a day without depth messages has no book" in line
