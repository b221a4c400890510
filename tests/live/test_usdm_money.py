"""Fees, funding and a liquidation in every book that has them: exchange, audit log, trade, replay of the recorded day.

The witness is plain arithmetic of the public rules, in fractions: a commission is price · quantity · rate, funding is
quantity · mark price · rate, both half even to 1e-8; a trade that closes realizes its share of the exact cost.
"""

import csv
import json
from fractions import Fraction
from pathlib import Path

import pytest
from trading_box import ended
from usdm_box import contract_box

SIGNS = {"BUY": 1, "SELL": -1}
RATES = {True: Fraction("0.0002"), False: Fraction("0.0005")}
LIQUIDATION_RATE = Fraction("0.0125")
UNIT = 10**8


def rounded(value):
    """Return an amount of the quote asset, half even to 1e-8."""
    return Fraction(round(value * UNIT), UNIT)


class Witness:
    """Position, exact cost and wallet, by trades and payments in their order."""

    def __init__(self, wallet):
        self.position, self.cost, self.wallet = Fraction(0), Fraction(0), Fraction(wallet)

    def trade(self, side, price, qty, *, maker, forced=False):
        """Return the commission and the profit of a trade."""
        sign, before = SIGNS[side], self.position
        closes = min(qty, abs(before)) if sign * before < 0 else Fraction(0)
        cost = rounded(self.cost * closes / abs(before)) if closes else Fraction(0)
        realized = -sign * closes * price - cost if closes else Fraction(0)
        fee = Fraction(0) if forced else rounded(price * qty * RATES[maker])
        self.position += sign * qty
        self.cost += sign * (qty - closes) * price - cost
        self.wallet += realized - fee
        return fee, realized

    def pay(self, rate, mark):
        """Return what funding brings."""
        paid = -rounded(self.position * mark * rate)
        self.wallet += paid
        return paid

    def clear(self, notional):
        """Return what is charged for a liquidation that has left something."""
        taken = -min(self.wallet, rounded(notional * LIQUIDATION_RATE))
        self.wallet += taken
        return taken


def rows_of(path):
    """Return the rows of a CSV."""
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


def fractions(row, *names):
    """Return some texts of a row as numbers."""
    return tuple(Fraction(row[name]) for name in names)


