"""How ``mm trade`` ends: signals during its start, a full disk, a change of the tick size."""

import json
import os
import resource
import signal
import time
from decimal import Decimal

import pytest
from trading_box import STILL, ended, venue
from trading_truth import assert_equal_books

from day_files import defects_of
from mm.live.run.live_terms import ShadowTerms
from support import ROOT, in_time

MARKET = ("--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4")


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    with venue(tmp_path_factory.mktemp("ends"), *MARKET) as found:
        yield found


def wait_for_start(process):
    """Wait until a trader has written its first line: from there on signals end it in order."""
    return process.stderr.readline()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("wait_s", [0.05, 0.3, 0.6])
def test_repeated_signals_during_start_end_trade_in_order(box, number, wait_s):
    with box.trader() as process:
        wait_for_start(process)
        time.sleep(wait_s)
        process.send_signal(number)
        time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        code, output, seconds = ended(process, signal.SIGINT)
    assert code in (0, 75), output
    assert "unforeseen" not in output
    assert output.count("error:") == (code == 75)
    assert in_time(seconds, 30)
    assert_equal_books(box)


FAILING = """
from mm.live.orders.queries import OrderQueries

reconcile, times = OrderQueries.reconcile, 0


async def fails(self):
    global times
    times += 1
    if times > 2:
        raise RuntimeError("as unforeseen")
    await reconcile(self)


OrderQueries.reconcile = fails
from mm.__main__ import main

main()
"""


@pytest.mark.slow
def test_failed_task_of_the_gateway_ends_the_trade(box, tmp_path):
    """It does not go on without quotes: the orders are cancelled, and the next start reconciles."""
    entry = tmp_path / "failing.py"
    entry.write_text(FAILING)
    with box.trader("trade", entry=(str(entry),), RECONCILE_INTERVAL_S="1") as process:
        code, output, _ = ended(process, number=None, seconds=60)
    assert code == 75, output
    assert output.splitlines()[-1].startswith("error:")
    assert "a task of the gateway failed: RuntimeError('as unforeseen')" in output.splitlines()[-1]
    assert_equal_books(box)


@pytest.mark.slow
def test_signal_ends_trade_while_gateway_cannot_connect(box):
    with box.trader(WS_API_URL="ws://127.0.0.1:9/ws-api/v3") as process:
        logs = len(box.logs())
        box.until(lambda: len(box.logs()) > logs, "an audit log", process=process)
        code, output, seconds = ended(process)
    assert code == 75, output
    assert "before orders could be sent" in output
    assert in_time(seconds, 15)


@pytest.mark.slow
def test_sigusr1_during_start_kills(tmp_path):
    with venue(tmp_path) as box, box.trader(WS_API_URL="ws://127.0.0.1:9/ws-api/v3") as process:
        box.until(box.logs, "an audit log", process=process)
        code, output, seconds = ended(process, signal.SIGUSR1)
        assert code == 5, output
        assert "mm risk rearm" in output
        assert in_time(seconds, 15)
        assert box.run("trade").returncode == 5


@pytest.mark.slow
def test_full_disk_of_audit_log_cancels_orders_and_ends_trade(tmp_path):
    with venue(tmp_path, *MARKET) as box:
        with box.trader() as process:
            box.until(lambda: box.account()["openOrders"], "orders", process=process)
            size = box.logs()[0].stat().st_size
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (max(size, 1), max(size, 1)))
            code, output, _ = ended(process, number=None, seconds=120)
        assert code == 75, output
        assert box.account()["openOrders"] == []
        (line,) = [text for text in output.splitlines() if text.startswith("error:")]
        assert "audit log" in line
        assert "nor can the run folder be written" in line
        with box.trader() as process:
            before = box.sent()
            box.until(lambda: box.sent() > before, "orders", process=process)
            assert ended(process)[0] == 0
        assert_equal_books(box)


REFUSING = """
import errno, os
_write = os.pwrite
def pwrite(file, data, offset):
    if offset > {size} and os.readlink(f"/proc/self/fd/{{file}}").endswith(".ndjson"):
        raise OSError(errno.{cause}, os.strerror(errno.{cause}))
    return _write(file, data, offset)
os.pwrite = pwrite
"""

