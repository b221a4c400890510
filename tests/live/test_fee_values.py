"""Commissions in another asset than base and quote: at its price, or without one at their largest value."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from decimal import Decimal

import pytest
from trading_box import Venue, ended

from mm.instrument import E8, Instrument
from mm.live.account.fee_values import FeeValues
from mm.live.account.ledger import Ledger, most_fee_e8
from mm.live.venues.fills import AccountFill
from mm.live.venues.spot_messages import COMMISSION
from mm.live.venues.usdm_messages import BURN
from mm.live.venues.usdm_messages import COMMISSION as USDM_COMMISSION
from support import ROOT

GRID = Instrument("SIMUSDT", E8 // 100, 1_000, 5 * E8, "SIM", "USDT")
FILL = AccountFill(7, 70, "c-1", 1, "100.00", "2.00000", "0.01000000", "BNB", 1_000, True)
ALL_BNB = ROOT / "tests" / "live" / "bnb_exchange.py"


def spot_rates(**more):
    """Return the rates of an answer like the one that the documents print."""
    kind = {"maker": "0.001", "taker": "0.002", "buyer": "0.001", "seller": "0"}
    return COMMISSION.decode(json.dumps({"symbol": "SIMUSDT", "standardCommission": kind, **more}).encode()).rates()


def test_assets_of_commissions_are_asked_for():
    fees = FeeValues("BNB")
    fees.trade(GRID)
    assert list(fees.needed()) == [("BNB", "USDT")]
    for asset in ("SIM", "USDT", "BNB"):
        fees.valued(_paid_in(asset))
    assert not fees.asks
    fees.valued(_paid_in("EUR"))
    assert fees.asks
    assert list(fees.needed()) == [("BNB", "USDT"), ("EUR", "USDT")]


def _paid_in(asset):
    return AccountFill(7, 70, "c-1", 1, "100.00", "2.00000", "0.01000000", asset, 1_000, True)


def test_fill_carries_the_price_of_its_own_commission_asset():
    """The asset may change in the middle of a session, when the balance of BNB runs out."""
    fees, ledger = FeeValues("BNB"), Ledger(GRID)
    fees.trade(GRID)
    fees.prices_e8["BNB"] = 600 * E8
    assert fees.valued(_paid_in("USDT")) == _paid_in("USDT")
    assert ledger.book(fees.valued(FILL))
    usdt = AccountFill(8, 70, "c-1", -1, "100.00", "2.00000", "0.20000000", "USDT", 1_000, True)
    assert ledger.book(fees.valued(usdt))
    parts = ledger.pnl_e8(100 * E8)
    assert (parts.fees, parts.total, parts.unvalued) == (620_000_000, -620_000_000, {})  # .01 · 600 + .2


@pytest.mark.parametrize(("maker", "most"), [(True, "0.4"), (False, "0.6")])
def test_fee_without_a_price_is_at_most_the_rate_of_the_account(maker, most):
    """On a notional of 200; the rate of the side counts on top of that of the role."""
    fees = FeeValues("BNB")
    fees.trade(GRID)
    fees.update(spot_rates(), {})
    fill = AccountFill(7, 70, "c-1", 1, "100.00", "2.00000", "0.01000000", "BNB", 1_000, maker)
    assert fees.valued(fill).most_e8 == int(Decimal(most) * E8)
    assert most_fee_e8(fill) == E8 // 5  # without the account's rate: 0.1 %


def test_rates_add_up_and_the_discount_is_of_the_standard_ones():
    """By hand: .2 % standard with the buyer's, three quarters of it with BNB; .03 % special and tax in full."""
    more = {"maker": "0.0001", "taker": "0.0002", "buyer": "0", "seller": "0.00005"}
    discount = {"enabledForAccount": True, "enabledForSymbol": True, "discountAsset": "BNB", "discount": "0.75000000"}
    rates = spot_rates(specialCommission=more, taxCommission=more, discount=discount)
    assert (rates.maker_e8, rates.taker_e8) == (200_000 + 30_000, 300_000 + 50_000)
    assert rates.paid_e8(held=True) == (150_000 + 30_000, 225_000 + 50_000)
    assert rates.paid_e8(held=False) == (rates.maker_e8, rates.taker_e8)
    for off in ("enabledForAccount", "enabledForSymbol"):
        assert spot_rates(discount={**discount, off: False}).paid_e8(held=True) == (200_000, 300_000)


