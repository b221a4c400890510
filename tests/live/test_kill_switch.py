"""The kill switch: a file that readers always find complete, and that counts as triggered with any content."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mm.errors import DataError
from mm.live.account.kill_switch import DAMAGED, Kill, KillSwitch

US = 1_767_596_400_123_456


@pytest.fixture
def switch(tmp_path: Path) -> KillSwitch:
    return KillSwitch(tmp_path / "out", "BTCUSDT")


def test_switch_without_file_is_armed(switch: KillSwitch) -> None:
    """Not even the folder exists."""
    assert not switch.triggered
    assert switch.read() is None
    assert switch.rearm("checked", 1) is None
    assert switch.status() == {"symbol": "BTCUSDT", "killed": False, "reason": None, "since": None}
    assert switch.line() == "BTCUSDT: armed"


def test_throw_persists_until_rearm(switch: KillSwitch, tmp_path: Path) -> None:
    """Another object, as after a restart, reads it."""
    assert switch.trigger("MAX_DRAWDOWN 0.06 > 0.05", US)
    again = KillSwitch(tmp_path / "out", "BTCUSDT")
    assert again.triggered
    assert again.read() == Kill("MAX_DRAWDOWN 0.06 > 0.05", US)
    assert again.path == tmp_path / "out" / "risk" / "BTCUSDT.kill"
    assert json.loads(again.path.read_text()) == {"reason": "MAX_DRAWDOWN 0.06 > 0.05", "since": US}
    assert not KillSwitch(tmp_path / "out", "ETHUSDT").triggered
    assert "mm risk rearm --symbol BTCUSDT" in again.line()
    assert again.rearm("checked", 1) == Kill("MAX_DRAWDOWN 0.06 > 0.05", US)
    assert not switch.triggered
    assert [path.name for path in again.path.parent.iterdir()] == ["BTCUSDT.rearm"]


def test_the_first_throw_wins(switch: KillSwitch) -> None:
    """Eight threads trigger it at once: one of them succeeds, and its complete reason is stored."""
    start, threw = threading.Barrier(8), []

    def trigger(number: int) -> None:
        start.wait()
        if KillSwitch(switch.path.parent.parent, "BTCUSDT").trigger(f"reason {number}", US + number):
            threw.append(number)

    threads = [threading.Thread(target=trigger, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(threw) == 1
    assert switch.read() == Kill(f"reason {threw[0]}", US + threw[0])
    assert not switch.trigger("later", US)
    assert [one.name for one in switch.path.parent.iterdir()] == ["BTCUSDT.kill"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"reason": "x"}',
        b'{"reason": 1, "since": 2}',
        b'{"reason": "x", "since": 1e99}',
    ],
)
def test_damaged_file_counts_as_thrown(switch: KillSwitch, content: bytes) -> None:
    switch.path.parent.mkdir(parents=True)
    switch.path.write_bytes(content)
    os.utime(switch.path, ns=(US * 1000, US * 1000))
    assert switch.triggered
    assert switch.read() == Kill(DAMAGED, US)
    assert switch.status()["killed"]
    assert not switch.trigger("later", US)
    assert switch.rearm("checked", 1) == Kill(DAMAGED, US)
    assert not switch.triggered


def test_out_of_range_instant_counts_as_damage(switch: KillSwitch) -> None:
    switch.trigger("x", 10**30)
    assert switch.read().reason == DAMAGED
    assert switch.line().startswith("BTCUSDT: killed since ")


def test_folder_at_switch_path_counts_as_thrown(switch: KillSwitch) -> None:
    """`rearm` does not remove it, since a user created it."""
    switch.path.mkdir(parents=True)
    assert switch.triggered
    assert switch.read().reason == DAMAGED
    assert not switch.trigger("x", US)
    with pytest.raises(DataError, match="remove it by hand"):
        switch.rearm("checked", 1)


def test_broken_symlink_counts_as_thrown(switch: KillSwitch, tmp_path: Path) -> None:
    switch.path.parent.mkdir(parents=True)
    switch.path.symlink_to(tmp_path / "nowhere")
    assert switch.triggered
    assert switch.read().reason == DAMAGED


def test_multiline_reason_is_shown_on_one_line(switch: KillSwitch) -> None:
    switch.trigger("one\ntwo", US)
    assert switch.line().count("\n") == 0
    assert switch.read().reason == "one two"


FULL = """
import resource, signal, sys
from pathlib import Path
from mm.live.account.kill_switch import KillSwitch
switch = KillSwitch(Path(sys.argv[1]), "BTCUSDT")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
print(switch.trigger("loss", 1), switch.triggered)
"""


def test_throw_works_on_a_full_disk(switch: KillSwitch) -> None:
    """The file is then empty; a limit on file sizes simulates the full disk."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(switch.path.parent.parent)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "True True\n"
    assert switch.read().reason == DAMAGED
    assert [one.name for one in switch.path.parent.iterdir()] == ["BTCUSDT.kill"]


def test_throw_raises_when_nothing_can_be_written(switch: KillSwitch) -> None:
    switch.path.parent.parent.mkdir(parents=True)
    switch.path.parent.write_text("a file where the folder should be")
    with pytest.raises(OSError, match="exists"):
        switch.trigger("x", US)
    assert not switch.triggered
