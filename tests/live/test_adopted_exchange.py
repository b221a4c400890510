"""The books of a log in which an exchange that was reset is accepted: its trades count anew, what was booked stays."""

from mm.instrument import E8, Instrument, e8
from mm.live.account.account_check import AccountCheck
from mm.live.account.ledger import Ledger
from mm.live.audit.books import AuditBooks, Changes
from mm.live.venues.fills import AccountFill

INSTRUMENT = Instrument("BTCUSDT", 1, 1, 0, "BTC", "USDT")
START = {"type": "start", "seq": 1, "us": 1, "run_id": "1", "venue": "box", "base_asset": "BTC", "quote_asset": "USDT"}


def fill(seq, trade_id, side="BUY"):
    terms = {"client_id": "mm-a-1b", "order_id": 7, "side": side, "price": "100", "qty": "1"}
    paid = {"commission": "0", "commission_asset": "USDT", "maker": True}
    return {"type": "fill", "seq": seq, "us": seq, "trade_id": trade_id, **terms, **paid}


def books_of(*rows):
    books = AuditBooks("BTCUSDT")
    for row in (START, *rows):
        books.apply(row, Changes())
    return books


def adopt(seq, what="venue_reset"):
    return {"type": "adopt", "seq": seq, "us": seq, "what": what, "why": "it was wiped"}


def test_ids_of_trades_count_again_after_the_reset_of_an_exchange_was_accepted():
    """A later start reads on behind the last id of the new exchange, and books an id that the former gave too."""
    books = books_of(fill(2, 900), adopt(3), fill(4, 3), fill(5, 900))
    assert books.position_e8 == 3 * E8
    assert books_of(fill(2, 900), adopt(3), fill(4, 3)).ledger.last_trade_id == 3
    assert books_of(fill(2, 900), adopt(3)).ledger.last_trade_id is None
    assert books.ledger.cash_e8 == -e8("300")


def test_another_acceptance_forgets_no_trade():
    books = books_of(fill(2, 900), adopt(3, "foreign_orders"), fill(4, 900))
    assert books.position_e8 == E8
    assert books.ledger.last_trade_id == 900


def test_position_of_a_contract_goes_with_the_exchange_that_was_reset():
    """At its entry price: what was realized stays, and no risk is left that no exchange holds."""
    row = START | {"contract": True}
    books = AuditBooks("BTCUSDT")
    for one in (row, fill(2, 900), fill(3, 901), adopt(4) | {"closed": "2", "price": "100"}, fill(5, 1)):
        books.apply(one, Changes())
    assert (books.position_e8, books.ledger.entry_e8) == (E8, 100 * E8)
    assert books.ledger.pnl_e8(103 * E8).total == 3 * E8
    assert books.ledger.wallet_e8 == 0


def test_acceptance_says_which_position_went_with_the_exchange():
    ledger = Ledger(INSTRUMENT, contract=True)
    ledger.book(AccountFill(7, 1, "mm-a-1s", -1, "100", "2", "0.1", "USDT", 1, True))
    check = AccountCheck(INSTRUMENT, (0, 0), adopts=True, ledger=ledger)
    assert {name: e8(text) for name, text in check.forget_trades().items()} == {"closed": -2 * E8, "price": 100 * E8}
    assert (ledger.position_e8, ledger.pnl_e8(90 * E8).total) == (0, -e8("0.1"))
    assert check.forget_trades() == {}
