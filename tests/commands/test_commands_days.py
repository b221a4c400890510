"""Several days in one backtest: time between days is not a recording fault, and skipped days are listed."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

import mm
from mm.__main__ import main
from mm.backtest.summary_text import excluded_s
from mm.clock import missing_days

DAYS = "20260105,20260106"
HOURS = 0.1


def _mm(*words):
    ended = subprocess.run([sys.executable, "-m", "mm", *map(str, words)], capture_output=True, check=False, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_time_between_days_is_separate_from_excluded_time(tmp_path):
    """Two complete sessions of six minutes must not be reported as 24 hours of faults."""
    data, out = tmp_path / "data", tmp_path / "out"
    _mm("sim", "day", "--hours", HOURS, "--day", DAYS, "--data-root", data)
    words = ("backtest", "--symbol", "SIMUSDT", "--day", DAYS, "--data-root", data, "--out-root", out)
    summary = json.loads(_mm(*words, "--json"))
    assert summary["seconds_between_days"] == pytest.approx(86_400 - 3_600 * HOURS, abs=1)
    assert 0 <= summary["seconds_excluded"] - summary["seconds_between_days"] < 2
    excluded, between = (f"{number:,.0f}" for number in (excluded_s(summary), summary["seconds_between_days"]))
    assert f" {excluded} excluded, {between} between the days" in _mm(*words)
    assert "seconds_between_days" not in json.loads(
        _mm(*(word if word != DAYS else DAYS[:8] for word in words), "--json")
    )


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (["20260105"], ""),
        (["20260105", "20260106"], ""),
        (["20260228", "20260301"], ""),
        (["20260105", "20260107"], "20260106"),
        (["20260105", "20260110"], "20260106 to 20260109"),
        (["20251230", "20260101", "20260102", "20260105"], "20251231, 20260103 to 20260104"),
    ],
)
def test_missing_days_lists_days_between_played_days(days, expected):
    assert missing_days(days) == expected


def _sessions(tmp_path, days):
    """Make sessions of six minutes on *days*; return the flags for the folders of a run."""
    data = tmp_path / "data"
    _mm("sim", "day", "--hours", HOURS, "--day", days, "--data-root", data)
    return "--symbol", "SIMUSDT", "--data-root", str(data), "--out-root", str(tmp_path / "out")


@pytest.mark.slow
def test_skipped_day_is_reported_in_log_summary_and_page(tmp_path):
    """Monday and Wednesday are played, but inventory and PnL extend over the Tuesday between them."""
    folders = _sessions(tmp_path, "20260105,20260107")
    done = CliRunner().invoke(main, ["backtest", *folders, "--day", "20260105,20260107", "--run-id", "R"])
    assert not done.exit_code, done.output
    assert done.stderr.count("warning days_not_played days=20260106 way_out=") == 1
    run = tmp_path / "out" / "backtest" / "SIMUSDT" / "20260105-20260107_R"
    (note,) = [
        warning for warning in json.loads((run / "summary.json").read_text())["warnings"] if "not_played" in warning
    ]
    assert note.startswith("days_not_played: the run leaves out 20260106 between")
    assert note in done.stdout
    assert "days_not_played: the run leaves out 20260106" in (run / "report.html").read_text()
    days = [mm.load_day(tmp_path / "data" / "SIMUSDT" / day) for day in ("20260105", "20260107")]
    assert note in mm.backtest(days, sensitivity=False).summary["warnings"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "warnings"),
    [
        (["backtest", "--day", "20260105:20260106"], 0),
        (["walkforward", "--day", "20260105,20260107", "--wf-train-window-min", "2", "--wf-step-min", "1"], 1),
        (["sweep", "--day", "20260105,20260107", "--grid", "GAMMA=0.1,1", "--jobs", "1"], 1),
    ],
)
def test_skipped_days_are_warned_of_once_per_command(tmp_path, words, warnings):
    folders = _sessions(tmp_path, "20260105:20260107")
    done = CliRunner().invoke(main, [*words, *folders])
    assert not done.exit_code, done.output
    assert done.stderr.count("warning days_not_played") == warnings
    assert ("days_not_played: " in done.stdout) == bool(warnings)
