"""A fee that the quotes cannot earn is said once, before anything is played, by every command that plays."""

import pytest
from click.testing import CliRunner

from mm.__main__ import main
from mm.dayfolder.layout import DayFolder
from mm.sim.flow.day import make_day
from mm.sim.flow.scenario import SCENARIOS
from mm.sim.flow.session import Session

SYMBOL, DAY = "SIMUSDT", "20260105"
WINDOWS = ("--wf-train-window-min", "2", "--wf-step-min", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a data folder with six minutes of a market whose mid is some 10,000 ticks."""
    root = tmp_path_factory.mktemp("data")
    make_day(DayFolder(root, SYMBOL, DAY), SCENARIOS["poisson"](), Session(SYMBOL, DAY, hours=0.1, seed=1))
    return root


@pytest.mark.parametrize(
    "words",
    [
        ("backtest", "--sensitivity", "0"),
        ("walkforward", "--sensitivity", "0", *WINDOWS),
        ("sweep", "--grid", "GAMMA=0.1,1", "--jobs", "1"),
    ],
    ids=lambda words: words[0],
)
@pytest.mark.parametrize("rate", ["0.1", "0"])
def test_every_command_says_once_that_a_fee_is_not_earned(data, tmp_path, words, rate):
    """A tenth of the notional is 1,000 ticks."""
    places = ["--symbol", SYMBOL, "--day", DAY, "--data-root", str(data), "--out-root", str(tmp_path)]
    done = CliRunner().invoke(main, [*words, *places, "--maker-fee-rate", rate])
    assert not done.exit_code, done.output
    assert done.stderr.count("fee_not_earned") == (rate == "0.1")


def test_sweep_counts_the_points_that_cannot_earn_their_fee(data, tmp_path):
    """An own axis of fees, and quotes that rest wide enough: one line with the widest gap."""
    places = ["--symbol", SYMBOL, "--day", DAY, "--data-root", str(data), "--out-root", str(tmp_path)]
    axes = ["--grid", "MAKER_FEE_RATE=0,0.001,0.002;DELTA_TICKS=1,15", "--quote-model", "fixed_spread"]
    done = CliRunner().invoke(main, ["sweep", *places, *axes, "--jobs", "1"])
    assert not done.exit_code, done.output
    (line,) = [line for line in done.stderr.splitlines() if "fee_not_earned" in line]
    assert 'points="3 of 6"' in line
    assert "half_spread_ticks=1.0 fee_ticks=19" in line