def witnessed(box, until_us, wallet=1_000_000):
    """Assert that the exchange's own amounts up to an instant are the witness's; return the witness."""
    account, symbol = box.account(), box.ready["symbol"]
    limits = {one["orderId"]: one["price"] for one in account["orders"] if "autoclose" in one["clientOrderId"]}
    witness = Witness(wallet)
    paid = {one["fundingTime"]: one for one in box.get(f"/fapi/v1/fundingRate?symbol={symbol}&limit=1000")}
    # At one instant funding is paid before what it liquidates.
    steps = [(one["time"], 2 if one["orderId"] in limits else 0, one) for one in account["trades"]]
    payments = [one for one in account["income"] if one["incomeType"] in ("FUNDING_FEE", "INSURANCE_CLEAR")]
    kinds = {"FUNDING_FEE": 1, "INSURANCE_CLEAR": 3}
    steps += [(one["time"], kinds[one["incomeType"]], one) for one in payments if one["time"] <= until_us]
    notional = Fraction(0)
    for _, kind, one in sorted(steps, key=lambda step: step[:2]):
        if kind in (0, 2):
            price, qty = fractions(one, "price", "qty")
            limit = limits.get(one["orderId"])
            notional += Fraction(limit) * qty if limit else 0
            due = witness.trade(one["side"], price, qty, maker=one["maker"], forced=limit is not None)
            assert due == fractions(one, "commission", "realizedPnl"), one
        elif one["incomeType"] == "FUNDING_FEE":
            terms = paid[one["time"] // 1_000]
            assert witness.pay(*fractions(terms, "fundingRate", "markPrice")) == Fraction(one["income"]), one
        else:
            assert witness.clear(notional) == Fraction(one["income"]), one
    return witness


def check_trade(box, witness):
    """Assert that audit log, table of fills, states and summary of a trade are the exchange's, to the last digit."""
    account, stop = box.account(), box.rows("stop")[-1]
    logged = {row["trade_id"]: row for row in box.rows("fill")}
    assert logged.keys() == {one["id"] for one in account["trades"]}
    for one in account["trades"]:
        row = logged[one["id"]]
        assert fractions(row, "price", "qty", "commission", "realized") == fractions(
            one, "price", "qty", "commission", "realizedPnl"
        )
    payments = box.rows("payment")
    income = {f"{one['incomeType']}:{one['tranId']}": one["income"] for one in account["income"]}
    assert all(Fraction(row["amount"]) == Fraction(income[row["id"]]) for row in payments)
    assert Fraction(stop["position"]) == witness.position
    fees = sum((Fraction(row["commission"]) for row in logged.values()), Fraction(0))
    paid = sum((Fraction(row["amount"]) for row in payments), Fraction(0))
    summary = json.loads((box.folders()[-1] / "summary.json").read_text())
    assert sum(Fraction(row["fee"]) for row in box.table("fills")) == fees
    assert summary["fees"] == float(fees)
    assert summary["funding"] == float(-paid)
    first, last = (box.table("state")[at] for at in (0, -1))
    notional = sum(Fraction(row["qty"]) * Fraction(row["price"]) * SIGNS[row["side"]] for row in logged.values())
    assert Fraction(last["inventory"]) == witness.position
    assert Fraction(last["cash"]) - Fraction(first["cash"]) == paid - fees - notional
    # The wallet has what was realized, the cash what was bought and sold: they differ by the cost of what is held.
    moved = witness.wallet + witness.position * Fraction(last["mid"]) - witness.cost
    equities = [Fraction(row["equity"]) for row in (first, last)]
    assert equities[1] - equities[0] == moved - box.first_wallet
    assert summary["pnl_total"] == pytest.approx(float(equities[1] - equities[0]), abs=1e-9)
    return payments


def check_replay(box):
    """Assert that a replay of the recorded day has fees and funding by the same arithmetic; return fills and terms."""
    (day,) = (path.name for path in (box.folder / "data" / box.ready["symbol"]).iterdir())
    listed = box.get(f"/fapi/v1/fundingRate?symbol={box.ready['symbol']}&limit=1000")
    terms = [(one["fundingTime"] * 1_000, one) for one in listed]
    done = box.run("backtest", DAY=day, RUN_ID="B1", FILL_MODEL="queue_risk_averse", ORDER_LATENCY_MS="5")
    assert done.returncode == 0, done.stderr
    folder, symbol = box.folder / f"out/backtest/{box.ready['symbol']}/{day}_B1", box.ready["symbol"]
    summary = json.loads((folder / "summary.json").read_text())
    fills, states = rows_of(folder / f"fills_{symbol}.csv"), rows_of(folder / f"state_{symbol}.csv")
    witness, fees, paid = Witness(Fraction(states[0]["cash"])), Fraction(0), Fraction(0)
    began, over = int(states[0]["recv_us"]), int(states[-1]["recv_us"])
    due = [(us, 1, one) for us, one in terms if began < us <= over]
    steps = sorted([(int(row["recv_us"]), 0, row) for row in fills] + due, key=lambda step: step[:2])
    cash = witness.wallet
    for _, kind, one in steps:
        if kind:
            paid += witness.pay(*fractions(one, "fundingRate", "markPrice"))
            continue
        price, qty = fractions(one, "price", "qty")
        fee, _ = witness.trade(one["side"], price, qty, maker=True)
        assert fee == Fraction(one["fee"]), one
        fees += fee
        cash -= SIGNS[one["side"]] * price * qty
    assert summary["fees"] == float(fees)
    assert summary["funding"] == float(-paid)
    assert (Fraction(states[-1]["inventory"]), Fraction(states[-1]["cash"])) == (witness.position, cash - fees + paid)
    return fills, due


@pytest.mark.slow
def test_fees_and_funding_are_equal_to_the_last_digit_in_all_books(tmp_path):
    """Over two payments, the second a moment before the end: the recorded day has it, and its replay pays it."""
    with contract_box(tmp_path, "--funding-interval-s", "10", "--funding-rate", "0.00031") as box:
        box.first_wallet = 1_000_000
        with box.trader(RUN_ID="T1") as trader:
            box.until(lambda: box.position and len(box.rows("payment")) >= 2, "two payments", process=trader)
            code, text, _ = ended(trader)
        assert code == 0, text
        witness = witnessed(box, box.rows("stop")[-1]["us"])
        assert len(check_trade(box, witness)) >= 2
        fills, due = check_replay(box)
        assert fills
        assert len(due) >= 2


@pytest.mark.slow
def test_liquidation_is_equal_to_the_last_digit_in_all_books(tmp_path):
    """The exchange closes the position at the price of no margin, and clears what is left; then trading goes on."""
    with contract_box(tmp_path, "--funding-interval-s", "10") as box:
        box.first_wallet = 15
        symbol, wide = box.ready["symbol"], {"MAX_DAILY_LOSS": "1000", "MAX_DRAWDOWN": "1", "MAX_LEVERAGE": "100"}
        box.signed("POST", "v1/leverage", "alice", symbol=symbol, leverage=75)
        box.post("/sim/transfer", json.dumps({"user": "alice", "asset": "USDT", "amount": "-999985"}))
        with box.trader(RUN_ID="T1", QUOTE_QTY="4", **wide) as trader:
            box.taken(1, trader)  # by another user's orders: the market alone may take long to fill as much
            box.post("/sim/mark", json.dumps({"price": "50"}))
            box.until(lambda: box.account()["liquidations"], "a liquidation", process=trader)
            box.post("/sim/mark", json.dumps({"price": None}))
            cleared = lambda: [row for row in box.rows("payment") if row["kind"] == "INSURANCE_CLEAR"]  # noqa: E731
            if any(one["incomeType"] == "INSURANCE_CLEAR" for one in box.account()["income"]):
                box.until(cleared, "its clearance", process=trader)
            code, text, _ = ended(trader)
        assert code == 0, text
        witness = witnessed(box, box.rows("stop")[-1]["us"], box.first_wallet)
        check_trade(box, witness)
        assert any("autoclose-" in row["client_id"] for row in box.rows("fill"))
        check_replay(box)