SHRINKING = """
import shutil, time
_usage, _full_s = shutil.disk_usage, time.monotonic() + 4.0
def disk_usage(path):
    found = _usage(path)
    return found if time.monotonic() < _full_s else found._replace(free=0)
shutil.disk_usage = disk_usage
"""


@pytest.mark.slow
@pytest.mark.parametrize(("cause", "sync"), [("EIO", "0"), ("ENOSPC", "1")])
def test_run_folder_reports_failed_audit_log(tmp_path, cause, sync):
    """Only the device of the log fails: the run folder contains the trade, and the error has the first missing row."""
    code_of = tmp_path / "code"
    code_of.mkdir()
    (code_of / "sitecustomize.py").write_text(REFUSING.format(size=20_000, cause=cause))
    with venue(tmp_path, *MARKET) as box:
        path = os.pathsep.join([str(code_of), str(ROOT)])
        with box.trader("--run-id", "A1", PYTHONPATH=path, AUDIT_SYNC=sync) as process:
            code, output, _ = ended(process, number=None, seconds=120)
        assert code == 75, output
        assert box.account()["openOrders"] == []
        (line,) = [text for text in output.splitlines() if text.startswith("error:")]
        written = len(box.logs()[0].read_bytes().splitlines())
        assert f"from row {written + 1} on" in line
        (folder,) = box.folders()
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["ended"]["reason"] == "audit"
        assert f"from row {written + 1} on" in summary["ended"]["why"]
        assert summary["ended"]["why"] in " ".join(summary["warnings"])
        assert json.loads((folder / "run_manifest.json").read_text())["status"] == "incomplete"
        theirs = {one["id"] for one in box.account()["trades"]}
        assert {int(row["trade_id"]) for row in box.table("fills")} == theirs


@pytest.mark.slow
def test_low_disk_space_ends_trade_with_run_folder(tmp_path):
    """MIN_FREE_MB ends the recording while there is room for the run."""
    free_mb = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize / 1e6
    code_of = tmp_path / "code"
    code_of.mkdir()
    (code_of / "sitecustomize.py").write_text(SHRINKING)
    with venue(tmp_path, *MARKET) as box:
        more = {"PYTHONPATH": os.pathsep.join([str(code_of), str(ROOT)]), "MIN_FREE_MB": str(int(free_mb / 2))}
        with box.trader(**more) as process:
            code, output, _ = ended(process, number=None, seconds=120)
        assert code == 75, output
        assert box.account()["openOrders"] == []
        (line,) = [text for text in output.splitlines() if text.startswith("error:")]
        assert "MIN_FREE_MB" in line
        (folder,) = box.folders()
        assert json.loads((folder / "summary.json").read_text())["ended"]["reason"] == "disk"
        assert_equal_books(box)


@pytest.mark.slow
def test_tick_size_change_ends_trade_and_next_uses_new_grid(tmp_path):
    """The supervisor restarts after exit code 75; no order is open in between, and the books match."""
    with venue(tmp_path, "--scenario", "empty") as box:
        assert box.post("/sim/faults", "at time 0 do filters tick=0.05")
        box.place_resting("BUY", "99.90")
        box.place_resting("SELL", "100.10")
        with box.trader(**STILL) as process:
            box.until_with_updates(lambda: box.account()["openOrders"], "orders", process)
            assert box.post("/sim/faults", "at time 0 do filters tick=0.01")
            box.place_resting("BUY", "99.91")
            code, output, _ = ended(process, number=None, seconds=120)
        assert code == 75, output
        (line,) = [text for text in output.splitlines() if text.startswith("error:")]
        assert "tick_size from 0.05 to 0.01" in line
        assert box.account()["openOrders"] == []
        assert box.rows("stop")[-1]["reason"] == "grid"
        assert json.loads((box.folders()[-1] / "summary.json").read_text())["ended"]["reason"] == "grid"
        assert_equal_books(box)
        with box.trader(**STILL) as process:
            box.until_with_updates(lambda: box.account()["openOrders"], "orders", process)
            box.place_resting("SELL", "100.07")
            found = box.until_with_updates(lambda: off_old_grid(box), "a quote that only the new grid has", process)
            code, output, _ = ended(process)
        assert code == 0, output
        assert found
        assert_equal_books(box)


