"""Position, cash and fees of our fills against sums in Decimal, and the parts of the result."""

from dataclasses import asdict, replace
from decimal import ROUND_DOWN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mm.clock import day_of
from mm.errors import Mismatch
from mm.instrument import E8, Instrument, decimal_text, e8
from mm.live.account import ledger as ledger_module
from mm.live.account.ledger import Ledger, fee_e8, most_fee_e8, transfers_value_e8
from mm.live.venues.fills import AccountFill

BTC = Instrument("BTCUSDT", E8 // 100, 1_000, 5 * E8, "BTC", "USDT")
FILL = AccountFill(7, 70, "c-1", 1, "100.00", "2.00000", "0.00200000", "BTC", 1_000, True)


def fills(assets: tuple[str, ...] = ("BTC", "USDT", "BNB")) -> st.SearchStrategy[list[AccountFill]]:
    """Executions with trade ids that may repeat."""
    one = st.builds(
        AccountFill,
        trade_id=st.integers(1, 30),
        order_id=st.integers(1, 9),
        client_id=st.just("c"),
        side=st.sampled_from((1, -1)),
        price=st.integers(1, 10**7).map(BTC.price),
        qty=st.integers(1, 10**6).map(BTC.qty),
        commission=st.integers(-1_000, 10**9).map(decimal_text),
        commission_asset=st.sampled_from(assets),
        us=st.integers(0, 10**16),
        maker=st.booleans(),
    )
    return st.lists(one, max_size=25)


def exact(value_e8: int) -> Decimal:
    """Return an amount in 1e-8 as a decimal."""
    return Decimal(value_e8).scaleb(-8)


def once(executions: list[AccountFill]) -> list[AccountFill]:
    """Return each trade's first execution."""
    found: dict[int, AccountFill] = {}
    for one in executions:
        found.setdefault(one.trade_id, one)
    return list(found.values())


@given(fills(), st.integers(-(10**9), 10**9))
def test_ledger_balances_equal_decimal_sums(executions: list[AccountFill], first: int) -> None:
    """Position, cash and fees equal sums of the exchange's own text, each trade once."""
    ledger = Ledger(BTC, position_e8=first)
    booked = [ledger.book(one) for one in executions]
    base, quote, fees = exact(first), Decimal(0), dict[str, Decimal]()
    for one in once(executions):
        quote -= one.side * (Decimal(one.price) * Decimal(one.qty)).quantize(Decimal("1e-8"), ROUND_DOWN)
        base += one.side * Decimal(one.qty)
        paid = Decimal(one.commission)
        base -= paid if one.commission_asset == "BTC" else 0
        quote -= paid if one.commission_asset == "USDT" else 0
        fees[one.commission_asset] = fees.get(one.commission_asset, Decimal(0)) + paid
    assert (exact(ledger.position_e8), exact(ledger.cash_e8)) == (base, quote)
    assert {asset: exact(paid) for asset, paid in ledger.fees_e8.items() if paid} == {
        k: v for k, v in fees.items() if v
    }
    assert sum(booked) == ledger.fills == len(once(executions))
    assert ledger.last_trade_id == max((one.trade_id for one in executions), default=None)


@given(fills())
def test_a_day_begins_with_what_was_held_before_its_first_fill(executions: list[AccountFill]) -> None:
    """A fill of an earlier day that is told late begins no day again: its loss is of the day that goes on."""
    ledger, day, began = Ledger(BTC), "", None
    for one in executions:
        held = ledger.held
        if ledger.book(one) and day_of(one.us) > day:
            day, began = day_of(one.us), (held, e8(one.price))
        assert ledger.before_day(day) == began
        assert ledger.before_day("19691231") is None


def test_transfers_are_worth_their_assets() -> None:
    """A deposit of the base asset counts at its price, one of an asset that the symbol does not have not at all."""
    ledger = Ledger(BTC)
    for asset, amount in (("BTC", "2"), ("BTC", "-0.5"), ("USDT", "7"), ("BNB", "9")):
        ledger.transfer(asset, e8(amount))
    assert transfers_value_e8(ledger, 100 * E8) == 157 * E8


@given(fills(("BTC", "USDT")), st.integers(-(10**9), 10**9), st.integers(1, 10**7), st.integers(1, 10**7))
def test_pnl_parts_sum_to_change_of_account_value(
    executions: list[AccountFill], first: int, cost: int, mid: int
) -> None:
    """The total is the account's present value minus its initial value, to the last unit."""
    ledger = Ledger(BTC, position_e8=first)
    ledger.pnl_e8(cost * BTC.tick_e8)  # the first observed price
    for one in executions:
        ledger.book(one)
    parts = ledger.pnl_e8(mid * BTC.tick_e8)
    worth = exact(ledger.cash_e8) + exact(ledger.position_e8) * mid / 100 - exact(first) * cost / 100
    assert abs(exact(parts.total) - worth) <= Decimal("1e-8")
    assert parts.total == parts.realized + parts.unrealized - parts.fees
    if not ledger.position_e8:
        assert abs(parts.unrealized) <= 1 + len(executions)


@given(fills(("BTC", "USDT")), st.integers(1, 10**7))
def test_realized_pnl_is_first_in_first_out(executions: list[AccountFill], mid: int) -> None:
    """Against a list of single lots; a commission in the base asset is sold at the price of its fill."""
    small = [replace(one, qty=BTC.qty(one.trade_id), commission=BTC.qty(one.order_id % 4)) for one in executions]
    ledger, held, realized = Ledger(BTC), list[tuple[int, Decimal]](), Decimal(0)
    for one in once(small):
        paid = one.order_id % 4 if one.commission_asset == "BTC" else 0
        for moves in [one.side] * one.trade_id + [-1] * paid:
            if held and held[0][0] != moves:
                side, cost = held.pop(0)
                realized += side * (Decimal(one.price) - cost) * exact(BTC.lot_e8)
            else:
                held.append((moves, Decimal(one.price)))
    for one in small:
        ledger.book(one)
    assert exact(ledger.pnl_e8(mid * BTC.tick_e8).realized) == realized


def test_base_asset_commission_reduces_position() -> None:
    """The commission is deducted from the quantity, and its value at the fill's price is a fee."""
    ledger = Ledger(BTC)
    assert ledger.book(FILL)
    assert (ledger.position_e8, ledger.cash_e8) == (199_800_000, -200 * E8)
    parts = ledger.pnl_e8(100 * E8)
    assert (parts.realized, parts.unrealized, parts.fees, parts.total) == (0, 0, E8 // 5, -E8 // 5)


def test_commissions_without_a_price_add_up_to_the_most_that_they_can_be() -> None:
    ledger = Ledger(BTC)
    for trade_id in (7, 8, 9):
        ledger.book(replace(FILL, trade_id=trade_id, commission="0.01000000", commission_asset="BNB"))
    assert (ledger.most_e8, ledger.held.most_e8, ledger.unvalued) == (3 * E8 // 5, 3 * E8 // 5, {"BNB": 3_000_000})


def test_commission_in_third_asset_changes_neither_balance() -> None:
    """Its value counts if its price is given; otherwise it is reported separately."""
    bnb = replace(FILL, commission="0.01000000", commission_asset="BNB")
    ledger = Ledger(BTC)
    ledger.book(bnb)
    ledger.book(replace(bnb, trade_id=8, rate_e8=600 * E8))
    assert (ledger.position_e8, ledger.cash_e8) == (400_000_000, -400 * E8)
    assert ledger.fees_e8 == {"BNB": 2_000_000}
    parts = ledger.pnl_e8(100 * E8)
    assert (parts.fees, parts.total, parts.unvalued) == (6 * E8, -6 * E8, {"BNB": 1_000_000})
    assert ledger.other_e8 == 6 * E8
    assert ledger.most_e8 == E8 // 5  # 0.1 % of 200
    assert Ledger.restored(ledger.kept()).kept() == ledger.kept()


@pytest.mark.parametrize(
    ("asset", "rate_e8", "expected"),
    [("USDT", None, 200_000), ("BTC", None, 20_000_000), ("BNB", None, None), ("BNB", 500 * E8, E8)],
)
def test_fee_is_commission_valued_in_quote_asset(asset: str, rate_e8: int | None, expected: int | None) -> None:
    """A commission in base counts at the fill's price, one in another asset only with a rate."""
    assert fee_e8(replace(FILL, commission_asset=asset, rate_e8=rate_e8), BTC) == expected


@pytest.mark.parametrize(("commission", "expected"), [("0.00000001", 0), ("0.00000003", 2), ("0.00000005", 2)])
def test_half_of_the_smallest_amount_is_rounded_to_the_even_one(commission: str, expected: int) -> None:
    """A commission in base at a price of one half."""
    assert fee_e8(replace(FILL, price="0.50", commission=commission), BTC) == expected


@pytest.mark.parametrize(("rate_e8", "expected"), [(None, E8 // 5), (10_000, E8 // 5), (200_000, 2 * E8 // 5)])
def test_unknown_commission_is_bounded_by_the_larger_rate(rate_e8: int | None, expected: int) -> None:
    """A discount of the account is not what another asset's price may be; the standard rate is .1 %."""
    assert most_fee_e8(replace(FILL, commission_asset="BNB"), rate_e8) == expected
    assert most_fee_e8(replace(FILL, price="0.01", qty="0.00001", commission_asset="BNB"), rate_e8) == 1  # never below


@pytest.mark.parametrize("commission", ["0", "0.00000000", "-0.001"])
def test_commission_of_nothing_and_rebates_have_no_bound_above_zero(commission: str) -> None:
    """Whatever the price of its asset, nothing of it is worth nothing."""
    assert most_fee_e8(replace(FILL, commission_asset="BNB", commission=commission), 200_000) == 0


def test_cash_is_the_amount_that_the_exchange_names() -> None:
    """Of several trades, or rounded there, it may differ from price times quantity."""
    ledger = Ledger(BTC)
    ledger.book(replace(FILL, quote_qty="200.00000001"))
    assert ledger.cash_e8 == -200 * E8 - 1


def test_initial_position_is_valued_at_first_price() -> None:
    """Without a cost, an initial position earns from the first mid on."""
    ledger = Ledger(BTC, position_e8=E8)
    assert ledger.pnl_e8(100 * E8).total == 0
    assert ledger.pnl_e8(101 * E8).unrealized == E8


def test_fill_row_has_all_fields_and_side_as_text() -> None:
    """BUY and SELL, as in all files."""
    plain = {name: value for name, value in asdict(FILL).items() if value not in (None, "")}
    assert FILL.row() == plain | {"side": "BUY"}
    valued = replace(FILL, rate_e8=600 * E8, quote_qty="200.1").row()
    assert valued == FILL.row() | {"commission_rate": "600.00000000", "quote_qty": "200.1"}
    assert replace(FILL, side=-1).row()["side"] == "SELL"


def test_instrument_without_assets_raises_mismatch() -> None:
    """Commissions could not be booked."""
    with pytest.raises(Mismatch, match=r"base asset '' .* check instrument\.json"):
        Ledger(Instrument("BTCUSDT", 1, 1))


def test_later_runs_remember_the_newest_trades(monkeypatch: pytest.MonkeyPatch) -> None:
    """In whatever order they were booked: a reset exchange is known by the newest ones."""
    monkeypatch.setattr(ledger_module, "KEPT_TRADES", 3)
    ledger = Ledger(BTC)
    for trade_id in (14, 11, 15, 12, 13):
        ledger.book(AccountFill(trade_id, 2, "mm-1-1b", 1, "100", "2", "0", "USDT", 5, maker=True))
    assert sorted(Ledger.restored(ledger.kept()).booked) == [13, 14, 15]
