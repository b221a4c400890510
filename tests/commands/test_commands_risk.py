"""``mm risk``: its output, its JSON and its exit codes."""

import json
import os
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from audit_logs import path_of
from mm.__main__ import main
from mm.base.held_file import hold_file
from mm.instrument import E8, Instrument
from mm.live.account.kill_switch import KillSwitch, note_none_open
from mm.live.account.locks import Holder, TraderLocks
from mm.live.audit.log import AuditLog

BTC = Instrument("BTCUSDT", E8 // 100, 1_000, 5 * E8, "BTC", "USDT")
ORDER = {"action": "place", "client_id": "a-1"}
PLACED = (
    ("intent", {**ORDER, "side": "BUY", "price": "99.50", "qty": "1", "kind": "LIMIT_MAKER"}),
    ("ack", {**ORDER, "order_id": 7}),
)
CANCELLED = ("cancel", {"client_id": "a-1", "order_id": 7, "status": "CANCELED", "filled": "0"})


@pytest.fixture(autouse=True)
def _own_host(tmp_path: Path, monkeypatch) -> None:
    """Locks of other tests are those of another host."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def mm(tmp_path: Path, monkeypatch):
    """Return a command of a shell whose OUT_ROOT is not the trader's."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> Result:
        return CliRunner().invoke(main, ["risk", *words])

    return call


@contextmanager
def lives(out_root: Path, symbol: str = "BTCUSDT", run_id: str = "r", kind: str = "trade", pid: int = 0):
    """Hold the locks of a trader whose folder is *out_root*."""
    out_root.mkdir(exist_ok=True)
    said = Holder(symbol=symbol, out_root=str(out_root), run_id=run_id, kind=kind, venue="box", pid=pid, host="h")
    with TraderLocks(out_root, "http://x:1", "key").alone(said):
        yield


def log(out_root: Path, *rows: tuple[str, dict], symbol: str = "BTCUSDT", run_id: str = "r") -> None:
    """Write the audit log of a trader."""
    written = AuditLog(path_of(out_root, symbol, run_id, "20260105"), sync=False)
    written.start(BTC, run_id, venue="box")
    for kind, fields in rows:
        written.append(kind, **fields)
    written.close()


def test_switch_of_a_symbol_whose_trader_has_ended_is_thrown_read_and_rearmed(mm, tmp_path: Path) -> None:
    """From the first status to the last, in whatever folder the trader was."""
    log(tmp_path / "there", *PLACED, CANCELLED, ("stop", {"reason": "SIGTERM", "open": []}))
    with lives(tmp_path / "there"):
        pass
    status = json.loads(mm("status", "--symbol", "btcusdt", "--json").stdout)
    assert (status["symbol"], status["killed"], status["reason"], status["since"]) == ("BTCUSDT", False, None, None)
    assert status["folders"] == [str(tmp_path / "there")]
    assert mm("status", "--symbol", "BTCUSDT").stdout == f"BTCUSDT: armed ({tmp_path / 'there'})\n"
    triggered = mm("kill", "--symbol", "BTCUSDT", "--reason", "odd fills")
    assert triggered.exit_code == 0
    *killed, last = triggered.stdout.splitlines()
    assert len(killed) == 2  # where it was, and where a start from this shell would look
    for line in killed:
        assert line.startswith("BTCUSDT: killed since ")
        assert "odd fills; mm risk rearm --symbol BTCUSDT allows it to trade again" in line
    assert last == "BTCUSDT: no trader of it runs; none can start until it is re-armed"
    status = json.loads(mm("status", "--symbol", "BTCUSDT", "--json").stdout)
    assert (status["killed"], status["reason"]) == (True, "odd fills")
    assert [KillSwitch(tmp_path / root, "BTCUSDT").triggered for root in ("there", "out")] == [True, True]
    rearmed = mm("rearm", "--symbol", "BTCUSDT", "--reason", "checked")
    assert (rearmed.exit_code, rearmed.stdout.splitlines()[0]) == (0, "was triggered: odd fills")
    assert [KillSwitch(tmp_path / root, "BTCUSDT").triggered for root in ("there", "out")] == [False, False]
    again = mm("rearm", "--symbol", "BTCUSDT")
    assert again.stdout.splitlines()[0] == f"was not triggered: {tmp_path / 'there' / 'risk' / 'BTCUSDT.kill'}"


def test_a_second_kill_keeps_the_first_reason(mm, tmp_path: Path) -> None:
    log(tmp_path / "out")
    mm("kill", "--symbol", "BTCUSDT")
    again = mm("kill", "--symbol", "BTCUSDT", "--reason", "other")
    assert again.exit_code == 0
    assert again.stdout.startswith("BTCUSDT: already triggered; the earlier reason is kept\n")
    assert json.loads(mm("status", "--symbol", "BTCUSDT", "--json").stdout)["reason"] == "by hand"


@pytest.mark.parametrize("command", ["status", "kill", "rearm"])
def test_symbol_that_nothing_knows_is_an_error_with_the_nearest_names(mm, tmp_path: Path, command) -> None:
    with lives(tmp_path / "there"):
        for _ in range(2 if command == "kill" else 1):  # the file of the first makes nothing known
            done = mm(command, "--symbol", "BTCUSTD")
            assert done.exit_code == 3
            assert "no trader, folder or log of it is known; did you mean BTCUSDT?" in done.stderr
            assert "that runs: BTCUSDT" in done.stderr
            assert str(tmp_path / "there") in done.stderr
    assert "armed" not in done.stdout
    assert KillSwitch(tmp_path / "out", "BTCUSTD").triggered == (command == "kill")
    assert not KillSwitch(tmp_path / "there", "BTCUSDT").triggered


def test_one_of_two_symbols_that_is_misspelt_is_an_error_and_the_other_is_killed(mm, tmp_path: Path) -> None:
    log(tmp_path / "there", ("stop", {"reason": "kill", "open": []}))
    with lives(tmp_path / "there"):
        done = mm("kill", "--symbol", "BTCUSDT,BTCUSTD")
    assert done.exit_code == 3
    assert "BTCUSDT: trade r" in done.stdout
    assert KillSwitch(tmp_path / "there", "BTCUSDT").triggered


def test_future_only_prevents_starts_of_a_symbol_without_a_trader(mm, tmp_path: Path) -> None:
    assert mm("kill", "--symbol", "BTCUSDT", "--future-only").exit_code == 0
    assert KillSwitch(tmp_path / "out", "BTCUSDT").triggered
    assert mm("rearm", "--symbol", "BTCUSDT").exit_code == 0, "the switch is known"


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        ({"reason": "kill", "open": []}, 0),
        ({"reason": "kill", "open": ["BTCUSDT a-1 BUY 1 at 99.50"]}, 75),
        ({"reason": "kill"}, 75),  # an earlier version, which does not say
        (None, 75),
    ],
)
def test_kill_ends_with_0_only_once_the_trader_has_written_that_it_is_empty(mm, tmp_path: Path, stop, code) -> None:
    log(tmp_path / "there", *PLACED, *([("stop", stop)] if stop else []))
    with lives(tmp_path / "there", pid=77):
        done = mm("kill", "--symbol", "BTCUSDT", "--wait-s", "0.3", "--json")
    assert done.exit_code == code, done.output
    (trader,) = json.loads(done.stdout.splitlines()[-1])["traders"]
    assert (trader["run_id"], trader["pid"], trader["out_root"]) == ("r", 77, str(tmp_path / "there"))
    assert trader["empty"] is (code == 0)
    if code:
        assert "mm trade cancel --venue box --symbol BTCUSDT" in done.stderr
    if stop is None:
        assert "kill -9 77" in done.stderr


