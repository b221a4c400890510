"""Evaluations: the statistics of days by hand, and the command on days of which some are missing or broken."""

import csv
import json
import math
import shlex
import signal
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
import pytest

from mm import DayFolder, evaluate, open_run
from mm.backtest.metrics.verdict import Sample, judge
from mm.errors import Mismatch, MissingDay, UsageError
from mm.sweep.evaluation import HOUR_US, DayMarket, EvaluatedDay, evaluated, mean_of
from mm.trials.own_content import own_content
from simulation import simulate_day
from small_tapes import book, tape, trade
from support import ROOT, run_mm

HOUR = 490_000  # since 1970; its hour of day is 16


def played(symbol, day, pnl, *, volatility=(1.0,), asset="USDT", qty=2.0, start=HOUR, **summary):
    """Return a day whose quoting earned *pnl* in consecutive hours, all in their first minute."""
    minutes = [value for hour in pnl for value in (hour, *[0.0] * 59)]
    found = {
        "symbol": symbol,
        "days": [day],
        "pnl_quoting": math.fsum(pnl),
        "pnl_hold": 0.0,
        "fees": 0.0,
        "n_fills": 3,
        "max_drawdown": 0.5,
        "two_sided_uptime": 1.0,
        "seconds_covered": 3_600.0 * len(pnl),
        "quote_qty": qty,
        "volume": {"base": 10.0, "quote": 1_000.0},
        "inventory": {"abs_mean": 1.0},
        "spans": [[start * HOUR_US, (start + len(pnl)) * HOUR_US]],
        "returns": {"period_s": 60, "periods_per_year": 60.0 * len(pnl) * 365},
        "quote_asset": asset,
        "warnings": ["null: x", "a warning"],
    }
    series = {"spans": [[start * HOUR_US, len(minutes)]], "period_s": 60, "pnl": minutes}
    market = DayMarket(500.0, np.arange(start, start + len(volatility)), np.array(volatility, np.float64))
    return EvaluatedDay(
        symbol, day, market, {"summary": found | summary, "series": series}, f"mm backtest {symbol} {day}"
    )


def test_mean_of_days_is_students():
    """By hand: 1, 2 and 6 have the mean 3, the deviation √7 and, with two degrees of freedom, the quantile 4.30265."""
    found = mean_of([1, 2, 6])
    assert found["mean"] == 3
    assert found["high"] - 3 == pytest.approx(4.302652729749462 * math.sqrt(7 / 3), rel=1e-12)
    ends = dict.fromkeys(("low", "high", "low_alone", "high_alone"))
    assert mean_of([5]) == {"days": 1, "mean": 5.0, **ends, "share_above_0": 1.0}
    several = mean_of([1, 2, 6], trials=50)
    assert several["low"] < several["low_alone"] == found["low"]
    assert mean_of([])["mean"] is None


def test_days_are_summed_over_symbols_before_their_interval():
    """Two symbols of one day are one observation; a failed day is a hole."""
    failed = EvaluatedDay("BBBUSDT", "20260103", DayMarket(1.0, np.empty(0), np.empty(0)), {"error": "it broke"}, "")
    days = [
        played("AAAUSDT", "20260102", [4.0]),
        played("AAAUSDT", "20260101", [1.0]),
        played("BBBUSDT", "20260101", [-3.0], qty=None),
        played("BBBUSDT", "20260102", [2.0], qty=None),
        failed,
    ]
    found = evaluated(days, [{"symbol": "AAAUSDT", "day": "20260103", "reason": "no day folder"}])
    assert [row["pnl"] for row in found["pnl_by_day"]] == [-2.0, 6.0]
    assert (found["pnl"], found["daily"]["mean"], found["drawdown_of_days"]) == (4.0, 2.0, 2.0)
    assert (found["worst_day"]["day"], found["best_day"]["pnl"]) == ("20260101", 6.0)
    assert found["sharpe_daily"] == pytest.approx(2 / math.sqrt(32) * math.sqrt(365))
    assert [(hole["symbol"], hole["reason"]) for hole in found["holes"]] == [
        ("AAAUSDT", "no day folder"),
        ("BBBUSDT", "it broke"),
    ]
    first, second = found["by_symbol"]
    assert (first["pnl"], first["turnover"], first["pnl_per_turnover_bp"]) == (5.0, 2_000.0, 25.0)
    assert first["share_of_volume"] == 0.02
    assert first["quote_qty_at_share"] == 1.0  # half of the clip, as the share is two percent
    assert second["quote_qty_at_share"] is None
    assert "4 of 4 days: a warning" in found["warnings"]


