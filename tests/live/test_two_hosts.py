"""Two traders of one symbol and account that share no folder and no lock, as on two hosts: both notice, and end."""

import json
import signal

import pytest
from trading_box import ended, venue
from usdm_box import contract_box

FAR = {"QUOTE_MODEL": "fixed_spread", "QUOTE_PARAMS_JSON": '{"delta_ticks": 40}'}
BOXES = {"spot": venue, "usdm": contract_box}
LINE = "another trader of SIMUSDT is on this account"


def host(box, name):
    """Return the variables of a host: folders and locks of its own."""
    temporary = box.folder / f"tmp_{name}"
    temporary.mkdir(exist_ok=True)
    return {"TMPDIR": str(temporary), "OUT_ROOT": f"out_{name}", "DATA_ROOT": f"data_{name}"}


def rows(box, name, kind):
    """Return the rows of a type in the audit logs of a host."""
    logs = (box.folder / f"out_{name}" / "audit" / "SIMUSDT").glob("*.ndjson")
    found = [json.loads(line) for path in logs for line in path.read_text().splitlines()]
    return [row for row in found if row["type"] == kind]


def check_books(box, by_hand=None):
    """Assert that no fill stands in the books of both hosts, and that none is missing but those *by_hand*."""
    first, second = ({row["trade_id"] for row in rows(box, name, "fill")} for name in "ab")
    assert not first & second
    assert first | second == {int(one["id"]) for one in box.account()["trades"] if one["orderId"] != by_hand}


def errors(output):
    return [line for line in output.splitlines() if line.startswith("error:")]


@pytest.mark.slow
@pytest.mark.parametrize("market", BOXES)
def test_second_host_sends_nothing_while_the_first_has_open_orders(tmp_path, market):
    """Neither a trader nor a flatten; `mm trade cancel` cancels, and says whose orders they are."""
    with BOXES[market](tmp_path) as box, box.trader(**host(box, "a"), **FAR) as first:
        box.until(lambda: box.account()["openOrders"], "orders", process=first)
        second = host(box, "b")
        for words in (["trade"], ["trade", "flatten"]):
            done = box.run(*words, **second)
            assert done.returncode == 75, done.stderr
            (line,) = errors(done.stderr)
            assert LINE in line
            assert "mm trade cancel" in line
        assert not rows(box, "b", "intent")
        cancelled = box.run("trade", "cancel", **second)
        assert cancelled.returncode in (0, 75), cancelled.stderr
        assert "of another trader" in cancelled.stdout
        code, output, _ = ended(first)
        assert code == 0, output


@pytest.mark.slow
@pytest.mark.parametrize("market", BOXES)
def test_one_that_another_host_has_replaced_ends_with_75(tmp_path, market):
    """It was stopped, and its orders were cancelled by hand; of the other's fills it books none, now and later."""
    with BOXES[market](tmp_path) as box, box.trader(**host(box, "a")) as first:
        box.until(lambda: len(box.account()["trades"]) > 3, "fills", process=first)
        first.send_signal(signal.SIGSTOP)
        cancelled = box.run("trade", "cancel", **host(box, "a"))
        assert cancelled.returncode == 0, cancelled.stderr
        assert "another trader" not in cancelled.stdout
        closed = None
        if market == "usdm":  # its position is of the first, which has no order now
            refused = box.run("trade", **host(box, "b"), ADOPT="1")
            assert (refused.returncode, LINE in errors(refused.stderr)[0]) == (75, True), refused.stderr
            closed = box.order("SELL" if box.position > 0 else "BUY", f"{abs(box.position)}", "alice")["orderId"]
        had = len(box.account()["trades"])
        with box.trader(**host(box, "b")) as second:
            box.until(lambda: len(box.account()["trades"]) > had + 3, "fills", process=second)
            first.send_signal(signal.SIGCONT)
            code, output, _ = ended(first, None)
            assert code == 75, output
            assert LINE in output
            ended(second)
        assert box.account()["openOrders"] == []
        check_books(box, closed)
        again = box.run("trade", **host(box, "a"))
        assert again.returncode == 3, again.stderr
        assert "of another trader is trade" in again.stderr
        if market == "usdm":
            return
        with box.trader(**host(box, "a"), ADOPT="1") as third:
            box.until(lambda: box.account()["openOrders"], "orders", process=third)
            assert ended(third)[0] == 0
        check_books(box)
