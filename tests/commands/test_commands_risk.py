"""``mm risk``: its output, its JSON and its exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mm.__main__ import main
from mm.live.account.kill_switch import KillSwitch


@pytest.fixture
def mm(tmp_path: Path):
    def call(*words: str) -> Result:
        return CliRunner().invoke(main, ["risk", *words, "--out-root", str(tmp_path)])

    return call


def test_kill_switch_is_thrown_read_and_rearmed(mm, tmp_path: Path) -> None:
    """From the first status to the last."""
    armed = {"symbol": "BTCUSDT", "killed": False, "reason": None, "since": None}
    assert json.loads(mm("status", "--symbol", "btcusdt", "--json").stdout) == armed
    assert mm("status", "--symbol", "BTCUSDT").stdout == "BTCUSDT: armed\n"
    triggered = mm("kill", "--symbol", "BTCUSDT", "--reason", "odd fills")
    assert triggered.exit_code == 0
    assert triggered.stdout.startswith("BTCUSDT: killed since ")
    assert triggered.stdout.endswith(": odd fills; mm risk rearm --symbol BTCUSDT allows it to trade again\n")
    status = json.loads(mm("status", "--symbol", "BTCUSDT", "--json").stdout)
    assert status == KillSwitch(tmp_path, "BTCUSDT").status()
    assert (status["killed"], status["reason"]) == (True, "odd fills")
    rearmed = mm("rearm", "--symbol", "BTCUSDT")
    assert (rearmed.exit_code, rearmed.stdout) == (0, "was triggered: odd fills\nBTCUSDT: armed\n")
    assert json.loads(mm("status", "--symbol", "BTCUSDT", "--json").stdout) == armed


def test_a_second_kill_keeps_the_first_reason(mm) -> None:
    mm("kill", "--symbol", "BTCUSDT")
    again = mm("kill", "--symbol", "BTCUSDT", "--reason", "other")
    assert again.exit_code == 0
    assert again.stdout.startswith("BTCUSDT: already triggered; the earlier reason is kept\n")
    assert json.loads(mm("kill", "--symbol", "BTCUSDT", "--json").stdout)["reason"] == "by hand"


def test_rearm_of_an_armed_symbol_reports_it_was_not_thrown(mm, tmp_path: Path) -> None:
    """Exit code 0."""
    result = mm("rearm", "--symbol", "BTCUSDT")
    assert result.exit_code == 0
    assert result.stdout == f"was not triggered: {tmp_path / 'risk' / 'BTCUSDT.kill'}\nBTCUSDT: armed\n"


@pytest.mark.parametrize("words", [("status",), ("kill", "--symbol", "../x"), ("rearm", "--symbol", "")])
def test_risk_commands_need_a_valid_symbol(mm, words) -> None:
    """A symbol cannot lead to a path outside the folder."""
    assert mm(*words).exit_code == 2


def test_unremovable_kill_file_exits_with_3(mm, tmp_path: Path) -> None:
    KillSwitch(tmp_path, "BTCUSDT").path.mkdir(parents=True)
    result = mm("rearm", "--symbol", "BTCUSDT")
    assert result.exit_code == 3
