"""A commission whose value is not known, or that is paid in an asset that the account does not trade."""

from dataclasses import replace

import pytest

from mm.instrument import E8, Instrument, e8
from mm.live.account.ledger import Held, Ledger
from mm.live.audit.books import AuditBooks
from mm.live.audit.history import LedgerBegin, RunHistory, marks_at
from mm.live.venues.fills import AccountFill

GRID = Instrument("BTCUSDT", E8 // 10, E8 // 1_000, 0, "BTC", "USDT")
DAY_US = 1_795_176_000_000_000
FILL = AccountFill(1, 10, "mm-a-1b", 1, "30000", "0.010", "0.001", "BNB", DAY_US, True)
BEGIN = LedgerBegin(base_e8=2 * E8, quote_e8=1_000 * E8, mid_e8=100 * E8)


def test_limits_begin_without_what_an_unknown_fee_may_have_cost():
    """At a start, as after each fill: the loss of a day is at most too large."""
    held = Held(position_e8=E8, cash_e8=-100 * E8, other_e8=3 * E8, most_e8=5 * E8)
    assert BEGIN.cash_e8(held) == (1_000 - 100 - 3 - 5) * E8
    assert BEGIN.equity_e8(held, 0, 110 * E8) == BEGIN.cash_e8(held) + (2 * 100 + 110) * E8
    assert BEGIN.equity_e8(held, 2 * E8, 110 * E8) == BEGIN.cash_e8(held) + 3 * 110 * E8


@pytest.mark.parametrize("rate_e8", [None, 0, 600 * E8])
def test_equity_of_a_day_begins_after_the_fees_of_the_day_before(rate_e8):
    """Its first fill shows what was held before it, the largest value of unknown fees included."""
    ledger = Ledger(GRID)
    fee_e8 = e8("0.3") if rate_e8 is None else e8("0.001") * rate_e8 // E8
    ledger.book(replace(FILL, rate_e8=rate_e8, most_e8=e8("0.3") if rate_e8 is None else None))
    later = replace(FILL, trade_id=2, us=DAY_US + 86_400_000_000, price="31000")
    ledger.book(later)
    books = AuditBooks("BTCUSDT")
    books.ledger = ledger
    day_e8, peak_e8 = marks_at(RunHistory(books, BEGIN, {}, later.us), None, BEGIN, 0, 0)
    assert day_e8 == peak_e8 == (1_000 - 300) * E8 - fee_e8 + 2 * 100 * E8 + 310 * E8


@pytest.mark.parametrize(("asset", "paid"), [("USDT", "0.06"), ("BNB", "0")])
def test_wallet_of_a_contract_pays_only_commissions_in_its_own_asset(asset, paid):
    """One in BNB leaves another wallet: counted here, the account would differ at the next reconcile."""
    ledger = Ledger(GRID, contract=True)
    ledger.book(replace(FILL, commission="0.06", commission_asset=asset, realized="1.5"))
    assert ledger.moved_e8() == (e8("0.010"), e8("1.5") - e8(paid))
