"""Commands as processes: their words from the declaration of knobs, progress, answer, error and end."""

import time

import pytest

from mm.cli.frame import known_knobs
from mm.commands.backtest import backtest
from mm.commands.sweep import sweep
from mm.dashboard import jobs
from mm.dashboard.jobs import StartedCommand, words_of
from mm.errors import UsageError

KNOBS = known_knobs(backtest)


def wait_for(job):
    """Wait until a job ends."""
    deadline = time.monotonic() + 60
    while job.running:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return job


def test_words_are_those_of_the_command_line():
    """Flags in the order of the declaration; empty values have their default."""
    texts = {"day": " 20260105 ", "symbol": "SIMUSDT", "initial_cash": "", "maker_fee_rate": "0.0001"}
    words = words_of("backtest", texts, KNOBS)
    assert words[:2] == ["mm", "backtest"]
    assert dict(zip(words[2::2], words[3::2], strict=True)) == {
        "--symbol": "SIMUSDT", "--day": "20260105", "--maker-fee-rate": "0.0001",
    }  # fmt: skip


def test_axes_of_a_grid_become_separate_flags():
    """As `mm sweep` takes them."""
    texts = {"day": "20260105", "symbol": "A", "grid": "GAMMA=0.1,1;Q=2"}
    words = words_of("sweep", texts, known_knobs(sweep))
    assert [words[at + 1] for at, word in enumerate(words) if word == "--grid"] == ["GAMMA=0.1,1", "Q=2"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"symbol": "A"}, r"^day is missing"),
        ({"symbol": "A", "day": "soon"}, r"^day was 'soon'"),
        ({"symbol": "A", "day": "20260105", "wish": "1"}, "no knob 'wish'"),
    ],
)
def test_invalid_texts_raise_usage_error(texts, message):
    with pytest.raises(UsageError, match=message):
        words_of("backtest", texts, KNOBS)


def test_finished_job_returns_its_json_answer():
    """The output of `--json`."""
    job = wait_for(StartedCommand(["mm", "models", "fixed_spread"], "models"))
    assert (job.code, job.error) == (0, "")
    assert job.answer()["models"][0]["name"] == "fixed_spread"
    assert job.folder() is None
    assert job.line == "mm models fixed_spread"


def test_a_job_inherits_no_keys_tokens_or_passwords(tmp_path, monkeypatch):
    """It runs code that a knob names."""
    secrets = {
        "BINANCE_API_KEY": "k1",
        "BINANCE_API_SECRET": "s1",
        "BINANCE_PRIVATE_KEY_FILE": "k2",
        "API_TOKEN_FILE": "t1",
        "LEDGER_URL": "postgresql://mm:pw@db/mm",
        "TRADE_PRODUCTION": "A:1",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STATE_URL", "redis://127.0.0.1")
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nenv\n")
    program.chmod(0o700)
    monkeypatch.setattr(jobs.sys, "executable", str(program))
    job = wait_for(StartedCommand(["mm", "models"], "models"))
    job._wait()
    found = dict(line.split("=", 1) for line in job._answer.decode().splitlines() if "=" in line)
    assert not secrets.keys() & found.keys()
    assert found["STATE_URL"] == "redis://127.0.0.1"


def test_failed_job_has_its_error_line():
    """And an empty answer."""
    job = wait_for(
        StartedCommand(["mm", "backtest", "--symbol", "A", "--day", "20260105", "--data-root", "/nowhere"], "failing")
    )
    assert job.code == 3
    assert job.error.startswith("no day folder /nowhere/A/20260105")
    assert job.answer() == {}


def test_share_is_that_of_the_last_progress_bar(monkeypatch):
    """Of the bar that was drawn last."""
    job = wait_for(StartedCommand(["mm", "models"], "models"))
    assert job.share == ("starting", 0.0)
    job._output = f"\rplay  [{'#' * 9:-<36}]   25%\x1b[K\rplay  [{'#' * 18:-<36}]   50%  0:03 left\x1b[K"
    assert job.share == ("play", 0.5)


def test_all_jobs_end_with_the_dashboard():
    """No process is left."""
    job = StartedCommand(["mm", "sim", "serve", "--scenario", "empty"], "serving")
    jobs.end_all()
    assert not job.running
    assert job.code is not None
    assert set() == jobs._RUNNING
