"""The books of a log in which an exchange that was reset is accepted: its trades count anew, what was booked stays."""

from mm.instrument import E8, e8
from mm.live.audit.books import AuditBooks, Changes

START = {"type": "start", "seq": 1, "us": 1, "run_id": "1", "venue": "box", "base_asset": "BTC", "quote_asset": "USDT"}


def fill(seq, trade_id, side="BUY"):
    terms = {"client_id": "mm-a-1b", "order_id": 7, "side": side, "price": "100", "qty": "1"}
    paid = {"commission": "0", "commission_asset": "USDT", "maker": True}
    return {"type": "fill", "seq": seq, "us": seq, "trade_id": trade_id, **terms, **paid}


def books_of(*rows):
    books = AuditBooks("BTCUSDT")
    for row in (START, *rows):
        books.take(row, Changes())
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
