"""Commands as processes: their words by the one declaration, progress, answer, error and end."""

import time

import pytest

from mm.cli.frame import known_knobs
from mm.commands import backtest, sweep
from mm.dashboard import jobs
from mm.dashboard.jobs import StartedCommand, words_of
from mm.errors import UsageError

KNOBS = known_knobs(backtest.main)


def waited(job):
    """Wait for a job's end."""
    until = time.monotonic() + 60
    while job.running:
        assert time.monotonic() < until
        time.sleep(0.02)
    return job


def test_words_are_those_of_the_command_line():
    """Flags in the order of the declaration; what is empty has its default."""
    texts = {"day": " 20260105 ", "symbol": "SIMUSDT", "initial_cash": "", "maker_fee_rate": "0.0001"}
    words = words_of("backtest", texts, KNOBS)
    assert words[:2] == ["mm", "backtest"]
    assert dict(zip(words[2::2], words[3::2], strict=True)) == {
        "--symbol": "SIMUSDT", "--day": "20260105", "--maker-fee-rate": "0.0001",
    }  # fmt: skip


def test_axes_of_a_grid_are_flags_of_their_own():
    """As `mm sweep` takes them."""
    texts = {"day": "20260105", "symbol": "A", "grid": "GAMMA=0.1,1;Q=2"}
    words = words_of("sweep", texts, known_knobs(sweep.main))
    assert [words[at + 1] for at, word in enumerate(words) if word == "--grid"] == ["GAMMA=0.1,1", "Q=2"]


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ({"symbol": "A"}, r"--day \(DAY\) is missing"),
        ({"symbol": "A", "day": "soon"}, r"--day \(DAY\) was 'soon'"),
        ({"symbol": "A", "day": "20260105", "wish": "1"}, "no knob 'wish'"),
    ],
)
def test_what_the_command_line_refuses_is_refused(texts, told):
    with pytest.raises(UsageError, match=told):
        words_of("backtest", texts, KNOBS)


def test_a_job_answers():
    """What `--json` prints."""
    job = waited(StartedCommand(["mm", "models", "fixed_spread"], "models"))
    assert (job.code, job.error) == (0, "")
    assert job.answer()["models"][0]["name"] == "fixed_spread"
    assert job.folder() is None
    assert job.line == "mm models fixed_spread"


def test_a_job_that_fails_has_its_line():
    """And no answer."""
    job = waited(
        StartedCommand(["mm", "backtest", "--symbol", "A", "--day", "20260105", "--data-root", "/nowhere"], "failing")
    )
    assert job.code == 3
    assert job.error.startswith("no day folder /nowhere/A/20260105")
    assert job.answer() == {}


def test_the_share_is_that_of_the_bar(monkeypatch):
    """The last one that was drawn."""
    job = waited(StartedCommand(["mm", "models"], "models"))
    assert job.share == ("begins", 0.0)
    job._output = f"\rplay  [{'#' * 9:-<36}]   25%\x1b[K\rplay  [{'#' * 18:-<36}]   50%  0:03 left\x1b[K"
    assert job.share == ("play", 0.5)


def test_all_jobs_end_with_the_dashboard():
    """None is left behind."""
    job = StartedCommand(["mm", "sim", "serve", "--scenario", "empty"], "serving")
    jobs.end_all()
    assert not job.running
    assert job.code is not None
    assert set() == jobs._RUNNING
