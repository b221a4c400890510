"""The watchdog: what it reads from the files of traders that run, ended, were killed or died."""

import json
import os
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from audit_logs import path_of
from mm import DayFolder
from mm.base.audit_chain import Witness
from mm.base.held_file import hold_file, is_held
from mm.clock import iso, now_us
from mm.errors import DataError
from mm.instrument import E8, Instrument
from mm.live.account.kill_switch import KillSwitch
from mm.live.account.locks import LATELY_S, Holder, TraderLocks
from mm.live.audit.books import BOOKS
from mm.live.audit.history import EquityFile, EquityMarks, read_history
from mm.live.audit.log import AuditLog
from mm.live.pages.watchdog import DIED, WATCHDOG_FAMILIES, Watchdog
from mm.market_data.health import HealthReport

BTC = Instrument("BTCUSDT", E8 // 100, 1_000, 5 * E8, "BTC", "USDT")
DAY = "20260105"


class Folders:
    """OUT_ROOT, DATA_ROOT and the files that traders leave there."""

    def __init__(self, root: Path) -> None:
        self.out, self.data = root / "out", root / "data"
        self.out.mkdir()
        self.dog = Watchdog(self.out, self.data, self.out / "logs")

    def log(self, run_id: str, *events: dict, kind: str = "trade", symbol: str = "BTCUSDT", age_s: float = 60) -> Path:
        """Write a run log whose last change is *age_s* old."""
        path = self.out / "logs" / kind / symbol / DAY / run_id / "run.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        started = {"ts": iso(now_us()), "level": "info", "event": "run_started"}
        path.write_text("".join(json.dumps(one) + "\n" for one in (started, *events)))
        os.utime(path, (time.time() - age_s,) * 2)
        return path

    def audit(self, run_id: str, *rows: tuple[str, dict]) -> Path:
        """Write an audit log of these rows after the start."""
        path = path_of(self.out, "BTCUSDT", run_id, DAY)
        log = AuditLog(path, sync=False)
        known = read_history(path.parent, "BTCUSDT", "box", now_us())
        log.start(BTC, run_id, venue="box", **{BOOKS: known.kept()})
        for kind, fields in rows:
            log.append(kind, **fields)
        log.close()
        return path

    def look(self, symbol: str = "BTCUSDT"):
        """Return the watched symbol."""
        return next(one for one in self.dog.look().symbols if one.symbol == symbol)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


@contextmanager
def held(path: Path):
    """Hold a file as a living process does."""
    with path.open("ab") as file:
        hold_file(file.fileno())
        yield


def event(name: str, **fields: object) -> dict:
    return {"ts": iso(now_us()), "level": "info", "event": name, **fields}


def order(client_id: str) -> tuple[tuple[str, dict], tuple[str, dict]]:
    """Return intent and acknowledgement of an order."""
    name = {"action": "place", "client_id": client_id}
    return (
        ("intent", {**name, "side": 1, "price": "99.50", "qty": "1", "kind": "LIMIT_MAKER"}),
        ("ack", {**name, "order_id": 7}),
    )


ENDED = ("cancel", {"client_id": "a-1", "order_id": 7, "status": "CANCELED", "filled": "0"})


def test_nothing_left_is_no_trouble(folders: Folders) -> None:
    found = folders.dog.look()
    assert (found.symbols, found.troubles(), list(found.free_bytes)) == ((), [], ["out"])


def test_kill_switch_is_shown_with_reason_for_its_symbol_alone(folders: Folders) -> None:
    KillSwitch(folders.out, "ETHUSDT").trigger("MAX_DAILY_LOSS", 1_767_596_400_000_000)
    folders.log("r", event("run_finished", status="ok", exit_code=0, ended="SIGTERM"))
    assert folders.look("ETHUSDT").kill.reason == "MAX_DAILY_LOSS"
    btc = folders.look("BTCUSDT")
    assert (btc.kill, list(btc.troubles())) == (None, [])
    only = Watchdog(folders.out, folders.data, folders.out / "logs", ["BTCUSDT"]).look()
    assert [one.symbol for one in only.symbols] == ["BTCUSDT"]
    assert not only.troubles()


@pytest.mark.parametrize("content", [b"", b'{"reason":"od', b"\xff"])
def test_half_written_kill_file_counts_as_killed(folders: Folders, content: bytes) -> None:
    path = folders.out / "risk" / "BTCUSDT.kill"
    path.parent.mkdir()
    path.write_bytes(content)
    assert folders.look().kill.reason.startswith("unknown")


def test_end_has_reason_and_exit_code_of_the_last_run(folders: Folders) -> None:
    folders.log("a", event("run_finished", status="ok", exit_code=0, ended="window_end"))
    folders.log("b", event("run_finished", status="incomplete", exit_code=75, ended="disk"))
    folders.log("s", event("run_failed", error="DataError: no such symbol", exit_code=3), kind="shadow")
    found = folders.look()
    assert {kind: (end.run_id, end.code, end.reason) for kind, end in found.ends.items()} == {
        "trade": ("b", 75, "disk"),
        "shadow": ("s", 3, "DataError: no such symbol"),
    }
    assert [line.split(" at ")[0] for line in found.troubles()] == [
        "BTCUSDT: trade b ended with 75",
        "BTCUSDT: shadow s ended with 3",
    ]


def test_held_log_is_of_a_running_process_and_a_free_one_without_end_of_a_dead_one(folders: Folders) -> None:
    log = folders.log("r")
    with held(log):
        assert is_held(log)
        found = folders.look()
        assert (found.running, dict(found.ends)) == ({"trade"}, {})
    found = folders.look()
    assert (found.running, found.ends["trade"].code) == (frozenset(), DIED)
    with held(folders.log("next")):
        assert not list(folders.look().troubles()), "the next trader runs"


def test_log_of_a_run_that_just_began_is_not_of_a_dead_one(folders: Folders) -> None:
    """Between its creation and its lock, before its first line; with one, the process has died just now."""
    log = folders.log("r", age_s=0)
    log.write_text("")
    found = folders.look()
    assert (found.running, dict(found.ends)) == ({"trade"}, {})
    folders.log("r", age_s=0)
    assert folders.look().ends["trade"].code == DIED


@pytest.mark.parametrize("exists", [False, True])
def test_trader_of_another_folder_is_watched_after_its_end_too(folders: Folders, monkeypatch, exists: bool) -> None:
    """A person asks from whichever shell who has ended, and why; for an hour, which its next start may be away."""
    root = folders.out.parent
    monkeypatch.setattr(tempfile, "tempdir", str(root))
    elsewhere, log = root / "elsewhere", folders.log("r", event("run_finished", status="ok", exit_code=5, ended="kill"))
    if exists:
        elsewhere.mkdir()
    holder = Holder(symbol="BTCUSDT", out_root=str(folders.out), data_root=str(folders.data), log=str(log))
    with TraderLocks(folders.out, "http://127.0.0.1:1", "key").alone(holder):
        pass
    KillSwitch(folders.out, "BTCUSDT").trigger("odd fills", now_us())
    dog = Watchdog(elsewhere, elsewhere, elsewhere / "logs")
    dog.check()
    (found,) = dog.look().symbols
    assert (found.folder, found.kill.reason, found.running) == (str(folders.out), "odd fills", frozenset())
    os.utime(log, (time.time() - LATELY_S - 60,) * 2)
    assert Watchdog(elsewhere, elsewhere, elsewhere / "logs").look().symbols == ()


def test_half_written_last_line_is_no_end(folders: Folders) -> None:
    log = folders.log("r", event("run_finished", status="ok", exit_code=0))
    log.write_bytes(log.read_bytes()[:-5])
    os.utime(log, (time.time() - 60,) * 2)
    assert folders.look().ends["trade"].code == DIED


def test_orders_count_as_left_open_once_no_trader_runs(folders: Folders) -> None:
    folders.audit("r", *order("a-1"))
    log = folders.log("r")
    with held(log):
        assert folders.look().orders_left == ()
    assert folders.look().orders_left == ("a-1",)
    folders.audit("next", ENDED, ("stop", {"reason": "SIGTERM"}))
    folders.log("next", event("run_finished", status="ok", exit_code=0, ended="SIGTERM"))
    assert folders.look().orders_left == ()


def test_logs_whose_totals_are_in_a_later_one_are_not_read(folders: Folders) -> None:
    """A month of logs has gigabytes."""
    for run_id, rows in (("a", order("a-0")), ("b", order("a-1")), ("c", ()), ("d", order("a-2"))):
        folders.audit(run_id, *rows)
        folders.log(run_id)
    assert folders.look().orders_left == ("a-0", "a-1", "a-2")
    folders.audit("e", ENDED, *order("a-3"))
    folders.log("e")
    assert folders.look().orders_left == ("a-0", "a-2", "a-3")
    path = path_of(folders.out, "BTCUSDT", "a", DAY)
    path.write_bytes(path.read_bytes() + b"damaged\n")
    again = Watchdog(folders.out, folders.data, folders.out / "logs").look()
    assert (again.symbols[0].orders_left, again.unreadable) == (("a-0", "a-2", "a-3"), ())


def test_rows_are_read_as_the_log_grows_and_a_torn_one_is_not(folders: Folders) -> None:
    path = folders.audit("r", *order("a-1"), ENDED)
    whole = path.read_bytes()
    cut = whole.rindex(b"\n", 0, -1) + 9
    path.write_bytes(whole[:cut])
    folders.log("r")
    assert folders.look().orders_left == ("a-1",)
    path.write_bytes(whole)
    assert folders.look().orders_left == ()


def test_open_orders_without_the_log_of_their_run_are_not_judged(folders: Folders) -> None:
    """With a LOG_ROOT elsewhere a running trader must not look dead."""
    folders.audit("r", *order("a-1"))
    found = folders.dog.look()
    assert found.symbols[0].orders_left == ()
    assert "LOG_ROOT" in found.unreadable[0]


def test_audit_log_that_is_missing_is_named_with_the_way_out(folders: Folders) -> None:
    """The marks of equity name it; a watchdog that has never seen it knows it too."""
    path = folders.audit("r1")
    equity = EquityFile(folders.out, "BTCUSDT", "box")
    marks = EquityMarks("box", DAY, E8, E8)
    equity.keep(now_us(), marks, Witness(path.name, 1, "0" * 64), at_once=True)
    assert folders.dog.look().unreadable == ()
    path.unlink()
    for dog in (folders.dog, Watchdog(folders.out, folders.data, folders.out / "logs")):
        (line,) = [one for one in dog.look().unreadable if "is missing" in one]
        assert str(path) in line
        assert "mm audit restore --archive DIR --symbol BTCUSDT" in line


@pytest.mark.parametrize("damaged", ["no row\n", '{"seq":1}\n', '{"seq":1,"us":1,"type":"fill"}\n', "[]\n"])
def test_what_cannot_be_read_is_named_and_the_rest_is_shown(folders: Folders, damaged: str) -> None:
    KillSwitch(folders.out, "BTCUSDT").trigger("by hand", now_us())
    (folders.out / "logs" / "trade" / "BTCUSDT" / DAY / "r" / "run.log").mkdir(parents=True)
    (folders.out / "logs" / "shadow").write_text("no folder")
    path_of(folders.out, "BTCUSDT", "r", DAY).parent.mkdir(parents=True)
    path_of(folders.out, "BTCUSDT", "r", DAY).write_text(damaged)
    for _ in range(2):  # also at the next look
        found = folders.dog.look()
        assert found.symbols[0].kill
        assert len(found.unreadable) >= 3
        assert f"mm_watchdog_unreadable {len(found.unreadable)}\n" in found.page()


def test_health_report_gives_age_and_offset(folders: Folders) -> None:
    folders.log("r", event("run_finished", status="ok", exit_code=0))
    report = HealthReport("BTCUSDT", "r", 1, "h", "synced", now_us() - 30_000_000, 2.0, offset_us=-250_000)
    path = DayFolder(folders.data, "BTCUSDT", DAY).health
    path.parent.mkdir(parents=True)
    path.write_bytes(msgspec.json.encode(report))
    found = folders.look()
    assert 29 < found.report_age_s < 40
    assert found.offset_us == -250_000
    path.write_bytes(b"{")
    assert "health" in folders.dog.look().unreadable[0]


def test_page_has_every_family_once_with_own_labels(folders: Folders) -> None:
    KillSwitch(folders.out, "BTCUSDT").trigger('odd "fills"', now_us())
    KillSwitch(folders.out, "ETHUSDT").trigger("other", now_us())
    folders.log("r", event("run_finished", status="incomplete", exit_code=5, ended="kill"))
    page = folders.dog.look().page()
    assert 'mm_watchdog_killed{symbol="BTCUSDT",reason="odd \\"fills\\""} 1\n' in page
    assert 'mm_watchdog_last_end_code{symbol="BTCUSDT",kind="trade",reason="kill"} 5\n' in page
    assert 'mm_watchdog_orders_left_open{symbol="ETHUSDT"} 0\n' in page
    shown = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
    assert len(set(shown)) == len(shown)
    assert set(shown) == {one.name for one in WATCHDOG_FAMILIES} - {
        "mm_watchdog_report_age_seconds",
        "mm_watchdog_clock_offset_seconds",
    }


def test_missing_folder_of_results_is_refused_at_the_start_and_shown_later(folders: Folders) -> None:
    folders.dog.check()
    folders.out.rmdir()
    with pytest.raises(DataError, match="out_root"):
        folders.dog.check()
    assert "no such folder" in folders.dog.look().troubles()[0]
    given = Watchdog(folders.out, folders.data, folders.out / "logs", ["BTCUSDT"]).look()
    assert "no such folder" in given.troubles()[0]
