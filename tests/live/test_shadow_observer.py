"""The public view of a running shadow: the paper exchange's numbers, as metrics and in a state store."""

import asyncio
from collections import Counter
from decimal import Decimal
from types import SimpleNamespace

import pytest

from mm import PaperExchange, Quotes, Rules
from mm.backtest.engine.live_feed import FeedEvent
from mm.backtest.fills.base import TradeCross
from mm.backtest.journal import ACTIONS, REJECT_REASONS, Orders
from mm.backtest.risk import RiskLimits
from mm.instrument import E8, Instrument
from mm.live.pages.symbols_page import SymbolsPage
from mm.live.pages.trading_metrics import TradingMetrics
from mm.live.run.observer import ShadowObserver
from mm.market_data.market_events import BookLost, DepthArrived, TradeArrived
from mm.markets.messages import DepthUpdate, TradePrint
from mm.markets.sequence import Verdict
from mm.markets.trade_ids import TradeVerdict
from mm.tape.tape import DEPTH, SNAPSHOT, TRADE

GRID = Instrument("SIMUSDT", 1_000_000, 100_000, 0, "SIM", "USDT")  # tick 0.01, lot 0.001
SECOND_US = 1_000_000


class Touch:
    def quote(self, view):
        return Quotes(view.bid_ticks, view.ask_ticks)


class Play:
    """The parts of a shadow's strategy that an observer needs: a paper exchange that bought 10 lots at 100.00."""

    def __init__(self, **rules):
        self.grid = GRID
        self.rules = Rules(
            GRID.tick_e8,
            GRID.lot_e8,
            order_latency_us=0,
            cancel_latency_us=0,
            quote_lots=10,
            enforce_balances=False,
            maker_fee_e8=100_000,
            start_cash_e8=10**11,
            **rules,
        )
        self.exchange = PaperExchange(Touch(), TradeCross(), self.rules)
        book = ((1, 10_000, 50), (-1, 10_002, 50))
        self.exchange.feed(
            [
                FeedEvent(SNAPSHOT, SECOND_US, 1, 1, book),
                FeedEvent(TRADE, 2 * SECOND_US, 2, 1, ((-1, 10_000, 10),)),
            ]
        )
        self.exchange.advance(3 * SECOND_US)


class Lines(list):
    """A log that keeps its warnings."""

    def warning(self, event, **fields):
        self.append((event, fields))


class Store:
    """A state writer that keeps its input."""

    queue, lag_s = 3, 0.5

    def __init__(self):
        self.kept, self.closed, self.ticks = {}, False, []

    def book(self, bids, asks, us, last_id):
        self.kept["book"] = bids, asks, us, last_id

    def tick(self, us, **trade):
        self.ticks.append((us, trade))

    def position(self, us, position):
        self.kept["position"] = position

    def pnl(self, us, **parts):
        self.kept["pnl"] = parts

    def model(self, us, **state):
        self.kept["model"] = state

    def close(self, timeout_s):
        self.closed = True


def shown(page, name, **labels):
    """Return the value of a metric's sample."""
    inside = ",".join(f'{key}="{value}"' for key, value in {"symbol": "SIMUSDT", **labels}.items())
    (line,) = [line for line in page.splitlines() if line.startswith(f"{name}{{{inside}}} ")]
    return float(line.rpartition(" ")[2])


def test_metrics_page_shows_paper_exchange_account():
    observer = ShadowObserver(Play().exchange, GRID, Lines())
    observer.refresh(3 * SECOND_US)
    page = SymbolsPage([observer.metrics]).page()
    assert shown(page, "mm_position") == 0.01
    assert shown(page, "mm_fills_total", side="buy") == 1
    assert shown(page, "mm_fills_total", side="sell") == 0
    assert shown(page, "mm_pnl", part="unrealized") == pytest.approx(0.01 * 0.01)
    assert shown(page, "mm_pnl", part="fees") == pytest.approx(0.001)
    assert shown(page, "mm_equity") == pytest.approx(1_000 + 0.0001 - 0.001)
    assert shown(page, "mm_quote_distance_ticks", side="buy") == 1
    assert shown(page, "mm_orders_total", action="place") == 3  # the bid is replaced when it has filled
    assert shown(page, "mm_killed") == 0


