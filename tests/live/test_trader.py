"""The trader's loop: which messages leave, and what the reports of a gateway do to engine, account and observers."""

import asyncio

import pytest

from mm.backtest.live_feed import FeedEvent
from mm.backtest.quotes.view import Quotes
from mm.backtest.rules import Rules
from mm.instrument import Instrument
from mm.live._live_engine import LiveEngine
from mm.live.ledger import AccountFill, Ledger
from mm.live.trader import TradeAccount, Trader, TraderParts, reason_of
from mm.tape.tape import DEPTH, GAP, SNAPSHOT

GRID = Instrument("SIMUSDT", 1_000_000, 1, 5 * 10**8, "SIM", "USDT")  # tick 0.01, lots of 1e-8
STEP = 100_000  # 0.001
SECOND_US = 1_000_000
START_CASH_E8 = 10**11


class Touch:
    """Quotes at the touch."""

    def quote(self, view):
        return Quotes(view.bid_ticks, view.ask_ticks)


class Half(Touch):
    """Quotes half as much once something is held."""

    def quote(self, view):
        lots = 50 * STEP if view.inventory_lots else 100 * STEP
        return Quotes(view.bid_ticks, view.ask_ticks, lots, lots)


class Wire:
    """A gateway that keeps what it is given."""

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
    """An observer, and a log, that keep what they are given."""

    def __init__(self):
        self.orders, self.fills, self.rejects, self.acks, self.logged, self.accounts = [], [], [], [], [], 0

    def order(self, action, order_id, side, price, qty, us):
        self.orders.append((action, order_id, side, price, qty))

    def filled(self, fill, order_id, us):
        assert ("filled", order_id) not in [row[:2] for row in self.orders]  # its order has not ended before
        self.fills.append((order_id, fill.trade_id))

    def rejected(self, reason, code, message):
        self.rejects.append((reason, code))

    def ack(self, action, seconds):
        self.acks.append((action, seconds))

    def account_changed(self, us):
        self.accounts += 1

    def info(self, event, **numbers):
        self.logged.append(event)

    warning = info


class Room:
    """A trader with a clock that is set by hand, and its two first orders on the wire."""

    def __init__(self, quotes=Touch, **parts):
        self.us, self.notes, self.wire = SECOND_US, Notes(), Wire()
        rules = Rules(
            GRID.tick_e8,
            GRID.lot_e8,
            quote_lots=100 * STEP,
            step_lots=STEP,
            enforce_balances=False,
            start_cash_e8=START_CASH_E8,
            order_amend=True,
        )
        self.engine = LiveEngine(quotes(), rules)
        self.ledger = Ledger(GRID)
        self.account = TradeAccount(self.engine, self.ledger, GRID, (0, START_CASH_E8))
        self.trader = Trader(
            TraderParts(
                engine=self.engine,
                grid=GRID,
                account=self.account,
                log=self.notes,
                observers=[self.notes],
                clock=lambda: self.us,
                **parts,
            ),
            self.wire,
        )
        self.feed(SNAPSHOT, (1, 10_000, 5 * STEP), (-1, 10_002, 5 * STEP))

    def feed(self, kind, *rows, after_us=0):
        self.us += after_us
        self.trader.feed([FeedEvent(kind, self.us, 1, 1, rows)])


def fill(trade_id, *, side=1, price="100.00", qty="0.1", commission="0", asset="USDT"):
    return AccountFill(trade_id, 7, "mm-1-B", side, price, qty, commission, asset, SECOND_US, maker=True)


def test_the_first_book_brings_two_orders_in_the_exchanges_text():
    room = Room()
    assert room.wire.sent == [
        ("place", 1, 1, "100", "0.1", "LIMIT_MAKER"),
        ("place", 2, -1, "100.02", "0.1", "LIMIT_MAKER"),
    ]
    assert [row[:2] for row in room.notes.orders] == [("place", 1), ("place", 2)]


