"""The end of a process that was ended from outside, in its audit log."""

import fcntl
import threading
from pathlib import Path

from audit_logs import open_log, path_of, rows_of
from mm.instrument import Instrument
from mm.live.run.forced_end import GuardedRun, record_end

BTC = Instrument("BTCUSDT", 1, 1, 0, "BTC", "USDT")


def test_stop_is_written_once_the_last_thread_has_released_the_lock(tmp_path: Path) -> None:
    """A process is gone for its child before a thread of it, which writes, has ended; then its lock is still held."""
    path = path_of(tmp_path, "BTCUSDT", "r1")
    log = open_log(tmp_path, run_id="r1")
    log.start(BTC, "r1")
    log.close()
    lock = tmp_path / "lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        release = threading.Timer(0.05, fcntl.flock, (held, fcntl.LOCK_UN))
        release.start()
        record_end([GuardedRun("BTCUSDT", "r1", "", str(tmp_path / "partial"), str(path.parent))], [lock], 1, "hung", 7)
        release.join()
    assert [row["type"] for row in rows_of(path)] == ["start", "stop"]


def test_nothing_is_written_beside_a_new_trader(tmp_path: Path) -> None:
    """Its first row has named the end of the log."""
    path = path_of(tmp_path, "BTCUSDT", "r1")
    log = open_log(tmp_path, run_id="r1")
    log.start(BTC, "r1")
    log.close()
    lock = tmp_path / "lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        record_end([GuardedRun("BTCUSDT", "r1", "", str(tmp_path / "partial"), str(path.parent))], [lock], 1, "hung", 7)
    assert [row["type"] for row in rows_of(path)] == ["start"]