def test_orders_that_the_trader_cancelled_are_named(mm, tmp_path: Path) -> None:
    KillSwitch(tmp_path / "there", "BTCUSDT").trigger("first", 1)
    log(tmp_path / "there", *PLACED, CANCELLED, ("stop", {"reason": "kill", "open": []}))
    with lives(tmp_path / "there"):
        done = mm("kill", "--symbol", "BTCUSDT")
    assert done.exit_code == 0
    assert "is empty: 1 orders cancelled (a-1 CANCELED), none open" in done.stdout


@pytest.mark.parametrize("found_empty", [True, False])
def test_orders_of_a_trader_that_died_are_no_success(mm, tmp_path: Path, found_empty: bool) -> None:
    """Unless its guardian, or a cancel by hand, has found none at the exchange since."""
    log(tmp_path / "there", *PLACED)
    with lives(tmp_path / "there"):
        pass
    if found_empty:
        note_none_open(tmp_path / "there", "BTCUSDT", 1 << 60)
    done = mm("kill", "--symbol", "BTCUSDT")
    assert done.exit_code == (0 if found_empty else 75)
    assert ("1 orders of one below" in done.stderr) is not found_empty


def test_all_and_one_of_a_process_tell_every_symbol_of_it(mm, tmp_path: Path) -> None:
    for symbol in ("BTCUSDT", "ETHUSDT"):
        log(tmp_path / "there", ("stop", {"reason": "kill", "open": []}), symbol=symbol)
    log(tmp_path / "third", ("stop", {"reason": "kill", "open": []}), symbol="BNBUSDT")
    with (
        lives(tmp_path / "there", pid=7),
        lives(tmp_path / "there", "ETHUSDT", pid=7),
        lives(tmp_path / "third", "BNBUSDT", pid=8),
    ):
        one = mm("kill", "--symbol", "ETHUSDT")
        assert [line.partition(":")[0] for line in one.stdout.splitlines() if "is empty" in line] == [
            "BTCUSDT",
            "ETHUSDT",
        ]
        assert not KillSwitch(tmp_path / "third", "BNBUSDT").triggered
        every = mm("kill", "--symbol", "all", "--json")
        assert every.exit_code == 0, every.output
        states = json.loads(every.stdout)["symbols"]
    assert sorted(symbol for symbol, state in states.items() if state["killed"]) == ["BNBUSDT", "BTCUSDT", "ETHUSDT"]
    assert KillSwitch(tmp_path / "third", "BNBUSDT").triggered