def test_cancel_and_reject_counts_equal_the_journal():
    """Shadows once showed 0 cancels and no rejection, regardless of the paper exchange."""
    play = Play(requote_us=SECOND_US)
    observer = ShadowObserver(play.exchange, GRID, Lines())
    observer.refresh(3 * SECOND_US)
    down = ((1, 10_000, 0), (1, 9_990, 50), (-1, 9_995, 50))
    play.exchange.place(+1, 10_002, 10)  # crosses, as an order that rests only
    play.exchange.feed([FeedEvent(DEPTH, 4 * SECOND_US, 3, 2, down)])
    play.exchange.advance(9 * SECOND_US)
    for _ in range(2):
        observer.refresh(9 * SECOND_US)
    page = SymbolsPage([observer.metrics]).page()
    rows = play.exchange.journal().orders
    done = Counter(ACTIONS[row[Orders.names().index("action")]] for row in rows)
    refused = Counter(REJECT_REASONS[row[Orders.names().index("reject_reason")]] for row in rows)
    del refused[""]
    assert done["CANCEL_REQ"] > 0
    assert shown(page, "mm_orders_total", action="cancel") == done["CANCEL_REQ"]
    assert shown(page, "mm_orders_total", action="place") == done["PLACE"]
    assert sum(refused.values()) > 0
    for reason, count in refused.items():
        assert shown(page, "mm_rejects_total", reason=reason) == count


def test_second_refresh_counts_nothing_twice():
    observer = ShadowObserver(Play().exchange, GRID, Lines())
    observer.refresh(3 * SECOND_US)
    observer.refresh(4 * SECOND_US)
    assert shown(SymbolsPage([observer.metrics]).page(), "mm_fills_total", side="buy") == 1


def test_metrics_show_used_share_of_limits():
    observer = ShadowObserver(Play(risk=RiskLimits(max_position_e8=10**7)).exchange, GRID, Lines())
    observer.refresh(3 * SECOND_US)
    used = shown(SymbolsPage([observer.metrics]).page(), "mm_risk_used_ratio", limit="MAX_POSITION")
    assert used == pytest.approx(0.02 / 0.1)  # inventory of 10 lots, and 10 more if the bid fills, of 100


def test_kill_is_shown_and_logged_once():
    play = Play()
    play.exchange.kill("test")
    lines = Lines()
    observer = ShadowObserver(play.exchange, GRID, lines)
    for _ in range(2):
        observer.refresh(3 * SECOND_US)
    assert shown(SymbolsPage([observer.metrics]).page(), "mm_killed") == 1
    assert [(event, fields["reason"]) for event, fields in lines] == [("killed", "test")]


def test_breach_is_logged_once_per_side():
    lines = Lines()
    observer = ShadowObserver(Play(risk=RiskLimits(max_order_notional_e8=1)).exchange, GRID, lines)
    for _ in range(2):
        observer.refresh(3 * SECOND_US)
    assert {(event, fields["limit"], fields["side"]) for event, fields in lines} == {
        ("risk_breach", "MAX_ORDER_NOTIONAL", side) for side in ("BUY", "SELL")
    }
    assert len(lines) == 2


def test_orders_blocked_by_a_limit_are_counted_as_rejects_with_its_knob():
    observer = ShadowObserver(Play(risk=RiskLimits(max_order_notional_e8=1)).exchange, GRID, Lines())
    for _ in range(2):
        observer.refresh(3 * SECOND_US)
    assert shown(SymbolsPage([observer.metrics]).page(), "mm_rejects_total", reason="MAX_ORDER_NOTIONAL") == 2


def test_ready_while_quoting_and_for_a_moment_after():
    play = Play()
    observer = ShadowObserver(play.exchange, GRID, Lines())
    observer.refresh(3 * SECOND_US)
    assert observer.metrics.why_not_ready == ""
    play.exchange.pull("gateway: no connection")
    observer.refresh(3 * SECOND_US)
    assert observer.metrics.why_not_ready == "quotes are stopped: gateway: no connection"


def test_not_ready_names_why_nothing_is_quoted():
    """An order below the minimum notional is never sent; once such a trader was ready."""
    observer = ShadowObserver(Play(min_notional_e8=10**12).exchange, GRID, Lines())
    observer.refresh(3 * SECOND_US)
    assert observer.metrics.why_not_ready == "no quotes: buy min_notional, sell min_notional"


