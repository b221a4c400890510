"""The book of a contract: wallet, payments, and orders by which the exchange closes a position."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import example, given
from hypothesis import strategies as st

from mm.instrument import E8, Instrument, e8
from mm.live.account.account_check import AccountCheck
from mm.live.account.ledger import Ledger
from mm.live.orders.order_steps import EARLIER, Booked
from mm.live.orders.queries import forced_id
from mm.live.orders.states import OrderStates
from mm.live.venues.fills import AccountFill
from mm.live.venues.live_orders import LiveOrder, OrderSeen, OrderState
from mm.live.venues.positions import PositionIncome

GRID = Instrument("BTCUSDT", E8 // 10, E8 // 1_000, 0, "BTC", "USDT")
OPENED = AccountFill(1, 10, "mm-a-1b", 1, "30000", "0.010", "0.06", "USDT", 1_000, True, realized="0")
CLOSED = AccountFill(2, 11, "mm-a-2s", -1, "30100", "0.004", "0.02408", "USDT", 2_000, True, realized="0.4")


def traded():
    ledger = Ledger(GRID, contract=True)
    for fill in (OPENED, CLOSED):
        assert ledger.book(fill)
    return ledger


def test_wallet_moves_by_realized_profit_commission_and_payments():
    """A trade that opens moves only its commission; each payment counts once, by its id."""
    ledger = traded()
    assert ledger.moved_e8() == (e8("0.006"), e8("0.4") - e8("0.08408"))
    assert ledger.pay("FUNDING_FEE:7", e8("-0.018"), 3_000)
    assert not ledger.pay("FUNDING_FEE:7", e8("-0.018"), 3_000)
    assert ledger.moved_e8()[1] == e8("0.4") - e8("0.08408") - e8("0.018")


def test_parts_of_the_result_add_up_with_payments():
    """Funding is neither a fee nor an unrealized loss."""
    ledger = traded()
    before = ledger.pnl_e8(e8("30050"))
    ledger.pay("FUNDING_FEE:7", e8("-0.018"), 3_000)
    after = ledger.pnl_e8(e8("30050"))
    assert after.total == before.total - e8("0.018") == after.realized + after.unrealized - after.fees + after.paid
    assert (after.realized, after.unrealized, after.fees) == (before.realized, before.unrealized, before.fees)


@given(st.lists(st.tuples(st.sampled_from((1, -1)), st.integers(1, 40), st.integers(900, 1_100)), max_size=30))
@example([(1, 1, 900), (1, 2, 901), *[(-1, 1, 900)] * 3, (1, 1, 950)])  # thirds of 1e-8 were rounded, three times
def test_entry_price_is_that_of_the_exchange(trades):
    """The exchange's rule: trades that add move it, trades that reduce do not, a turn begins anew.

    Of thousandths of a unit: what was rounded before a position was closed would show in the price of the next one.
    """
    ledger, lots, entry = Ledger(GRID, contract=True), 0, Fraction(0)
    for number, (side, size, price) in enumerate(trades):
        closes, flat = min(size, abs(lots)) if side * lots < 0 else 0, not lots
        realized = -side * closes * (price - entry) / 1_000
        opens = size - closes
        lots += side * closes
        entry = (abs(lots) * entry + opens * price) / (abs(lots) + opens) if lots or opens else Fraction(0)
        lots += side * opens
        text = f"{realized.numerator / Decimal(realized.denominator):.8f}"
        qty = f"{size / 1_000:.3f}"
        ledger.book(replace(OPENED, trade_id=number, side=side, qty=qty, price=str(price), realized=text))
        assert ledger.position_e8 == lots * E8 // 1_000
        assert abs(Fraction(ledger.entry_e8, E8) - entry) <= (0 if flat else Fraction(1_000 * (len(trades) + 1), E8))
        assert Ledger.restored(ledger.kept()).entry_e8 == ledger.entry_e8


def test_entry_price_of_a_ledger_that_an_earlier_version_kept():
    """It is worked out from the wallet and the cash."""
    kept = traded().kept()
    del kept["opened_e8"]
    assert Ledger.restored(kept).entry_e8 == e8("30000")


def test_ledger_is_kept_with_its_payments():
    """A later run must not book a payment again."""
    ledger = traded()
    ledger.pay("FUNDING_FEE:7", e8("-0.018"), 3_000)
    again = Ledger.restored(ledger.kept())
    assert again.contract
    assert again.moved_e8() == ledger.moved_e8()
    assert not again.pay("FUNDING_FEE:7", e8("-0.018"), 3_000)


def test_difference_of_a_position_is_never_a_transfer():
    """Only trades change a position; an amount of the wallet may have come from outside while no event was heard."""
    check = AccountCheck(GRID, (0, 1_000 * E8), ledger=traded())
    due = 1_000 * E8 + e8("0.31592")
    for _ in range(5):
        check.compare({"USDT": (f"{due / E8:.8f}", "0"), "BTCUSDT": ("0.007", "0")})
    assert "BTCUSDT" in check.why
    other = AccountCheck(GRID, (0, 1_000 * E8), ledger=traded())
    for _ in range(5):
        other.compare({"USDT": (f"{due / E8 + 5:.8f}", "0"), "BTCUSDT": ("0.006", "0")})
    assert not other.why


def test_payment_of_another_asset_is_not_booked():
    """The wallet of the contract is that of its quote asset."""
    ledger = traded()
    check = AccountCheck(GRID, (0, 0), ledger=ledger)
    check.pay(PositionIncome("FUNDING_FEE:8", "BTCUSDT", "BNB", E8, 3_000))
    assert ledger.paid_e8 == 0
    check.pay(PositionIncome("FUNDING_FEE:9", "BTCUSDT", "USDT", E8, 3_000))
    assert (ledger.paid_e8, check.paid_us) == (E8, 3_000)
    check.pay(PositionIncome("FUNDING_FEE:8", "BTCUSDT", "USDT", E8, 2_000))  # told late
    assert (ledger.paid_e8, check.paid_us) == (2 * E8, 3_000)


def test_orders_of_the_exchange_with_one_client_id_are_two():
    """Each deleveraging has the same client id: the exchange's number tells them apart."""
    states = OrderStates()
    for number, trade in ((71, 5), (72, 6)):
        own_id = forced_id("adl_autoclose", number)
        states.add_forced(LiveOrder(EARLIER, own_id, -1, "", "0.003", "IOC", exchange_id=number))
        fill = AccountFill(trade, number, own_id, -1, "29000", "0.003", "0", "USDT", 9_000, False, realized="-1")
        seen = OrderSeen(own_id, number, OrderState.FILLED, e8("0.003"), 9_000, e8("0.003"))
        states.seen(seen, fill)
        states.seen(replace_name(seen), fill)  # as a query shows it
    booked = [step.fill for step in states.next_steps() if isinstance(step, Booked)]
    assert [one.trade_id for one in booked] == [5, 6]
    assert all(one.forced for one in booked)
    assert not states.open


def replace_name(seen):
    return seen._replace(client_id="adl_autoclose")


def test_trade_of_the_exchange_is_not_the_last_of_ours():
    """Its id may be of another series, behind which no trade of ours would be looked for."""
    ledger = traded()
    ledger.book(replace(CLOSED, trade_id=10**15, client_id=forced_id("autoclose-1", 9)))
    assert ledger.last_trade_id == 2