def test_days_above_0_say_what_would_undo_them_and_whether_they_are_alike():
    """Five days that earn 1 ± .1 and never lost exclude a day of −5 only where it comes more often than in 1.7 days."""
    days = [played("AAAUSDT", f"2026010{at}", [1 + 0.1 * (-1) ** at] * (3 if at == 5 else 1)) for at in range(1, 6)]
    found = evaluated(days, [])
    assert found["verdict"]["text"] == "above 0"
    assert found["verdict"]["lower95"] == pytest.approx(5 * found["daily"]["low"])
    assert found["undone_by"]["loss"] == pytest.approx(found["pnl"])
    assert found["undone_by"]["losing_periods"] == 0
    assert found["undone_by"]["times_the_largest"] is None
    assert found["undone_by"]["once_in_s"] / 86_400 == pytest.approx(5 / -math.log(0.05))
    assert sum("weigh the same" in line for line in found["warnings"]) == 1
    alike = evaluated([played("AAAUSDT", f"2026010{at}", [(-1.0) ** at]) for at in range(1, 5)], [])
    assert alike["undone_by"] is None
    assert not any("weigh the same" in line for line in alike["warnings"])


def test_a_single_day_has_the_verdict_of_its_backtest():
    """By its minutes: a gain on one of one day says nothing, and no interval over days is given."""
    pnl = np.random.default_rng(1).normal(0.01, 1.0, 120)
    one = played("AAAUSDT", "20260101", [0.0, 0.0])
    one.outcome["series"]["pnl"] = pnl.tolist()
    found = evaluated([one], [])
    expected = judge(Sample.of(pnl)).content
    assert found["verdict"] == expected
    assert (found["daily"]["low"], expected["text"]) == (None, "undecided")


def test_hours_and_regimes_hold_the_pnl_of_their_minutes():
    """Three hours a day; the volatile third of the hours has its own mean."""
    days = [
        played("AAAUSDT", f"2026010{number}", [1.0, 2.0, 6.0], volatility=(1, 2, 3), start=HOUR + 24 * number)
        for number in (1, 2)
    ]
    found = evaluated(days, [])
    assert [(row["hour"], row["mean"], row["days"]) for row in found["by_hour"]] == [(16, 1, 2), (17, 2, 2), (18, 6, 2)]
    assert [(row["regime"], row["hours"], row["mean"]) for row in found["by_volatility"]] == [
        ("calm", 2, 1.0),
        ("usual", 2, 2.0),
        ("volatile", 2, 6.0),
    ]


def test_volatility_of_an_hour_is_that_of_its_minutes():
    """Root mean square of the changes of the mid from minute to minute, each in the hour in which it begins."""
    minute = HOUR_US // 60
    first = HOUR * HOUR_US - 2 * minute
    mids = [1_000, 1_010, 1_000, 1_020, 1_020, 990]  # at each full minute, two of them before the hour
    events = [book(first + at * minute - 1, mid - 1, mid + 1) for at, mid in enumerate(mids)]
    events.append(trade(first + 5 * minute, 1, 991, lots=7))
    market = DayMarket.of(tape([*events, book(first + 5 * minute, 989, 991, bid_lots=11)], first, first + 6 * minute))
    moves = [math.log(later / mid) for mid, later in pairwise(mids)]
    assert market.hours.tolist() == [HOUR - 1, HOUR]
    expected = [1e4 * math.sqrt(sum(move**2 for move in part) / len(part)) for part in (moves[:2], moves[2:])]
    assert market.volatility.tolist() == pytest.approx(expected)
    assert market.volume == pytest.approx(0.007)


def test_quote_assets_are_not_summed():
    with pytest.raises(Mismatch, match="AAAUSDT in USDT"):
        evaluated([played("AAAUSDT", "20260101", [1.0]), played("AAABTC", "20260101", [1.0], asset="BTC")], [])


@pytest.fixture(scope="module")
def month(tmp_path_factory):
    """Days of two symbols, one of them cut short, one missing."""
    folder = tmp_path_factory.mktemp("month")
    for symbol in ("AAAUSDT", "BBBUSDT"):
        for seed, day in enumerate(("20260105", "20260106")):
            simulate_day(folder / "data", hours=0.1, seed=seed, symbol=symbol, day=day)
    broken = DayFolder(folder / "data", "BBBUSDT", "20260106").trades
    broken.write_bytes(broken.read_bytes()[:3_000])
    return folder


SETTINGS = {"INITIAL_INVENTORY": "1", "MAKER_FEE_RATE": "0", "QUOTE_MODEL": "fixed_spread"}
SETTINGS |= {"QUOTE_PARAMS_JSON": '{"delta_ticks": 2}', "JOBS": "1"}
WORDS = ("-m", "mm", "evaluate", "--symbol", "AAAUSDT,BBBUSDT", "--day", "20260105:20260107")


def plain(content):
    """Return the content without the reasons of holes, which name settings as flags or as arguments."""
    return own_content(content) | {"holes": [(hole["symbol"], hole["day"]) for hole in content["holes"]]}


