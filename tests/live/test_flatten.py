"""The plan that closes a position: its cost by hand, and no fill of its order costs more than the consent."""

import asyncio
import json
import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from trading_box import STILL, venue

from mm.errors import SafetyError
from mm.instrument import E8, Filters, Instrument, e8
from mm.live.run import flatten
from mm.live.run.flatten import Flatten, FlattenCost, plan
from mm.markets.messages import DepthSnapshot

GRID = Instrument("SIMUSDT", e8("0.01"), e8("0.001"), e8("5"), "SIM", "USDT")
BOOK = DepthSnapshot(1, [("99.90", "1"), ("99.80", "2"), ("90.00", "50")], [("100.10", "1"), ("100.30", "9")])
FEE = e8("0.001")


def test_cost_is_that_of_walking_the_book():
    """2.5 sold: 1 at 99.90 and 1.5 at 99.80, against a mid of 100; at most, all at 99.80."""
    found = plan(e8("2.5004"), BOOK, GRID, FEE, None)
    assert (found.side, found.qty_e8, found.price_e8, found.left_e8) == (-1, e8("2.5"), e8("99.80"), e8("0.0004"))
    assert found.slippage_e8 == e8("0.4")
    assert found.fees_e8 == e8("0.2496")
    assert found.most_e8 == e8("0.5") + e8("0.2495")


def test_short_position_is_bought_back():
    found = plan(e8("-2"), BOOK, GRID, 0, None)
    assert (found.side, found.qty_e8, found.price_e8) == (1, e8("2"), e8("100.30"))
    assert (found.slippage_e8, found.most_e8, found.cost_e8) == (e8("0.4"), e8("0.6"), e8("0.4"))


def test_a_buyers_commission_stays_of_the_position():
    """It is taken from what was bought: 0.1 % of 2."""
    assert plan(e8("-2"), BOOK, GRID, FEE, None).left_e8 == e8("0.002")


def test_prices_beyond_the_band_are_not_used():
    found = plan(e8("10"), BOOK, GRID, 0, e8("0.02"))
    assert (found.qty_e8, found.left_e8, found.price_e8) == (e8("3"), e8("7"), e8("99.80"))


@pytest.mark.parametrize("position", ["0", "0.0004", "-0.04"])
def test_too_small_a_position_stays(position):
    """Below a step, or the minimum notional."""
    found = plan(e8(position), BOOK, GRID, FEE, None)
    assert (found.side, found.most_e8, found.left_e8) == (0, 0, abs(e8(position)))


@pytest.mark.parametrize(
    ("position", "filters", "expected"),
    [
        ("0.3", {"min_qty_e8": e8("0.4")}, (0, 0, "less than the minimum quantity 0.4")),
        ("-1.3", {"max_qty_e8": e8("1"), "min_qty_e8": e8("0.4")}, ("1", 0, "less than the minimum quantity 0.4")),
        ("-1.9", {"max_qty_e8": e8("1"), "min_qty_e8": e8("0.4")}, ("1", "0.9", "")),
        ("1.52", {"max_notional_e8": e8("150")}, ("1.503", 0, "worth less than the minimum notional 5")),
        ("-3", {"max_notional_e8": e8("150.45")}, ("1.5", "1.5", "")),
        ("0.0407", {}, (0, 0, "worth less than the minimum notional 5")),
        ("0.0004", {}, (0, 0, "less than the quantity step 0.001")),
        ("1.0004", {}, ("1", 0, "less than the quantity step 0.001")),
        ("1", {}, ("1", 0, "")),
    ],
)
def test_what_no_order_can_close_is_told_from_what_a_later_one_can(position, filters, expected):
    """By quantities and notionals of the exchange, which the order keeps to at its own price."""
    found = plan(e8(position), BOOK, replace(GRID, filters=Filters(**filters)), 0, None)
    qty, missing, why = expected
    assert (found.qty_e8, found.missing_e8, found.small) == (e8(str(qty)), e8(str(missing)), why)
    if found.side:
        limit_e8 = found.limit_e8(e8("1000"), 0, e8("0.9"), GRID.tick_e8)
        assert limit_e8 * found.qty_e8 <= filters.get("max_notional_e8", 10**18) * E8
        assert limit_e8 * found.qty_e8 >= GRID.min_notional_e8 * E8


