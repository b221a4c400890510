"""``mm risk``: its output, its JSON, and its exit codes."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mm.__main__ import main
from mm.live.kill_switch import KillSwitch


@pytest.fixture
def mm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OUT_ROOT", str(tmp_path))

    def call(*words: str) -> Result:
        return CliRunner().invoke(main, ["risk", *words])

    return call


def test_a_switch_is_thrown_read_and_re_armed(mm, tmp_path: Path) -> None:
    """From the first status to the last one."""
    armed = {"symbol": "BTCUSDT", "killed": False, "reason": None, "since": None}
    assert json.loads(mm("status", "--symbol", "btcusdt", "--json").stdout) == armed
    assert mm("status", "--symbol", "BTCUSDT").stdout == "BTCUSDT: armed\n"
    thrown = mm("kill", "--symbol", "BTCUSDT", "--reason", "odd fills")
    assert thrown.exit_code == 0
    assert thrown.stdout.startswith("BTCUSDT: killed since ")
    assert thrown.stdout.endswith(": odd fills; mm risk rearm --symbol BTCUSDT allows it to trade again\n")
    found = json.loads(mm("status", "--symbol", "BTCUSDT", "--json").stdout)
    assert found == KillSwitch(tmp_path, "BTCUSDT").status()
    assert (found["killed"], found["reason"]) == (True, "odd fills")
    back = mm("rearm", "--symbol", "BTCUSDT")
    assert (back.exit_code, back.stdout) == (0, "was thrown: odd fills\nBTCUSDT: armed\n")
    assert json.loads(mm("status", "--symbol", "BTCUSDT", "--json").stdout) == armed


def test_a_second_kill_keeps_the_first_reason(mm) -> None:
    mm("kill", "--symbol", "BTCUSDT")
    again = mm("kill", "--symbol", "BTCUSDT", "--reason", "other")
    assert again.exit_code == 0
    assert again.stdout.startswith("thrown before; its reason stays\n")
    assert json.loads(mm("kill", "--symbol", "BTCUSDT", "--json").stdout)["reason"] == "by hand"


def test_re_arming_what_is_not_thrown_says_so(mm, tmp_path: Path) -> None:
    """Exit code 0."""
    found = mm("rearm", "--symbol", "BTCUSDT")
    assert found.exit_code == 0
    assert found.stdout == f"was not thrown: {tmp_path / 'risk' / 'BTCUSDT.kill'}\nBTCUSDT: armed\n"


@pytest.mark.parametrize("words", [("status",), ("kill", "--symbol", "../x"), ("rearm", "--symbol", "")])
def test_a_symbol_is_needed(mm, words) -> None:
    """No path leaves the folder."""
    assert mm(*words).exit_code == 2


def test_what_cannot_be_removed_ends_with_3(mm, tmp_path: Path) -> None:
    KillSwitch(tmp_path, "BTCUSDT").path.mkdir(parents=True)
    found = mm("rearm", "--symbol", "BTCUSDT")
    assert found.exit_code == 3
