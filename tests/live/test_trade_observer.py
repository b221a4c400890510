"""The public view of a trade: one warning per kind and minute, a line of progress, rows of breaches, counts."""

from types import SimpleNamespace

from mm.instrument import E8
from mm.live.audit.history import LedgerBegin
from mm.live.pages.symbols_page import SymbolsPage
from mm.live.pages.trading_metrics import TradingMetrics
from mm.live.run.observer import ThrottledWarnings, TradeObserver
from mm.live.venues.fills import AccountFill

MINUTE_US, START_US = 60_000_000, 1_795_176_000_000_000
FILL = AccountFill(1, 2, "mm-1-1b", 1, "100", "1", "0", "USDT", 5, maker=True)


class Lines:
    def __init__(self):
        self.lines = []

    def warning(self, event, **fields):
        self.lines.append(("warning", event, fields))

    def info(self, event, **fields):
        self.lines.append(("info", event, fields))


class Rows(list):
    def append(self, type_, **fields):
        super().append((type_, fields))
        return len(self)


def make_observer():
    """Return an observer, its log lines, its audit log, and the list of breaches in its engine."""
    log, audit, breaches = Lines(), Rows(), []
    guard = SimpleNamespace(equities_e8=lambda: (101 * E8, 0, 0), used=dict)
    manager = SimpleNamespace(guard=guard, quoted=(0, 0), breaches=lambda first: breaches[first:])
    manager.order_rows = lambda *_: 0
    engine = SimpleNamespace(best=(0, 0), manager=manager)
    observer = TradeObserver(
        TradingMetrics("SIMUSDT", lambda: START_US),
        engine,
        SimpleNamespace(tick_e8=E8 // 100),
        account=SimpleNamespace(
            position_e8=E8 // 2, transfers_e8=0, ledger=SimpleNamespace(unvalued={}, transfers_e8={})
        ),
        begin=LedgerBegin(0, 100 * E8, E8),
        audit=audit,
        writer=SimpleNamespace(queue=0, lag_s=0.0),
        log=log,
    )
    return observer, log.lines, audit, breaches


def test_warning_is_logged_once_per_minute_with_suppressed_count():
    log = Lines()
    warnings = ThrottledWarnings(log)
    for us in (0, 1, MINUTE_US - 1):
        warnings.warn(START_US + us, "risk_breach", "MAX_MOVE", limit="MAX_MOVE")
    warnings.warn(START_US + 2, "risk_breach", "OTHER", limit="OTHER")
    warnings.warn(START_US + MINUTE_US, "risk_breach", "MAX_MOVE", limit="MAX_MOVE")
    warnings.warn(START_US + 2 * MINUTE_US, "risk_breach", "MAX_MOVE", limit="MAX_MOVE")
    assert [fields for _, _, fields in log.lines] == [
        {"limit": "MAX_MOVE"},
        {"limit": "OTHER"},
        {"limit": "MAX_MOVE", "unshown": 2},
        {"limit": "MAX_MOVE"},
    ]


def test_each_breach_is_audited_and_first_of_its_kind_logged():
    observer, lines, audit, breaches = make_observer()
    breaches += [(START_US, "MAX_ORDERS_PER_S", 11 * E8, 10 * E8, 1), (START_US, "MAX_MOVE", E8, 0, 0)]
    observer.update(START_US)
    breaches.append((START_US + 5, "MAX_ORDERS_PER_S", 11 * E8, 10 * E8, 1))
    observer.update(START_US + 10)
    assert [(type_, row["limit"], row.get("side")) for type_, row in audit] == [
        ("breach", "MAX_ORDERS_PER_S", "BUY"),
        ("breach", "MAX_MOVE", None),
        ("breach", "MAX_ORDERS_PER_S", "BUY"),
    ]
    assert [fields["limit"] for _, event, fields in lines if event == "risk_breach"] == ["MAX_ORDERS_PER_S", "MAX_MOVE"]


def test_progress_is_logged_once_per_minute():
    observer, lines, _, _ = make_observer()
    observer.update(START_US)
    observer.order("place", 1, START_US)
    observer.filled(FILL, 1, START_US)
    observer.rejected("would_cross", -2010, "Order would immediately match and take.")
    observer.update(START_US + MINUTE_US - 1)
    assert [event for _, event, _ in lines] == ["order_rejected"]
    observer.update(START_US + MINUTE_US)
    counts = {"fills": 1, "orders": 1, "rejected": 1, "not_quoting": "no valid book"}
    assert lines[-1] == ("info", "trading", {"position": "0.50000000", "pnl": "1.00000000", **counts})


def test_time_from_ack_to_first_fill_is_counted_once():
    observer, _, _, _ = make_observer()

    def report(action, order_id, us=START_US):
        observer.order(action, order_id, us)

    report("place", 1)
    report("accepted", 1)
    observer.filled(FILL, 1, START_US + 2_000_000)
    observer.filled(FILL, 1, START_US + 3_000_000)
    report("place", 2)
    report("accepted", 2)
    report("canceled", 2, START_US + 1)
    observer.filled(FILL, 2, START_US + 3_000_000)
    report("replace", 3)
    observer.filled(FILL, 3, START_US + 3_000_000)  # before the acceptance: 0
    report("accepted", 3, START_US + 4_000_000)
    observer.filled(FILL, 3, START_US + 5_000_000)
    page = SymbolsPage([observer.metrics]).page()
    assert 'mm_ack_fill_seconds_count{symbol="SIMUSDT"} 2' in page
    assert 'mm_ack_fill_seconds_sum{symbol="SIMUSDT"} 2' in page
    assert 'mm_orders_total{symbol="SIMUSDT",action="replace"} 1' in page
