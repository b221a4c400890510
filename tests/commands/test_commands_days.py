"""Several days in one backtest: what lies between them is no fault of the recording."""

import json
import subprocess
import sys

import pytest

from mm.backtest.summary_text import excluded_s

DAYS = "20260105,20260106"
HOURS = 0.1


def _mm(*words):
    ended = subprocess.run([sys.executable, "-m", "mm", *map(str, words)], capture_output=True, check=False, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_time_between_days_is_apart_from_excluded_time(tmp_path):
    """Two whole sessions of six minutes must not read as 24 hours of faults."""
    data, out = tmp_path / "data", tmp_path / "out"
    _mm("sim", "day", "--hours", HOURS, "--day", DAYS, "--data-root", data)
    words = ("backtest", "--symbol", "SIMUSDT", "--day", DAYS, "--data-root", data, "--out-root", out)
    summary = json.loads(_mm(*words, "--json"))
    assert summary["seconds_between_days"] == pytest.approx(86_400 - 3_600 * HOURS, abs=1)
    assert 0 <= summary["seconds_excluded"] - summary["seconds_between_days"] < 2
    own, between = (f"{number:,.0f}" for number in (excluded_s(summary), summary["seconds_between_days"]))
    assert f" {own} excluded, {between} between the days" in _mm(*words)
    assert "seconds_between_days" not in json.loads(
        _mm(*(word if word != DAYS else DAYS[:8] for word in words), "--json")
    )
