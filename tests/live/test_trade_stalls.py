"""A disk that stalls holds up no order, cancel or message: no call of the event loop's thread reaches a file."""

import os
import time

import pytest
from trading_box import ended, venue

from day_files import check
from mm import DayFolder
from support import ROOT

STALL_S = 3.0
STALLING_DISK = f"""
import atexit, fcntl, os, sys, threading, time
from pathlib import Path

root = Path(os.environ["OUT_ROOT"]).parent
stalls, by_loop = root / "stalls", []
exists, readlink = os.path.lexists, os.readlink

def name_of(given):
    try:
        return readlink(f"/proc/self/fd/{{given}}") if isinstance(given, int) else os.fspath(given)
    except (OSError, TypeError):
        return ""

def stalling(name, call):
    def slow(given=-1, *rest, **more):
        place = str(name_of(given))
        ours = place.startswith((str(root), "data", "out", "/tmp/mm-"))
        if ours and not place.endswith("stalls") and os.access(stalls, os.F_OK):
            if threading.current_thread() is threading.main_thread():
                by_loop.append(f"{{name}} {{place}}")
            if "/audit/" not in place:  # orders wait for their row of the audit log
                time.sleep({STALL_S})
        return call(given, *rest, **more)
    return slow

if any("mm" in one and "guardian" not in one for one in sys.orig_argv[1:4]):
    names = "open write pwrite pread ftruncate fsync fdatasync stat lstat statvfs replace rename link unlink mkdir"
    for name in names.split():
        setattr(os, name, stalling(name, getattr(os, name)))
    fcntl.flock = stalling("flock", fcntl.flock)
    atexit.register(lambda: (root / "by_loop").write_text(chr(10).join(by_loop)))
"""
KNOBS = {
    "REQUOTE_INTERVAL_MS": "50",
    "QUOTE_MODEL": "fixed_spread",
    "QUOTE_PARAMS_JSON": '{"delta_ticks": 1}',
    "MAX_ORDERS_PER_S": "100",
    "MAX_POSITION": "100",
    "LATENCY_THRESHOLD_MS": "60000",
    "FLUSH_INTERVAL_S": "0.2",
    "ORDER_LIMIT_10S": "0",
    "RECONCILE_INTERVAL_S": "1",
}


@pytest.mark.slow
@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_trade_goes_on_while_the_disk_stalls_and_loses_nothing(tmp_path, market):
    """Each call to a file takes seconds: day, ledger, health, run log, budget of requests, kill switch, marks."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sitecustomize.py").write_text(STALLING_DISK)
    flags = ("--market", "usdm") if market == "usdm" else ()
    places = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "code"), str(ROOT)]), "OUT_ROOT": str(tmp_path / "out")}
    with (
        venue(tmp_path, *flags) as box,
        box.trader(**{**KNOBS, **places, "MARKET": market}) as process,
    ):
        box.until(lambda: box.sent() > 2, "orders", process=process)
        (tmp_path / "stalls").touch()
        before, since_s = box.sent(), time.monotonic()
        box.until(lambda: box.sent() > before + 20, "orders while the disk stalls", process=process)
        left_s = 2 * STALL_S - (time.monotonic() - since_s)
        time.sleep(max(left_s, 0))  # each task of the loop meets the disk
        assert process.poll() is None
        (tmp_path / "stalls").unlink()
        code, text, _ = ended(process)
        assert code == 0, text
        assert (tmp_path / "by_loop").read_text().splitlines() == []
        assert box.account()["openOrders"] == []
        symbol = box.ready["symbol"]
        (day,) = (tmp_path / "data" / symbol).iterdir()
        checked = check(DayFolder(tmp_path / "data", symbol, day.name))
        assert {defect.kind for defect in checked.defects} <= {"time"}
        verified = box.run("audit", "verify", str(box.logs()[-1]), entry=("-m", "mm"))
        assert verified.returncode == 0, verified.stderr
