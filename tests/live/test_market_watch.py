"""The market data in metrics and state store: the latest book, trades, gaps."""

from types import SimpleNamespace

from mm.live.market_watch import MarketWatch
from mm.live.metrics import TradingMetrics
from mm.market_data.market_events import BookLost, DepthArrived, TradeArrived, TradeVerdict, Verdict
from mm.market_data.venue import DepthUpdate, TradePrint

NOW_US = 1_795_176_000_000_000


class Store:
    def __init__(self):
        self.books, self.ticks = [], []

    def book(self, bids, asks, us, last_id):
        self.books.append((bids, asks, us, last_id))

    def tick(self, us, **trade):
        self.ticks.append((us, trade))


def depth(us, last_id, book):
    return DepthArrived(us, 1, DepthUpdate(0, "SIMUSDT", last_id, last_id, [], []), Verdict.APPLY, book)


def printed(us, verdict=TradeVerdict.NEW, m=True):
    trade = TradePrint(E=0, s="SIMUSDT", t=1, p="100.00", q="0.5", T=0, m=m)
    return TradeArrived(us, trade, verdict)


def watched():
    store = Store()
    metrics = TradingMetrics("SIMUSDT", lambda: NOW_US + 2_000_000)
    return MarketWatch(metrics, store), store, metrics


def test_latest_book_is_stored_and_its_age_shown():
    watch, store, metrics = watched()
    watch.store(NOW_US)
    assert store.books == []
    book = SimpleNamespace(top=lambda levels: (["bid"][:levels], ["ask"]))
    watch(depth(NOW_US, 7, book))
    watch(depth(NOW_US + 1, 8, None))  # it changes no valid book
    watch.store(NOW_US + 5)
    assert store.books == [(["bid"], ["ask"], NOW_US + 5, 7)]
    watch.show()
    page = metrics.page()
    assert 'mm_book_age_seconds{symbol="SIMUSDT"} 2' in page
    assert 'mm_messages_total{symbol="SIMUSDT",stream="depth"} 2' in page


def test_lost_book_counts_as_gap_and_is_not_stored():
    watch, store, metrics = watched()
    watch(depth(NOW_US, 7, SimpleNamespace(top=lambda _: ([], []))))
    watch(BookLost(NOW_US + 1, "gap"))
    watch.store(NOW_US + 2)
    watch.show()
    assert store.books == []
    assert 'mm_gaps_total{symbol="SIMUSDT"} 1' in metrics.page()


def test_trade_is_stored_with_aggressor_side_unless_late():
    watch, store, _ = watched()
    for event in (printed(NOW_US), printed(NOW_US + 1, m=False), printed(NOW_US + 2, TradeVerdict.LATE)):
        watch(event)
    assert [(us, trade["side"]) for us, trade in store.ticks] == [(NOW_US, "SELL"), (NOW_US + 1, "BUY")]
