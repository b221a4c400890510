from mm.market_data.import_session import TickerCheck
from mm.markets.grid import Grid
from mm.markets.local_orderbook import LocalOrderBook
from mm.markets.messages import BookTicker

BOOK = LocalOrderBook.of([("9.90", "1.0"), ("9.80", "5")], [("10.10", "2.0")])


def ticker(update_id, bid=("9.90000000", "1.00"), ask=("10.1", "2")):
    return BookTicker(update_id, "SIMUSDT", *bid, *ask)


def test_only_the_latest_ticker_waits():
    """A later ticker replaces an earlier one."""
    check = TickerCheck(Grid())
    check.ticker(ticker(7), 5, BOOK)
    check.ticker(ticker(8), 5, BOOK)
    check.compare_ticker(7, BOOK)
    assert check.compared == 0


def test_difference_in_price_or_quantity_is_reported():
    """On both sides."""
    for wrong in (ticker(7, bid=("9.80", "1")), ticker(7, ask=("10.10", "2.1"))):
        check = TickerCheck(Grid())
        assert "10.10" in check.ticker(wrong, 7, BOOK)
        assert (check.compared, check.agreed) == (1, 0)


def test_empty_side_agrees_with_a_quantity_of_zero():
    """The exchange sends zeros for an empty side."""
    check = TickerCheck(Grid())
    bids_only = LocalOrderBook.of([("9.90", "1")], [])
    assert check.ticker(ticker(7, ask=("0.00000000", "0.00000000")), 7, bids_only) is None
    assert check.ticker(ticker(8), 8, bids_only) is not None
    assert check.agreed == 1