def test_a_moved_quote_goes_as_one_replacement():
    room = Room()
    room.trader.accepted(1, room.us, 91)
    room.wire.take()
    room.feed(DEPTH, (1, 10_001, STEP), after_us=250_000)
    assert room.wire.take() == [("replace", 1, 3, 1, "100.01", "0.1", "LIMIT_MAKER")]
    assert room.notes.orders[-1][:2] == ("replace", 3)


def amending():
    """Return a trader whose ask, order 2 of 0.1, is to be amended to 0.05: its bid was filled."""
    room = Room(quotes=Half)
    room.trader.accepted(1, room.us, 91)
    room.trader.accepted(2, room.us, 92)
    room.wire.take()
    room.trader.filled(1, fill(5))
    assert room.wire.take() == [("place", 3, 1, "100", "0.05", "LIMIT_MAKER"), ("amend", 2, "0.05")]
    assert room.notes.orders[-1][:2] == ("amend", 2)
    return room


def test_an_amendment_goes_by_itself_and_what_is_left_follows_it():
    room = amending()
    room.trader.filled(2, fill(6, side=-1, price="100.02", qty="0.02"))
    room.trader.amended(2, room.us, "0.05")
    assert room.notes.orders[-1] == ("amended", 2, -1, "100.02", "0.05")
    room.trader.filled(2, fill(7, side=-1, price="100.02", qty="0.03"))
    assert [row[0] for row in room.notes.orders if row[1] == 2][-2:] == ["amended", "filled"]


def test_an_amendment_may_be_the_end_of_an_order():
    """As much had filled before it was known."""
    room = amending()
    room.trader.filled(2, fill(6, side=-1, price="100.02", qty="0.05"))
    room.trader.amended(2, room.us, "0.05")
    assert room.notes.orders[-1][:2] == ("filled", 2)
    assert room.engine.open_orders == 1


@pytest.mark.parametrize(("code", "again"), [(0, [("amend", 2, "0.05")]), (-2038, [])])
def test_an_amendment_that_the_exchange_refuses_is_not_sent_again(code, again):
    room = amending()
    room.trader.amend_failed(2, room.us, code, "no")
    room.us += 250_000
    room.trader.act()
    assert room.wire.take() == again
    assert room.notes.logged[-1] == "amend_failed"


def test_a_gap_cancels_without_a_replacement():
    room = Room()
    room.trader.accepted(1, room.us, 91)
    room.trader.accepted(2, room.us, 92)
    room.wire.take()
    room.feed(GAP)
    assert room.wire.take() == [("cancel", 1), ("cancel", 2)]


def test_a_fill_is_booked_once_and_a_requote_follows():
    room = Room()
    room.trader.accepted(1, room.us, 91)
    room.wire.take()
    room.trader.filled(1, fill(5, commission="0.0001", asset="SIM"))
    room.trader.filled(1, fill(5, commission="0.0001", asset="SIM"))
    assert room.engine.inventory_lots == room.ledger.position_e8 == 9_990_000
    assert room.account.cash_e8 == START_CASH_E8 - 10 * 10**8
    assert room.notes.fills == [(1, 5)]
    assert ("filled", 1, 1, "100", "0.1") in room.notes.orders
    assert room.wire.take() == [("place", 3, 1, "100", "0.1", "LIMIT_MAKER")]


def test_partial_fills_keep_the_order():
    room = Room()
    room.trader.filled(1, fill(5, qty="0.04"))
    room.trader.filled(1, fill(6, qty="0.06"))
    assert [row[0] for row in room.notes.orders if row[1] == 1] == ["place", "partially_filled", "filled"]


def test_a_fill_of_an_earlier_run_moves_the_account_alone():
    room = Room()
    room.trader.filled(0, fill(5, side=-1, commission="0.01"))
    assert room.engine.inventory_lots == -10_000_000
    assert room.account.cash_e8 == START_CASH_E8 + 10 * 10**8 - 10**6
    assert room.notes.fills == [(0, 5)]