@pytest.mark.slow
def test_tick_size_change_ends_shadow_and_next_uses_new_grid(tmp_path):
    """Its day is valid, and both replays are equal, although the day has prices of both grids."""
    quiet = STILL | {"FLUSH_INTERVAL_S": "0.5"}
    shadow = ("-m", "mm", "shadow")
    with venue(tmp_path, "--scenario", "empty") as box:
        assert box.post("/sim/faults", "at time 0 do filters tick=0.05")
        box.place_resting("BUY", "99.90")
        box.place_resting("SELL", "100.10")
        with box.trader("--run-id", "R1", entry=shadow, **quiet) as process:
            box.until_with_updates(lambda: any(tmp_path.glob("data/*/*/events*")), "a recording", process)
            (ledger,) = tmp_path.glob("data/*/*/events*")
            box.until_with_updates(lambda: books_loaded(ledger) == 1, "a book", process)
            for _ in range(5):
                box.until_with_updates(lambda: True, "a change of the book", process)
            assert box.post("/sim/faults", "at time 0 do filters tick=0.01")
            box.place_resting("BUY", "99.91")
            code, output, _ = ended(process, number=None, seconds=120)
        assert code == 75, output
        (line,) = [text for text in output.splitlines() if text.startswith("error:")]
        assert "tick_size from 0.05 to 0.01" in line
        with box.trader("--run-id", "R2", entry=shadow, **quiet) as process:
            box.until_with_updates(lambda: books_loaded(ledger) == 2, "a book", process)
            for _ in range(5):
                box.until_with_updates(lambda: True, "a change of the book", process)
            code, output, _ = ended(process)
        assert code == 0, output
    first, second = sorted(tmp_path.glob("out/shadow/*/*_R[12]"))
    (day,) = tmp_path.glob("data/*/*")
    assert defects_of(day) == []
    assert json.loads((first / "summary.json").read_text())["ended"]["reason"] == "grid"
    for folder, tick in ((first, "0.05"), (second, "0.01")):
        found = json.loads((folder / "reconcile.json").read_text())
        assert found["same"], (folder, found["first_difference"])
        assert found["decisions"] > 0
        filters = {one["filterType"]: one for one in ShadowTerms.read(folder).entry["filters"]}
        assert Decimal(filters["PRICE_FILTER"]["tickSize"]) == Decimal(tick)


def books_loaded(ledger):
    """Return how many books the recording has loaded."""
    return ledger.read_text().count(",snapshot_loaded,")


def off_old_grid(box):
    """Return alice's open orders whose price is no multiple of 0.05."""
    return [one for one in box.account()["openOrders"] if round(100 * float(one["price"])) % 5]


@pytest.mark.slow
def test_filters_that_no_row_of_the_book_shows_end_trade(tmp_path):
    """A larger step of quantities, which all others keep to: the refusals of our orders lead to it, nothing is left."""
    with venue(tmp_path, "--scenario", "empty") as box:
        box.place_resting("BUY", "99.90")
        box.place_resting("SELL", "100.10")
        with box.trader(**STILL) as process:
            box.until_with_updates(lambda: box.account()["openOrders"], "orders", process)
            assert box.post("/sim/faults", "at time 0 do filters step=0.01")
            box.place_resting("BUY", "99.95")
            box.place_resting("SELL", "100.05")
            code, output, _ = ended(process, number=None, seconds=120)
        assert code == 75, output
        assert "step_size from 0.001 to 0.01" in output
        assert box.account()["openOrders"] == []
        assert 0 < len([row for row in box.rows("reject") if row["code"] == -1013]) < 20
        assert box.rows("stop")[-1]["reason"] == "grid"