def test_health_page_has_the_two_sided_uptime():
    us = [0]
    metrics = TradingMetrics("SIMUSDT", lambda: us[0])
    metrics.why_not_ready = ""
    metrics.quotes(2 * SECOND_US, 1.0, 1.0)
    us[0] = 8 * SECOND_US
    assert metrics.health() == {
        "ready": True,
        "why": "",
        "running_s": 8.0,
        "two_sided_s": 6.0,
        "two_sided_uptime": 0.75,
    }


def depth(us, last_id, book):
    return DepthArrived(us, 1, DepthUpdate(0, "SIMUSDT", last_id, last_id, [], []), Verdict.APPLY, book)


def test_latest_valid_book_is_stored_and_its_age_shown():
    store = Store()
    observer = ShadowObserver(Play().exchange, GRID, Lines(), store, lambda: 5 * SECOND_US)
    observer.refresh(3 * SECOND_US)
    assert "book" not in store.kept
    observer.market(depth(3 * SECOND_US, 7, SimpleNamespace(top=lambda levels: (["bid"][:levels], ["ask"]))))
    observer.market(depth(3 * SECOND_US + 1, 8, None))  # it changes no valid book
    observer.refresh(4 * SECOND_US)
    assert store.kept["book"] == (["bid"], ["ask"], 4 * SECOND_US, 7)
    assert shown(SymbolsPage([observer.metrics]).page(), "mm_book_age_seconds") == 2
    assert shown(SymbolsPage([observer.metrics]).page(), "mm_messages_total", stream="depth") == 2


def test_trade_is_stored_with_aggressor_side_unless_late():
    store = Store()
    observer = ShadowObserver(Play().exchange, GRID, Lines(), store)
    for us, m, verdict in ((1, True, TradeVerdict.NEW), (2, False, TradeVerdict.NEW), (3, True, TradeVerdict.LATE)):
        observer.market(TradeArrived(us, TradePrint(E=0, s="SIMUSDT", t=1, p="100.00", q="0.5", T=0, m=m), verdict))
    assert [(us, trade["side"]) for us, trade in store.ticks] == [(1, "SELL"), (2, "BUY")]


def test_store_receives_position_pnl_and_model():
    store = Store()
    ShadowObserver(Play().exchange, GRID, Lines(), store).refresh(3 * SECOND_US)
    assert store.kept["position"] == "0.01000000"
    assert store.kept["pnl"]["fees"] == "0.00100000"
    assert store.kept["model"]["quoted_ticks"] == [10_000, 10_002]


def test_parts_of_the_result_have_the_funding():
    """A reader that adds up the parts gets the total: a position of 1 USDT pays a tenth."""
    store, play = Store(), Play()
    play.exchange.pay(E8 // 10, 100 * E8, 3 * SECOND_US)
    ShadowObserver(play.exchange, GRID, Lines(), store).refresh(3 * SECOND_US)
    parts = {name: Decimal(text) for name, text in store.kept["pnl"].items()}
    assert parts["funding"] == Decimal("-0.1")
    assert parts["total"] == parts["realized"] + parts["unrealized"] - parts["fees"] + parts["funding"]


def test_lost_book_counts_as_gap_and_is_not_ready():
    play = Play()
    observer = ShadowObserver(play.exchange, GRID, Lines())
    observer.market(BookLost(4 * SECOND_US, "ids_missing"))
    play.exchange.feed([FeedEvent(4, 4 * SECOND_US, 3, 0, ())])
    observer.refresh(4 * SECOND_US)
    assert shown(SymbolsPage([observer.metrics]).page(), "mm_gaps_total") == 1
    assert observer.metrics.why_not_ready == "no valid book"


def test_desk_closes_the_store_at_the_end():
    store = Store()
    asyncio.run(ShadowObserver(Play().exchange, GRID, Lines(), store).close())
    assert store.closed


def test_watched_shadow_is_shown_on_the_terminal(capsys):
    async def watched():
        async with SymbolsPage([ShadowObserver(Play().exchange, GRID, Lines()).metrics]).shown("127.0.0.1", 0):
            await asyncio.sleep(0.05)

    asyncio.run(watched())
    assert "SIMUSDT" in capsys.readouterr().out