def test_command_plays_what_is_there_and_names_the_rest(month, monkeypatch):
    """Its rows are those of single backtests, its numbers those of `mm.evaluate`; a second evaluation plays nothing."""
    done = run_mm(*WORDS[2:], "--run-id", "all", cwd=month, **SETTINGS)
    assert done.returncode == 0, done.stderr
    folder = month / "out/evaluation/AAAUSDT+BBBUSDT/20260105-20260107_all"
    content = json.loads((folder / "evaluation.json").read_text())
    assert [(hole["symbol"], hole["day"]) for hole in content["holes"]] == [
        ("BBBUSDT", "20260106"),
        ("AAAUSDT", "20260107"),
        ("BBBUSDT", "20260107"),
    ]
    assert "hole: BBBUSDT 20260106: " in done.stdout
    assert "trades_ws_BBBUSDT_20260106.csv" in (folder / "report.html").read_text()
    rows = list(csv.DictReader((folder / "evaluation_days.csv").read_text().splitlines()))
    words = shlex.split(rows[-1]["command"])
    assert words[:2] == ["mm", "backtest"]
    alone = run_mm(*words[1:], "--run-id", "one", "--json", cwd=month, **SETTINGS)
    assert alone.returncode == 0, alone.stderr
    run = month / "out/backtest" / rows[-1]["symbol"] / f"{rows[-1]['day']}_one"
    summary = json.loads((run / "summary.json").read_text())
    assert float(rows[-1]["pnl_quoting"]) == summary["pnl_quoting"] != 0
    assert float(rows[-1]["volume"]) == summary["volume"]["base"]
    opened = open_run(folder)
    assert opened.rows_frame()["pnl_quoting"].to_list() == [float(row["pnl_quoting"]) for row in rows]
    days, *_ = (figure for _, figure in opened.plot().charts)
    assert list(days["data"][-1]["y"]) == [row["pnl"] for row in content["pnl_by_day"]]
    assert "Best day" in opened._repr_html_()
    again = run_mm(*WORDS[2:], "--run-id", "again", cwd=month, **SETTINGS)
    assert again.returncode == 0, again.stderr
    manifest = json.loads((folder.with_name("20260105-20260107_again") / "run_manifest.json").read_text())
    assert (manifest["timings"]["played"], manifest["timings"]["reused"]) == (0, 3)
    settings = {"quote_model": "fixed_spread", "quote_params_json": {"delta_ticks": 2}, "initial_inventory": 1}
    monkeypatch.chdir(month)
    own = {"out_root": "python", "maker_fee_rate": 0, "jobs": 1}
    called = evaluate("AAAUSDT,BBBUSDT", "20260105:20260107", **settings, **own)
    assert plain(json.loads(json.dumps(called))) == plain(content)
    elsewhere = run_mm(*WORDS[2:], "--run-id", "all", "--out-root", "elsewhere", cwd=month, **SETTINGS)
    assert elsewhere.returncode == 0, elsewhere.stderr
    copy = month / "elsewhere" / folder.relative_to(month / "out")
    first, second = (json.loads((one / "evaluation.json").read_text()) for one in (folder, copy))
    assert own_content(first) == own_content(second)


def test_command_without_any_day_ends_with_3(month):
    done = run_mm(*WORDS[2:-1], "20270101:20270103", cwd=month, **SETTINGS)
    assert done.returncode == 3
    assert "none of 6 days could be read; the first: no day folder" in done.stderr


def test_python_evaluation_refuses_what_the_command_refuses(month):
    """A knob that there is not, no day, and days of which none can be read."""
    with pytest.raises(TypeError, match="did you mean maker_fee_rate"):
        evaluate("AAAUSDT", "20260105", maker_fee=0)
    with pytest.raises(UsageError, match="day is missing"):
        evaluate("AAAUSDT", data_root=month / "data")
    with pytest.raises(MissingDay, match="none of 1 days could be read"):
        evaluate("AAAUSDT", "20270101", data_root=month / "data", out_root=month / "none")


@pytest.mark.slow
def test_a_killed_evaluation_resumes(month):
    """With the days that were played; its files equal those of one that was not killed."""
    settings = SETTINGS | {"REUSE_POINTS": "1", "QUOTE_PARAMS_JSON": '{"delta_ticks": 3}'}
    command = [sys.executable, *WORDS, "--run-id", "killed"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", **settings}
    process = subprocess.Popen(
        command, cwd=month, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    partial = month / "out/evaluation/AAAUSDT+BBBUSDT/20260105-20260107_killed.partial"
    while not partial.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    whole = run_mm(*WORDS[2:], "--run-id", "killed", cwd=month, **settings)
    assert whole.returncode == 0, whole.stderr
    other = run_mm(*WORDS[2:], "--run-id", "whole", cwd=month, **settings)
    assert other.returncode == 0, other.stderr
    first, second = (
        (month / f"out/evaluation/AAAUSDT+BBBUSDT/20260105-20260107_{name}/evaluation.json").read_text()
        for name in ("killed", "whole")
    )
    assert own_content(json.loads(first)) == own_content(json.loads(second))
