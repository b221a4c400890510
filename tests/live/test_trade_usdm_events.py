"""What happens to a position without an order of ours: funding, liquidation, a kill, the countdown."""

import json
import signal
import socket
import time
from decimal import Decimal

import pytest
from trading_box import ended, page
from usdm_box import contract_box


@pytest.fixture
def box(tmp_path):
    with contract_box(tmp_path) as found:
        yield found


@pytest.fixture
def port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def value(port, name, label=""):
    """Return a metric of the trader's page; None without a sample."""
    rows = [line for line in page(port) if line.startswith(f"{name}{{") and label in line]
    return float(rows[0].split()[-1]) if rows else None


def test_funding_is_booked_once_and_is_part_of_the_result(tmp_path, port):
    """Each payment is a row with the exchange's number; wallet, page and summary have them all."""
    with contract_box(tmp_path, "--funding-interval-s", "3") as box:
        check_funding(box, port)


def check_funding(box, port):
    with box.trader(METRICS_PORT=str(port)) as trader:
        box.taken(0, trader)
        paid = box.until(
            lambda: len([one for one in box.account()["income"] if one["incomeType"] == "FUNDING_FEE"]) >= 2,
            "two payments",
            process=trader,
        )
        assert paid
        box.until(lambda: len(box.rows("payment")) >= 2, "two rows", process=trader)
        shown = value(port, "mm_funding")
        code, text, _ = ended(trader)
    assert code == 0, text
    income = [one for one in box.account()["income"] if one["incomeType"] == "FUNDING_FEE"]
    rows = box.rows("payment")
    assert [row["id"] for row in rows] == [f"FUNDING_FEE:{one['tranId']}" for one in income][: len(rows)]
    assert len(rows) >= 2
    total = sum(Decimal(row["amount"]) for row in rows)
    assert shown is not None
    assert "account_differs" not in text
    assert json.loads((box.folders()[-1] / "summary.json").read_text())["funding"] == float(-total)
    code, text = _again(box)
    assert code == 0, text
    assert len({row["id"] for row in box.rows("payment")}) == len(box.rows("payment"))
    box.check_books()


def _again(box, **variables):
    with box.trader(**variables) as trader:
        box.taken(box.position, trader)
        code, text, _ = ended(trader)
    return code, text


def test_liquidation_is_booked_and_said(box, port):
    """The exchange closes the position by an order of its own: position and wallet follow, and it is an alert."""
    box.signed("POST", "v1/leverage", "alice", symbol=box.ready["symbol"], leverage=75)
    amount = {"user": "alice", "asset": "USDT", "amount": "-999985"}
    assert box.post("/sim/transfer", json.dumps(amount))
    with box.trader(
        METRICS_PORT=str(port), MAX_DAILY_LOSS="1000", MAX_DRAWDOWN="1", MAX_LEVERAGE="100", QUOTE_QTY="4"
    ) as trader:
        box.taken(1, trader)
        box.post("/sim/mark", json.dumps({"price": "50"}))
        box.until(lambda: box.account()["liquidations"], "a liquidation", process=trader)
        box.until(lambda: box.rows("breach"), "a row", process=trader)
        box.post("/sim/mark", json.dumps({"price": None}))
        box.until(lambda: value(port, "mm_forced_closes_total", "liquidation"), "a count", process=trader)
        code, text, _ = ended(trader)
    assert code in (0, 5), text
    assert any(row["limit"] == "FORCED" for row in box.rows("breach"))
    assert any("#" in row["client_id"] for row in box.rows("fill"))
    assert Decimal(box.rows("stop")[-1]["position"]) == box.position
    position, wallet = box.booked()
    assert (position, wallet - 999_985) == (box.position, box.wallet - 1_000_000)