def test_discount_counts_only_while_its_asset_is_held():
    """What is free and what an order locks."""
    discount = {"enabledForAccount": True, "enabledForSymbol": True, "discount": "0.75"}
    fees = FeeValues("BNB")
    for held, paid_e8 in (({}, 200_000), ({"BNB": ("0", "0.5")}, 150_000), ({"BNB": ("0.0", "0")}, 200_000)):
        fees.update(spot_rates(discount=discount), held)
        assert fees.paid_e8 is not None
        assert fees.paid_e8[0] == paid_e8


def test_rebate_of_a_contract_is_a_negative_rate():
    """The exchange does not tell the discount of BNB: the rates stay."""
    answer = b'{"symbol":"SIMUSDT","makerCommissionRate":"-0.0001","takerCommissionRate":"0.0004"}'
    rates = USDM_COMMISSION.decode(answer).rates(BURN.decode(b'{"feeBurn":true}'))
    assert rates.burns
    assert rates.paid_e8(held=True) == (-10_000, 40_000)


@contextmanager
def exchange(folder, *arguments):
    """Yield an exchange in a box that takes .05 BNB for each fill."""
    process = subprocess.Popen(
        [sys.executable, ALL_BNB, *arguments, "--scenario", "zero_intelligence", "--seed", "3"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield Venue(folder, json.loads(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate()


STRATEGY = {
    "QUOTE_MODEL": "fixed_spread",
    "QUOTE_PARAMS_JSON": '{"delta_ticks": 1}',
    "QUOTE_QTY": "0.1",
    "MAX_DAILY_LOSS": "10",
}


@pytest.mark.slow
def test_fee_at_a_price_counts_in_every_output_and_limit(tmp_path):
    """.05 BNB at 600 are 30: the limit of 10 a day ends the trade at the first fill."""
    with exchange(tmp_path, "600") as box, box.trader(**STRATEGY) as process:
        code, out, _ = ended(process, None, seconds=120)
    assert code == 5, out
    rows = box.table("fills")
    summary = json.loads((box.folders()[-1] / "summary.json").read_text())
    assert {Decimal(row["fee"]) for row in rows} == {Decimal(30)}
    assert summary["fees"] == 30 * len(rows)
    assert summary["pnl_total"] < -29 * len(rows)
    assert "max_daily_loss" in summary["risk"]["killed"]["reason"].lower()
    last = box.table("state")[-1]
    sums = [sum((1 if row["side"] == "BUY" else -1) * Decimal(row["price"]) * Decimal(row["qty"]) for row in rows)]
    first = box.table("state")[0]
    assert Decimal(last["cash"]) == Decimal(first["cash"]) - sums[0] - 30 * len(rows)


@pytest.mark.slow
def test_fee_without_a_price_is_named_and_no_result_is_net(tmp_path):
    with exchange(tmp_path, "0") as box, box.trader(**STRATEGY) as process:
        box.until(lambda: len(box.rows("fill")) >= 2, "two fills", process=process)
        code, out, _ = ended(process)
    assert code == 0, out
    rows = box.table("fills")
    paid = f"{Decimal('0.05') * len(rows):f}".rstrip("0")
    summary = json.loads((box.folders()[-1] / "summary.json").read_text())
    assert (summary["fees"], summary["pnl_total"]) == (None, None)
    assert summary["fees_unvalued"] == {"BNB": paid}
    assert f"{paid} BNB" in out
    assert f"{paid} BNB" in (box.folders()[-1] / "report.html").read_text()
    for row in box.rows("fill"):
        notional = Decimal(row["price"]) * Decimal(row["qty"])
        assert Decimal(row["commission_most"]) == round(notional / 1000, 8)
