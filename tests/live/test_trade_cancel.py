"""``mm trade cancel`` cancels our own orders, or all, without a trader, a log or a writable folder."""

import json
import signal
import subprocess
import sys

import pytest
from trading_box import ended, venue

from mm.base.audit_chain import audit_path
from mm.instrument import Instrument
from mm.live.audit.log import AuditLog
from serving import signed
from support import ROOT

SECOND = ("--symbol", "SIMUSDT,BOXUSDT")


def place(box, client_id, price="90", side="BUY", symbol="SIMUSDT"):
    """Place a resting order of the box's user, and return its client id."""
    terms = {"symbol": symbol, "side": side, "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": price}
    answer = signed(box.ready, box.user, "POST", "order", **terms, newClientOrderId=client_id).json()
    assert "orderId" in answer, answer
    return client_id


def open_ids(box):
    return sorted(one["clientOrderId"] for one in box.account()["openOrders"])


@pytest.fixture
def box(tmp_path):
    with venue(tmp_path) as found:
        yield found


def test_own_orders_are_cancelled_and_those_of_others_stay(box):
    ours = [place(box, f"mm-abcdefghijklm-{number}b", f"{90 + number}") for number in range(3)]
    place(box, "web_1")
    done = box.run("trade", "cancel", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sorted(one["client_id"] for one in found["ended"]) == ours
    assert {one["status"] for one in found["ended"]} == {"CANCELED"}
    assert found["left"] == []
    assert open_ids(box) == ["web_1"]


def test_all_cancels_every_order_and_a_hundred_in_one_request(box):
    for number in range(60):
        place(box, f"mm-abcdefghijklm-{number}b", f"{40 + number * 0.1:.2f}")
    place(box, "web_1")
    before = len(box.account()["requests"])
    done = box.run("trade", "cancel", "--all")
    assert done.returncode == 0, done.stderr
    assert open_ids(box) == []
    assert done.stdout.splitlines()[-1] == "61 ended, 0 left"
    assert len(box.account()["requests"]) - before < 12


@pytest.mark.parametrize(
    "fault",
    [
        "status code=429 retry_after=2 path=/api/v3/openOrders",
        "status code=418 retry_after=2 path=/api/v3/order",
        "status code=503 n=2 path=/api/v3/openOrders",
        "ack_lost n=2 path=/api/v3/order",
        "reset_request n=2 path=/api/v3/order",
        "error code=-2015 undone=1 path=/api/v3/openOrders",
        "error code=-1021 undone=1 path=/api/v3/order",
        "cut_body n=2 path=/api/v3/openOrders",
        "fill_on_cancel path=/api/v3/order",
    ],
)
def test_it_goes_on_until_nothing_is_open(box, fault):
    place(box, "mm-abcdefghijklm-1b")
    box.post("/sim/faults", f"at time 0 do {fault}")
    done = box.run("trade", "cancel")
    assert done.returncode == 0, done.stderr
    assert open_ids(box) == []
    assert "mm-abcdefghijklm-1b BUY" in done.stdout


def test_it_needs_no_folder_and_no_audit_log_and_works_while_killed(box, tmp_path):
    place(box, "mm-abcdefghijklm-1b")
    assert box.run("risk", "kill", "--future-only").returncode == 0
    (tmp_path / "file").touch()
    done = box.run("trade", "cancel", OUT_ROOT=str(tmp_path / "file" / "below"))
    assert done.returncode == 0, done.stderr
    assert open_ids(box) == []


def test_refused_key_is_named_with_the_orders_that_were_listed(box):
    ours = place(box, "mm-abcdefghijklm-1b")
    box.post("/sim/faults", "at time 0 do error code=-2015 undone=1 n=0 path=/api/v3/order")
    done = box.run("trade", "cancel")
    assert done.returncode == 2, done.stderr
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("error:")]
    assert "-2015" in line
    assert f"{ours} BUY 1.00000000 at 90.00000000" in line
    assert open_ids(box) == [ours]


def test_orders_of_several_symbols_are_cancelled(tmp_path):
    with venue(tmp_path, *SECOND) as box:
        for symbol in ("SIMUSDT", "BOXUSDT"):
            place(box, "mm-abcdefghijklm-1b", symbol=symbol)
        assert box.run("trade", "cancel", SYMBOL="SIMUSDT,BOXUSDT").returncode == 0
        listed = [
            signed(box.ready, box.user, "GET", "openOrders", symbol=symbol).json() for symbol in ("SIMUSDT", "BOXUSDT")
        ]
        assert listed == [[], []]


def test_unknown_symbol_is_named(box):
    done = box.run("trade", "cancel", "--symbol", "NOPEUSDT")
    assert done.returncode == 2, done.stderr
    assert "NOPEUSDT" in done.stderr


def test_outage_is_waited_for_and_ctrl_c_ends_it(box):
    place(box, "mm-abcdefghijklm-1b")
    process = subprocess.Popen(
        [sys.executable, "-m", "mm", "trade", "cancel"],
        cwd=box.folder,
        env=box.variables(REST_URL="http://127.0.0.1:9", PATH="", PYTHONPATH=str(ROOT)),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert "cancel_waits" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_dead_exchange_is_given_up_once_the_other_is_empty(box):
    """Each is named by market and address; the orders that may be open there are those of the audit logs."""
    ours = place(box, "mm-abcdefghijklm-1b")
    leg = {"market": "usdm", "symbol": "SIMUSDT", "data_root": "leg", "rest_url": "http://127.0.0.1:9", "orders": {}}
    log = AuditLog(audit_path(box.folder / "out" / "usdm", "SIMUSDT", "20260105", "r"), sync=False)
    log.start(Instrument("SIMUSDT", 1, 1, 0, "SIM", "USDT"), "r", venue="box")
    terms = {"side": "SELL", "price": "101", "qty": "2", "kind": "LIMIT"}
    log.append("intent", action="place", client_id="mm-nopqrstuvwxyz-7s", **terms)
    log.close()
    done = box.run("trade", "cancel", "--json", OTHERS=json.dumps({"leg": leg}), GIVE_UP_S="1")
    assert done.returncode == 75, done.stderr
    assert open_ids(box) == []
    found = json.loads(done.stdout)
    assert [(one["client_id"], one["market"]) for one in found["ended"]] == [(ours, "spot")]
    (line,) = [text for text in done.stderr.splitlines() if text.startswith("error:")]
    assert "usdm (http://127.0.0.1:9): no answer for 1 s" in line
    assert "SIMUSDT mm-nopqrstuvwxyz-7s SELL 2 at 101" in line


def test_orders_of_no_log_here_are_said_to_be_of_another_trader(box):
    """They are cancelled all the same."""
    ours = place(box, "mm-abcdefghijklm-1b")
    done = box.run("trade", "cancel", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["elsewhere"] == [ours]


@pytest.mark.slow
def test_hung_trader_is_emptied_and_a_running_one_is_left_with_a_line(box):
    with box.trader() as process:
        box.until(lambda: box.account()["openOrders"], "orders", process=process)
        process.send_signal(signal.SIGSTOP)
        assert box.run("trade", "cancel").returncode == 0
        assert open_ids(box) == []
        process.send_signal(signal.SIGCONT)
        box.until(lambda: box.account()["openOrders"], "orders again", process=process)
        done = box.run("trade", "cancel")
        assert done.returncode in (0, 75), done.stderr
        if done.returncode:
            assert "mm risk kill --symbol SIMUSDT" in done.stderr
        code, output, _ = ended(process)
        assert code == 0, output
    assert open_ids(box) == []