@pytest.mark.slow
def test_auto_deleveraging_is_booked_and_said(tmp_path, port):
    """A payment leaves bob's wallet below zero, and the insurance fund is empty: our position closes his."""
    with contract_box(tmp_path, "--funding-interval-s", "10", "--insurance-fund", "0") as box:
        limits = {"MAX_DAILY_LOSS": "10000", "MAX_DRAWDOWN": "1", "MAX_LEVERAGE": "100"}
        with box.trader(METRICS_PORT=str(port), QUOTE_QTY="4", **limits) as trader:
            position = box.taken(1, trader)
            # Where the mark price favours bob he may withdraw his wallet; the quotes around the book are refused there.
            mark = "50" if position > 0 else "200"
            box.post("/sim/mark", json.dumps({"price": mark}))
            path = f"/fapi/v1/premiumIndex?symbol={box.ready['symbol']}"
            box.until(lambda: Decimal(box.get(path)["markPrice"]) == Decimal(mark), "the mark", process=trader)
            box.order("SELL" if position > 0 else "BUY", "3")
            box.post("/sim/funding", json.dumps({"rate": "-0.0075" if position > 0 else "0.0075"}))
            wallet = Decimal(_bob(box)["balances"][0]["balance"])
            box.post("/sim/transfer", json.dumps({"user": "bob", "asset": "USDT", "amount": f"{-wallet}"}))
            box.until(lambda: Decimal(_bob(box)["balances"][0]["balance"]) < 0, "a payment", process=trader)
            box.post("/sim/mark", json.dumps({"price": None}))

            def deleveraged():
                return [row for row in box.rows("fill") if row["client_id"].startswith("adl_autoclose")]

            box.until(deleveraged, "an auto-deleveraging", process=trader)
            box.until(lambda: value(port, "mm_forced_closes_total", "auto-deleveraging"), "a count", process=trader)
            code, text, _ = ended(trader)
        assert code == 0, text
        assert any(row["limit"] == "FORCED" for row in box.rows("breach"))
        box.check_books()


def _bob(box):
    return box.get("/sim/account?user=bob")


def test_countdown_is_renewed_shown_and_ended(box, port):
    """Whatever becomes of the trader, the exchange cancels once it has not been asked again for a minute."""
    with box.trader(METRICS_PORT=str(port)) as trader:
        box.until(lambda: box.account()["openOrders"], "orders", process=trader)
        until_s = box.until(lambda: value(port, "mm_countdown_timestamp_seconds"), "a countdown", process=trader)
        assert 30 < until_s - time.time() <= 61
        code, text, _ = ended(trader)
    assert code == 0, text
    sent = [one["params"] for one in box.account()["requests"]]
    spans = [one["countdownTime"] for one in sent if "countdownTime" in one]
    assert spans[0] == "60000"
    assert spans[-1] == "0"


@pytest.mark.slow
def test_margin_ratio_kills_before_the_exchange_liquidates(box, port):
    """The exchange calls first, then the limit kills: orders are cancelled, and the position stays."""
    assert box.post("/sim/transfer", json.dumps({"user": "alice", "asset": "USDT", "amount": "-999940"}))
    limits = {"MAX_DAILY_LOSS": "1000", "MAX_DRAWDOWN": "1", "MAX_LEVERAGE": "100", "MAX_MARGIN_RATIO": "0.05"}
    with box.trader(METRICS_PORT=str(port), QUOTE_QTY="4", **limits) as trader:

        def squeezed():
            if abs(box.position) <= 1:
                # Until it reaches the trader's bid; refused while the mark price is still far from the book.
                box.signed("POST", "v1/order", symbol="SIMUSDT", side="SELL", type="MARKET", quantity="4")
            if abs(held := box.position) > 1:  # the trader goes on, so what is held may change in between
                entry, wallet = Decimal(box.account()["positions"][0]["entryPrice"]), box.wallet
                # At .4 % of maintenance, 12 % of the equity: wallet + held · (mark - entry) = |held| · mark / 30.
                mark = (held * entry - wallet) / (held - abs(held) / 30)
            else:
                mark = Decimal(100)  # where its quotes are within the band around the mark
            box.post("/sim/mark", json.dumps({"price": f"{mark:.2f}"}))
            return trader.poll() is not None

        box.until(squeezed, "the kill")
        text = trader.communicate(timeout=90)[1]
    assert trader.returncode == 5, text
    assert "MAX_MARGIN_RATIO" in text.splitlines()[-1]
    assert any(row["limit"] == "MAX_MARGIN_RATIO" for row in box.rows("breach"))
    assert box.account()["openOrders"] == []
    assert box.position != 0


@pytest.mark.slow
@pytest.mark.parametrize("kill_closes", ["0", "1"])
def test_kill_closes_the_position_only_where_it_is_told_to(box, kill_closes):
    """Without the knob a kill leaves the position to a person."""
    with box.trader(KILL_CLOSES=kill_closes) as trader:
        box.taken(0, trader)
        code, text, _ = ended(trader, signal.SIGUSR1)
    assert code == 5, text
    assert box.account()["openOrders"] == []
    assert (box.position == 0) == (kill_closes == "1"), text
    box.check_books()
