"""The files by which a trader is alone: held by another process, which may be in another container, or looked at."""

import fcntl
import subprocess
import sys

import pytest
from trading_box import ended, venue
from usdm_box import contract_box

from support import ROOT

BOXES = {"spot": venue, "usdm": contract_box}
LOOKER = """
import fcntl, os, sys, time

while True:
    opened = os.open(sys.argv[1], os.O_RDONLY)
    fcntl.flock(opened, fcntl.LOCK_SH)
    time.sleep(0.004)
    os.close(opened)
    time.sleep(0.002)
"""  # `is_held`, on a machine that is loaded


def lock_of(box):
    """Return the file below OUT_ROOT, after a trade that has made it."""
    with box.trader() as process:
        box.until(lambda: box.account()["openOrders"], "orders", process=process)
        assert ended(process)[0] == 0
    (lock,) = (box.folder / "out" / "locks").glob("*.json")
    return lock


@pytest.mark.slow
@pytest.mark.parametrize("market", BOXES)
def test_process_that_looks_at_a_lock_keeps_no_trader_from_starting(tmp_path, market):
    """As guardians of traders that were killed, and traders of other symbols, look."""
    with BOXES[market](tmp_path) as box:
        lock = lock_of(box)
        looker = subprocess.Popen([sys.executable, "-c", LOOKER, str(lock)], cwd=ROOT)
        try:
            for _ in range(4):
                with box.trader() as process:
                    box.until(lambda: box.account()["openOrders"], "orders", process=process)
                    code, output, _ = ended(process)
                    assert code == 0, output
        finally:
            looker.kill()
            looker.wait()


@pytest.mark.slow
@pytest.mark.parametrize("market", BOXES)
def test_lock_held_elsewhere_ends_a_start_with_75_and_names_its_file(tmp_path, market):
    """Nothing tells who holds it; `mm trade cancel` works all the same, `flatten` does not."""
    with BOXES[market](tmp_path) as box:
        lock = lock_of(box)
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            sent = box.sent()
            for words, code in ((["trade"], 75), (["trade", "flatten"], 75), (["trade", "cancel"], 0)):
                done = box.run(*words)
                assert done.returncode == code, done.stderr
                errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
                assert len(errors) == (code == 75)
                assert all(str(lock) in line for line in errors)
            assert box.sent() == sent
