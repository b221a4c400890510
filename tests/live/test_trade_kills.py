"""``mm trade`` killed: by its switch with a hundred orders, by a limit, and by SIGKILL at any instant.

TRADE_KILLS (default 4) is the number of SIGKILLs, TRADE_KILLS_SEED (default 1) sets their instants.
"""

import json
import os
import random
import time

import pytest
from trading_box import ended, venue
from trading_truth import assert_all_known, assert_equal_books, assert_only_cancels_after

from support import in_time

MARKET = ("--scenario", "poisson", "--A", "6", "--sigma-ticks-per-sqrt-s", "4")
GRID = {
    "QUOTE_LEVELS": "50",
    "QUOTE_PARAMS_JSON": '{"q_max": 100}',  # all levels stay within the bound
    "MAX_OPEN_ORDERS": "100",
    "MAX_ORDERS_PER_S": "1000",
    "MAX_POSITION": "1000",
    "PRICE_BAND": "0.2",
    "LATENCY_THRESHOLD_MS": "60000",
}
WEIGHT_S = 90  # a start may wait for the weight that earlier starts have used within a minute
KILLS, SEED = int(os.environ.get("TRADE_KILLS", "4")), int(os.environ.get("TRADE_KILLS_SEED", "1"))
LONG_US = 5_000_000  # a second on an idle machine (docs/trading.md); this one is shared


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["", "stall of=user", "half_open of=user", "close of=user code=1006"])
def test_kill_switch_cancels_a_hundred_orders(tmp_path, fault):
    with venue(tmp_path, "--limits", "off") as box:
        with box.trader(**GRID) as process:
            box.until(lambda: len(box.account()["openOrders"]) >= 100, "a hundred orders", process=process)
            if fault:
                box.post("/sim/faults", f"at time 0 do {fault}")
            assert box.run("risk", "kill").returncode == 0
            code, output, seconds = ended(process, number=None)
        assert code == 5, output
        assert in_time(seconds, 30)
        since = json.loads((tmp_path / "out" / "risk" / "SIMUSDT.kill").read_text())["since"]
        assert_only_cancels_after(box, since, LONG_US)
        assert_equal_books(box)


@pytest.mark.slow
def test_killing_limit_is_followed_only_by_cancels(tmp_path):
    with venue(tmp_path, *MARKET, "--limits", "off") as box:
        with box.trader(MAX_DAILY_LOSS="0.02", QUOTE_LEVELS="3", MAX_OPEN_ORDERS="6") as process:
            code, output, _ = ended(process, number=None, seconds=120)
        assert code == 5, output
        (kill,) = box.rows("kill")
        assert kill["reason"] == "MAX_DAILY_LOSS"
        assert_only_cancels_after(box, kill["us"], LONG_US)
        assert_equal_books(box)


@pytest.mark.slow
@pytest.mark.parametrize("sync", ["0", "1"])
def test_start_after_sigkill_at_any_instant_matches_exchange(tmp_path, sync):
    chance = random.Random(SEED)
    with venue(tmp_path, *MARKET, longest_s=300 + 30 * KILLS) as box:
        for number in range(KILLS):
            with box.trader(AUDIT_SYNC=sync) as process:
                _let_it_trade(box, process, chance)
                if chance.random() < 0.3:
                    process.terminate()
                    time.sleep(chance.uniform(0, 0.3))
                process.kill()
            assert_all_known(box)
            if number == KILLS - 1:
                with box.logs()[-1].open("ab") as log:
                    log.write(b'{"seq":99999,"us":17')  # a row that the kill tore off
        killed = box.logs()
        with box.trader(AUDIT_SYNC=sync) as process:
            before = box.sent()
            box.until(lambda: box.sent() > before, "new orders", WEIGHT_S, process=process)
            code, output, _ = ended(process)
            assert code == 0, output
        assert_equal_books(box)
        for path in killed:
            done = box.run("audit", "verify", "--open", str(path))
            assert done.returncode == 0, done.stderr
        start = json.loads(box.logs()[-1].read_text().splitlines()[0])
        whole = {path.name for path in killed if b"\n" in path.read_bytes()}
        assert {one["file"] for one in start["earlier"]} == whole


def _let_it_trade(box, process, chance):
    """Wait until a trader has sent some orders, and a moment longer; sometimes only during its start."""
    if chance.random() < 0.2:
        time.sleep(chance.uniform(0, 1.5))
        return
    wanted = len(box.account()["requests"]) + chance.randint(1, 12)
    box.until(lambda: len(box.account()["requests"]) >= wanted, "orders", WEIGHT_S, process=process)
    time.sleep(chance.uniform(0, 0.2))
