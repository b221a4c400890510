"""A trader whose gateway, observer and log keep what they get."""

from mm import Quotes, Rules
from mm.instrument import Instrument
from mm.live._live_engine import LiveEngine
from mm.live.account.ledger import Ledger
from mm.live.pages.trading_metrics import TradingMetrics
from mm.live.run.trade_account import TradeAccount
from mm.live.run.trader import Trader, TraderParts
from mm.live.venues.fills import AccountFill
from named import feed_event

GRID = Instrument("SIMUSDT", 1_000_000, 1, 5 * 10**8, "SIM", "USDT")  # tick 0.01, lots of 1e-8
STEP = 100_000  # 0.001
SECOND_US = 1_000_000
START_CASH_E8 = 10**11


class Touch:
    """Quotes at the touch."""

    def quote(self, view):
        return Quotes(view.bid_ticks, view.ask_ticks)


class Wire:
    """A gateway that keeps its calls."""

    def __init__(self):
        self.sent = []

    def place(self, *terms):
        self.sent.append(("place", *terms))

    def cancel(self, order_id):
        self.sent.append(("cancel", order_id))

    def replace(self, *terms):
        self.sent.append(("replace", *terms))

    def amend(self, *terms):
        self.sent.append(("amend", *terms))

    def take(self):
        sent, self.sent = self.sent, []
        return sent


class Notes:
    """An observer and a log that keep their input."""

    def __init__(self):
        self.orders, self.fills, self.rejects, self.logged = [], [], [], []
        self.metrics = TradingMetrics("SIMUSDT")

    def order(self, action, order_id, us):
        self.orders.append((action, order_id))

    def filled(self, fill, order_id, us):
        self.fills.append((order_id, fill.trade_id))

    def rejected(self, reason, code, message):
        self.rejects.append((reason, code))

    def info(self, event, **numbers):
        self.logged.append(event)

    warning = info


def account_of(engine, ledger=None):
    """Return the account of an engine, which begins with `START_CASH_E8`."""
    return TradeAccount(engine, ledger or Ledger(GRID), GRID, (0, START_CASH_E8))


class TraderRig:
    """A trader with a clock that is set manually, and its first two orders sent."""

    def __init__(self, quotes=Touch, rules=None, **parts):
        self.us, self.notes, self.wire = SECOND_US, Notes(), Wire()
        rules = Rules(
            GRID.tick_e8,
            GRID.lot_e8,
            quote_lots=100 * STEP,
            step_lots=STEP,
            enforce_balances=False,
            start_cash_e8=START_CASH_E8,
            order_amend=True,
            **(rules or {}),
        )
        self.engine = LiveEngine(quotes(), rules)
        self.ledger = Ledger(GRID)
        self.account = account_of(self.engine, self.ledger)
        self.trader = Trader(
            TraderParts(
                engine=self.engine,
                grid=GRID,
                account=self.account,
                log=self.notes,
                observer=self.notes,
                clock=lambda: self.us,
                **parts,
            ),
            self.wire,
        )
        self.feed("snapshot", (1, 10_000, 5 * STEP), (-1, 10_002, 5 * STEP))

    def feed(self, kind, *rows, after_us=0):
        self.us += after_us
        self.trader.feed([feed_event(kind, self.us, 1, 1, rows)])


def fill(trade_id, *, side=1, price="100.00", qty="0.1", commission="0", asset="USDT"):
    return AccountFill(trade_id, 7, "mm-1-B", side, price, qty, commission, asset, SECOND_US, maker=True)
