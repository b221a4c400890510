"""A fee that the quotes cannot earn is said once, with the numbers of the run, by every command that plays."""

import json

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from simulation import simulate_day

SYMBOL, DAY = "SIMUSDT", "20260105"
WINDOWS = ("--wf-train-window-min", "2", "--wf-step-min", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a data folder with six minutes of a market whose mid is some 10,000 ticks."""
    root = tmp_path_factory.mktemp("data")
    simulate_day(root, hours=0.1, seed=1, symbol=SYMBOL, day=DAY)
    return root


def said(data, out, *words):
    """Run a command; return its notes on the fee."""
    places = ["--symbol", SYMBOL, "--day", DAY, "--data-root", str(data), "--out-root", str(out)]
    done = CliRunner().invoke(main, [*words, *places])
    assert not done.exit_code, done.output
    notes = [line for line in done.stdout.splitlines() if "fee_not_earned" in line]
    plays_one = words[0] in ("backtest", "walkforward")  # whose first minutes tell it before the rest is played
    assert done.stderr.count("fee_not_earned") == (plays_one and len(notes) == 1)
    return notes


@pytest.mark.parametrize(
    "words",
    [
        ("backtest", "--sensitivity", "0"),
        ("walkforward", "--sensitivity", "0", *WINDOWS),
        ("sweep", "--grid", "GAMMA=0.1,1", "--jobs", "1"),
        ("evaluate", "--jobs", "1"),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("rate", ["0.1", "0"])
def test_every_command_says_once_that_a_fee_is_not_earned(data, tmp_path, words, rate):
    """A tenth of the notional is 1,000 ticks."""
    assert len(said(data, tmp_path, *words, "--maker-fee-rate", rate)) == (rate == "0.1")


def test_note_has_the_distance_at_which_quotes_rested(data, tmp_path):
    """One fact, one number: that of the summary, which the terminal prints as quoted distance."""
    (line,) = said(data, tmp_path, "backtest", "--sensitivity", "0", "--maker-fee-rate", "0.1")
    (path,) = tmp_path.rglob("summary.json")
    half = json.loads(path.read_text())["quoted_half_spread_ticks"]["p50"]
    assert f"the median quoted half-spread is {half:,g} ticks" in line


def test_sweep_counts_the_points_that_cannot_earn_their_fee(data, tmp_path):
    """An own axis of fees, and quotes that rest wide enough: those of 5 ticks earn 3 and not 20."""
    axes = ["--grid", "MAKER_FEE_RATE=0,0.0003,0.002;DELTA_TICKS=1,5", "--quote-model", "fixed_spread"]
    (line,) = said(data, tmp_path, "sweep", *axes, "--jobs", "1")
    assert "3 of 6 points" in line
