"""``kill -9`` while a slow disk holds back the audit log: the next start has the exchange's books."""

import os
import random
import time

import pytest
from trading_box import ended, venue
from trading_truth import booked, log_rows
from usdm_box import contract_box

from support import ROOT

ROUNDS = int(os.environ.get("STALL_KILLS", "4"))
SLOW_DISK = """
import os, time
from pathlib import Path

stalls = Path(os.environ["OUT_ROOT"]).parent / "stalls"

def slow(call):
    def waits(given):
        try:
            place = os.readlink(f"/proc/self/fd/{given}")
        except OSError:
            place = ""
        while "/audit/" in place and os.access(stalls, os.F_OK):
            time.sleep(0.01)
        return call(given)
    return waits

os.fsync, os.fdatasync = slow(os.fsync), slow(os.fdatasync)
"""
KNOBS = {
    "QUOTE_MODEL": "fixed_spread",
    "QUOTE_PARAMS_JSON": '{"delta_ticks": 1}',
    "REQUOTE_INTERVAL_MS": "20",
    "MAX_ORDERS_PER_S": "100",
    "ORDER_LIMIT_10S": "0",
    "MAX_POSITION": "1000",
    "MAX_LEVERAGE": "100",
    "LATENCY_THRESHOLD_MS": "60000",
    "AUDIT_SYNC": "1",
    "RECV_WINDOW_MS": "2000",
}
MARKET = ("--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4")
BOXES = {"spot": venue, "usdm": contract_box}


def traded(box, process, fills):
    """Wait until the exchange has so many fills more."""
    had = len(box.account()["trades"])
    box.until(lambda: len(box.account()["trades"]) >= had + fills, "fills", process=process)


@pytest.mark.slow
@pytest.mark.parametrize("market", BOXES)
def test_kill_while_the_disk_stalls_loses_no_fill_and_leaves_no_order(tmp_path, market):
    """STALL_KILLS times in a row, each at another moment of a stall; fills go on while rows wait."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sitecustomize.py").write_text(SLOW_DISK)
    places = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "code"), str(ROOT)]), "OUT_ROOT": str(tmp_path / "out")}
    stalls, chance = tmp_path / "stalls", random.Random(3)
    with BOXES[market](tmp_path, *MARKET, longest_s=900) as box:
        for _ in range(ROUNDS):
            with box.trader(**KNOBS, **places) as process:
                traded(box, process, 3)
                stalls.touch()
                time.sleep(chance.uniform(0, 3))
                process.kill()
                process.communicate()
                stalls.unlink()
            box.until(lambda: not box.account()["openOrders"], "an empty exchange", 30)
        with box.trader(**KNOBS, **places) as process:
            traded(box, process, 1)
            code, output, _ = ended(process)
        assert code == 0, output
        account = box.account()
        assert account["openOrders"] == []
        assert booked(box).keys() == {int(one["id"]) for one in account["trades"]}
        assert [row for row in log_rows(box) if row["type"] == "transfer"] == []
        verified = box.run("audit", "verify", "--open", str(box.logs()[-1]))
        assert verified.returncode == 0, verified.stderr