def test_each_fill_names_the_state_row_and_the_cash_after_it():
    room = Room()
    room.trader.filled(1, fill(5, qty="0.04", commission="0.00000001"))
    room.trader.filled(2, fill(6, side=-1, price="100.02", qty="0.1"))
    state = room.engine.journal().state
    for booked in room.account.fills:
        inventory, cash_tl, fees_e8 = state[booked.state_row][1:4].tolist()
        assert inventory == booked.position_e8
        moved_e16 = cash_tl * GRID.tick_e8 * GRID.lot_e8 - fees_e8 * 10**8
        assert START_CASH_E8 * 10**8 + moved_e16 == booked.cash_e8 * 10**8


def test_a_fill_has_the_instant_of_its_report_also_before_the_first_message_of_the_market():
    """Of a run that was killed the next start books what was missed, before its engine has seen any instant."""
    engine, reported = LiveEngine(Touch(), Rules(GRID.tick_e8, GRID.lot_e8)), [7 * SECOND_US, 8 * SECOND_US]
    account = TradeAccount(engine, Ledger(GRID), GRID, (0, START_CASH_E8))
    for trade_id, us in enumerate(reported, 5):
        account.book(0, fill(trade_id), us)
    assert [booked.us for booked in account.fills] == reported
    assert engine.journal().fills[:, 0].tolist() == reported


@pytest.mark.parametrize(
    ("code", "message", "side", "reason"),
    [
        (-2010, "Order would immediately match and take.", 1, "would_cross"),
        (-2010, "Account has insufficient balance for requested action.", 1, "insufficient_cash"),
        (-2010, "Account has insufficient balance for requested action.", -1, "insufficient_inventory"),
        (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE", 1, "price_out_of_band"),
        (-1013, "Filter failure: NOTIONAL", 1, "min_notional"),
        (-1013, "Filter failure: LOT_SIZE", 1, "quantity_out_of_range"),
        (-1015, "Too many new orders.", 1, "order_limit_10s"),
        (0, "insufficient_cash", 1, "insufficient_cash"),
        (-1000, "An unknown error occurred.", 1, "exchange_refused"),
    ],
)
def test_a_rejection_has_the_journals_word(code, message, side, reason):
    assert reason_of(code, message, side) == reason


def test_a_rejection_ends_the_order_and_is_observed():
    room = Room()
    room.trader.rejected(1, room.us, -2010, "Order would immediately match and take.")
    assert room.engine.open_orders == 1
    assert room.notes.rejects == [("would_cross", -2010)]
    assert room.notes.orders[-1][:2] == ("rejected", 1)


def test_after_a_failed_cancel_the_order_is_wanted_again():
    room = Room()
    room.trader.accepted(1, room.us, 91)
    room.feed(DEPTH, (1, 10_001, STEP), after_us=250_000)
    room.trader.cancel_failed(1, room.us, -2011)
    room.trader.rejected(3, room.us, -2022, "Order cancel-replace failed.")
    room.wire.take()
    room.us += 250_000
    room.trader.act()
    assert room.wire.take() == [("replace", 1, 4, 1, "100.01", "0.1", "LIMIT_MAKER")]


def test_nothing_is_sent_after_the_end():
    room = Room()
    room.wire.take()
    room.trader.end("kill")
    room.feed(DEPTH, (1, 10_001, STEP), after_us=SECOND_US)
    room.trader.filled(1, fill(5))
    room.trader.act()
    assert room.wire.take() == []
    assert room.ledger.position_e8 == 10**7
    assert room.trader.ended == "kill"


def test_the_loop_ends_when_the_watch_says_so():
    looks = []

    def watch(us):
        looks.append(us)
        return "risk limit" if len(looks) == 3 else None

    room = Room(watch=watch)
    assert asyncio.run(room.trader.run()) == "risk limit"
    assert len(looks) == 3


def test_the_end_wakes_the_loop():
    async def ended():
        room = Room()
        task = asyncio.create_task(room.trader.run())
        await asyncio.sleep(0)
        room.trader.end("SIGTERM")
        return await asyncio.wait_for(task, 20)

    assert asyncio.run(ended()) == "SIGTERM"