def test_empty_book_closes_nothing():
    assert plan(e8("1"), DepthSnapshot(1, [], []), GRID, FEE, None).side == 0


levels = st.lists(st.integers(1, 40), min_size=1, max_size=6)


sizes_off_the_step = st.lists(st.integers(1, 3 * E8), min_size=1, max_size=6)


@given(sizes_off_the_step, st.integers(1, 9 * E8), st.sampled_from((-1, 1)), st.integers(0, E8 // 100), st.booleans())
def test_plan_is_a_walk_through_whole_steps_of_the_book(sizes_e8, position_e8, sign, fee_e8, contract):
    """In fractions; a cost is never below the exact one, and what is closed and what stays are the whole position."""
    prices = [Fraction(f"{100 - sign * (at + 1) / 100:.2f}") for at in range(len(sizes_e8))]
    near = [(f"{float(price):.2f}", f"{size / E8:.8f}") for price, size in zip(prices, sizes_e8, strict=True)]
    far = [(f"{100 + sign / 100:.2f}", "1")]
    made = plan(sign * position_e8, DepthSnapshot(1, *(near, far)[::sign]), GRID, fee_e8, None, contract=contract)
    left, taken = position_e8 // GRID.lot_e8, []
    for price, size_e8 in zip(prices, sizes_e8, strict=True):
        steps = min(left, size_e8 // GRID.lot_e8)
        if left:
            worst = price
        left -= steps
        taken.append((Fraction(steps * GRID.lot_e8, E8), price))
    qty, paid = sum(size for size, _ in taken), sum(size * price for size, price in taken)
    if not qty or (not contract and qty * worst < 5):
        assert (made.side, made.left_e8) == (0, position_e8)
        return
    fee = Fraction(fee_e8, E8)
    commission_e8 = math.ceil(qty * fee * E8) if sign < 0 and not contract else 0
    exact = (sign * (100 * qty - paid), paid * fee, sign * (100 - worst) * qty + worst * qty * fee)
    assert (made.side, made.qty_e8, made.price_e8, made.mid_e8) == (-sign, qty * E8, worst * E8, 100 * E8)
    assert (made.slippage_e8, made.fees_e8, made.most_e8) == tuple(math.ceil(cost * E8) for cost in exact)
    assert made.left_e8 == position_e8 - made.qty_e8 + commission_e8


@given(levels, st.integers(1, 90_000), st.sampled_from((-1, 1)), st.integers(0, E8 // 100), st.integers(0, 10**9))
def test_worst_fill_of_the_order_keeps_to_the_consent(sizes, lots, sign, fee_e8, more_e8):
    prices = {side: [f"{100 + side * (at + 1) / 100:.2f}" for at in range(len(sizes))] for side in (1, -1)}
    book = DepthSnapshot(
        1, *([(price, str(qty)) for price, qty in zip(prices[s], sizes, strict=True)] for s in (-1, 1))
    )
    made = plan(sign * lots * GRID.lot_e8, book, GRID, fee_e8, None)
    assume(made.side)
    assert made.cost_e8 <= made.most_e8 + 1
    budget_e8 = made.most_e8 + more_e8
    limit_e8 = made.limit_e8(budget_e8, fee_e8, None, GRID.tick_e8)
    assert made.side * (limit_e8 - made.price_e8) >= 0
    assert limit_e8 % GRID.tick_e8 == 0
    worst_e24 = made.qty_e8 * (made.side * (limit_e8 - made.mid_e8) * E8 + limit_e8 * fee_e8)
    assert worst_e24 <= budget_e8 * E8**2


def test_limit_stays_within_the_band():
    made = plan(e8("1"), BOOK, GRID, 0, e8("0.02"))
    assert made.limit_e8(e8("1000"), 0, e8("0.02"), GRID.tick_e8) == e8("98")


def test_consent_is_to_the_cost_of_all_symbols():
    async def both(consent):
        cost = FlattenCost(2, consent)
        return await asyncio.gather(*(cost.consented(at, e8(most), tuple) for at, most in enumerate("13")))

    assert asyncio.run(both("6")) == [e8("2"), e8("4")]
    assert asyncio.run(both(None)) == [None, None]
    with pytest.raises(SafetyError, match="up to 4"):
        asyncio.run(both("3.9"))


@given(st.permutations(range(4)))
def test_costs_are_stated_in_the_order_of_the_symbols(arrived):
    """Whichever book arrives first, and before a refusal."""
    stated = []

    async def all_of_them():
        cost = FlattenCost(4, "0")
        await asyncio.gather(*(cost.consented(at, 1, lambda at=at: stated.append(at)) for at in arrived))

    with pytest.raises(SafetyError):
        asyncio.run(all_of_them())
    assert stated == [0, 1, 2, 3]


async def _asking(work):
    return await work


@pytest.mark.parametrize(("known", "rate"), [((1_000, 200_000), "0.002"), (None, "0.0007")])
def test_consent_is_asked_at_the_fee_of_a_taker(monkeypatch, known, rate):
    """By the account's rate, or without an answer the configured one; it is stated, and covers what the order pays."""
    stated = []
    given = SimpleNamespace(maker_fee_rate="0.0001", taker_fee_rate="0.0007")
    strategy = SimpleNamespace(risk=SimpleNamespace(price_band=None), account=given)
    trade = SimpleNamespace(
        symbol="SIMUSDT",
        parts=SimpleNamespace(rest=SimpleNamespace(rest=None)),
        run=SimpleNamespace(log=None, print=stated.append),
        strategy=strategy,
        unless_stopped=_asking,
        terms=SimpleNamespace(entry={"baseAsset": "SIM", "quoteAsset": "USDT"}),
    )
    gateway = SimpleNamespace(
        reports=SimpleNamespace(attach=lambda _: None),
        fees=SimpleNamespace(paid_e8=known),
        rules=SimpleNamespace(filters=SimpleNamespace(bounds_e8=lambda _: (0, 0)), instrument=GRID),
    )
    monkeypatch.setattr(flatten, "book_of", lambda *_: _asking(asyncio.sleep(0, (0, BOOK))))
    held = SimpleNamespace(position_e8=3 * E8, contract=False)
    job = Flatten(FlattenCost(1, None), 0)
    asyncio.run(job.work(SimpleNamespace(trade=trade, ledger=held, gateway=gateway)))
    expected = plan(3 * E8, BOOK, GRID, e8(rate), None)
    assert (job._plan, len(stated)) == (expected, 1)
    assert expected.fees_e8 > 0


def open_orders(box):
    return {one["orderId"] for one in box.account()["openOrders"]}


@pytest.mark.slow
@pytest.mark.parametrize(("side", "kills"), [("SELL", 1), ("BUY", 2)])
def test_plan_is_of_the_position_after_the_reconcile(tmp_path, side, kills):
    """Quotes left by kills are filled before ``mm trade flatten``, which closes what they have bought or sold."""
    quotes = {"QUOTE_MODEL": "fixed_spread", "QUOTE_PARAMS_JSON": '{"delta_ticks": 3}', "QUOTE_QTY": "1"}
    with venue(tmp_path, "--scenario", "empty") as box:
        for one, price in (("BUY", "99.50"), ("SELL", "100.50")):
            box.place_resting(one, price, "50")
        for _ in range(kills):
            known = open_orders(box)
            with box.trader(**quotes, **STILL) as process:
                box.until_with_updates(lambda known=known: len(open_orders(box) - known) == 2, "quotes", process)
                process.kill()
            filled = box.order(side, "0.7")
            assert filled["status"] == "FILLED"
        held = Decimal(box.balance_change()[0])
        assert abs(held) > Decimal("0.6") * kills
        box.post("/sim/fees", json.dumps({"maker": "0.0001", "taker": "0.002"}))  # it takes
        done = box.run("trade", "flatten", "--json", MAX_COST="5", **STILL)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert Decimal(found["position_before"]) == held
        assert abs(box.balance_change()[0]) < Decimal("0.06")  # a step, or below the minimum notional
        assert Decimal(found["position_after"]) == box.balance_change()[0]
        made = {name: Decimal(text) for name, text in found["plan"].items() if name != "side"}
        assert abs(made["fees"] - made["qty"] * made["price"] * Decimal("0.002")) < Decimal("1e-6")
        assert Decimal(found["cost"]) <= made["most"], "a consent covers what the order pays"