def test_all_is_an_error_where_nothing_is_known(mm) -> None:
    assert mm("kill", "--symbol", "ALL").exit_code == 3


def test_two_traders_of_a_symbol_are_both_killed_unless_a_flag_names_the_folder_of_one(mm, tmp_path: Path) -> None:
    """A contract and a symbol of Spot may have one name."""
    for name in ("one", "two"):
        log(tmp_path / name, ("stop", {"reason": "kill", "open": []}))
    said = [Holder(symbol="BTCUSDT", out_root=str(tmp_path / name), run_id="r") for name in ("one", "two")]
    with (
        TraderLocks(tmp_path / "one", "http://x:1", "key").alone(said[0]),
        TraderLocks(tmp_path / "two", "http://x:2", "key").alone(said[1]),
    ):
        assert mm("kill", "--symbol", "BTCUSDT", "--out-root", str(tmp_path / "one")).exit_code == 0
        assert not KillSwitch(tmp_path / "two", "BTCUSDT").triggered
        elsewhere = mm("kill", "--symbol", "BTCUSDT", "--out-root", str(tmp_path / "third"))
        assert elsewhere.exit_code == 0, elsewhere.output
        assert KillSwitch(tmp_path / "two", "BTCUSDT").triggered


def test_rearm_while_a_killed_trader_hangs_is_refused(mm, tmp_path: Path) -> None:
    """It would go on as soon as it runs again."""
    log(tmp_path / "there", *PLACED)
    with lives(tmp_path / "there"):
        assert mm("kill", "--symbol", "BTCUSDT", "--wait-s", "0").exit_code == 75
        refused = mm("rearm", "--symbol", "BTCUSDT")
        assert refused.exit_code == 75
        assert KillSwitch(tmp_path / "there", "BTCUSDT").triggered
    assert mm("rearm", "--symbol", "BTCUSDT").exit_code == 0


def test_flatten_goes_on_while_its_symbol_is_killed(mm, tmp_path: Path) -> None:
    log(tmp_path / "there")
    with lives(tmp_path / "there", kind="flatten"):
        done = mm("kill", "--symbol", "BTCUSDT", "--wait-s", "0")
    assert done.exit_code == 0, done.output
    assert "BTCUSDT: flatten r in" in done.stdout


def test_lock_of_an_earlier_version_is_held_by_somebody_that_does_not_answer(mm, tmp_path: Path) -> None:
    with lives(tmp_path / "there"):
        pass
    (shared,) = (tmp_path / "tmp").glob("mm-*/*.json")
    shared.write_text("")
    with shared.open("r+") as file:
        assert hold_file(file.fileno())
        done = mm("kill", "--symbol", "BTCUSDT", "--wait-s", "0")
    assert done.exit_code == 75, done.output
    assert str(shared) in done.stderr


def test_symbol_that_others_trade_on_the_account_is_not_one_of_ours(mm, tmp_path: Path) -> None:
    """Its note is a lock without a holder: a kill would say that none runs."""
    log(tmp_path / "out")
    TraderLocks(tmp_path / "out", "http://x:1", "key").note("ETHUSDT")
    assert mm("kill", "--symbol", "ETHUSDT").exit_code == 3


def test_switch_that_cannot_be_written_is_named(mm, tmp_path: Path) -> None:
    log(tmp_path / "there", ("stop", {"reason": "kill", "open": []}))
    (tmp_path / "there" / "risk").touch()
    with lives(tmp_path / "there"):
        done = mm("kill", "--symbol", "BTCUSDT")
    assert done.exit_code == 3
    assert f"{tmp_path / 'there' / 'risk' / 'BTCUSDT.kill'}: the kill switch cannot be triggered" in done.stderr


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every folder")
def test_folder_of_another_user_is_named(mm, tmp_path: Path) -> None:
    other = tmp_path / "tmp" / f"mm-{os.getuid()}"
    other.mkdir(mode=0)
    assert str(other) in mm("status", "--symbol", "BTCUSDT").stderr


@pytest.mark.parametrize("words", [("status",), ("kill", "--symbol", "../x"), ("rearm", "--symbol", "")])
def test_risk_commands_need_a_valid_symbol(mm, words) -> None:
    """A symbol cannot lead to a path outside the folder."""
    assert mm(*words).exit_code == 2


def test_unremovable_kill_file_exits_with_3(mm, tmp_path: Path) -> None:
    KillSwitch(tmp_path / "out", "BTCUSDT").path.mkdir(parents=True)
    result = mm("rearm", "--symbol", "BTCUSDT")
    assert result.exit_code == 3
