"""Journals for tests, written by a scribe that keeps the account as the engine does, from drawn or seeded steps."""

import numpy as np
from hypothesis import strategies as st

from mm.backtest.journal import ACTIONS, REJECT_REASONS, STATUSES, Fills, Journal, Orders, State
from mm.instrument import Instrument

START_US = 1_765_868_400_000_000
BTCUSDT = Instrument("BTCUSDT", tick_e8=1_000_000, lot_e8=1_000, base_asset="BTC", quote_asset="USDT")
REASONS = ("trade_cross:trade", "queue:book")


def table_of(lives):
    """Return the rows of `lives_of`."""
    columns = (lives.sent_us, lives.active_us, lives.side, lives.ticks, lives.lots, lives.end_us, lives.rejected)
    return np.stack(columns, axis=1)


class Scribe:
    """Appends consistent rows: inventory, cash and fees follow from the fills."""

    def __init__(self, *, initial_lots=0, fee_rate=0.001, instrument=BTCUSDT, reasons=REASONS):
        self.instrument, self.fee_rate, self.reasons = instrument, fee_rate, reasons
        self.us, self.mid2, self.last_mid2, self.open = START_US, 0, 0, 0
        self.inventory, self.cash_tl, self.fees_e8 = initial_lots, 0, 0
        self.orders, self.fills, self.states, self.mids, self.spans = [], [], [], [], []
        self.last_id = 0
        self.valid_us = self.invalid_us = self.two_sided_us = 0
        self.expected_fills = None

    def wait(self, us):
        if self.mid2 and us:
            goes_on = self.spans and self.spans[-1][1] == self.us
            begin_us = self.spans.pop()[0] if goes_on else self.us
            self.spans.append((begin_us, self.us + us))
        self.valid_us += us if self.mid2 else 0
        self.invalid_us += 0 if self.mid2 else us
        self.two_sided_us += us if self.mid2 and self.open >= 2 else 0
        self.us += us

    def move(self, mid2):
        if mid2 != self.mid2:
            self.mid2, self.last_mid2 = mid2, mid2 or self.last_mid2
            self.mids.append((self.us, mid2))

    def state(self):
        self.states.append((self.us, self.inventory, self.cash_tl, self.fees_e8, self.last_mid2, self.open))

    def order(self, action, status, order_id, order, **instants):
        times = [instants.get(name, -1) for name in ("active", "expire", "cancel_req", "cancel_effective")]
        codes = [ACTIONS.index(action), STATUSES.index(status)]
        reasons = [instants.get("reject", 0), instants.get("cancel", 0)]
        self.orders.append((self.us, order_id, *codes, *order, order[2], *times, *reasons))

    def place(self, side, ticks, lots):
        self.last_id += 1
        self.open += 1
        self.order("PLACE", "SENT", self.last_id, (side, ticks, lots), active=self.us + 50_000)
        return self.last_id

    def cancel(self, order_id, side, ticks, lots):
        self.open -= 1
        instants = {"cancel_req": self.us, "cancel_effective": self.us + 25_000, "cancel": 1}
        self.order("CANCEL_REQ", "CANCELLING", order_id, (side, ticks, lots), **instants)

    def skip(self, side, ticks, lots, reject=2):
        self.order("SKIP", "REJECTED", 0, (side, ticks, lots), reject=reject)

    def fill(self, order_id, side, ticks, lots, reason=0):
        notional = ticks * lots * self.instrument.tick_e8 * self.instrument.lot_e8
        fee_e8 = round(notional * self.fee_rate / 10**8)
        self.inventory += side * lots
        self.cash_tl -= side * ticks * lots
        self.fees_e8 += fee_e8
        self.fills.append((self.us, order_id, side, ticks, lots, fee_e8, reason, self.mid2, self.inventory))
        self.state()

    def journal(self):
        def table(rows, columns):
            """Columns after those that the scribe knows are 0."""
            made = np.zeros((len(rows), len(columns)), np.int64)
            if rows:
                made[:, : len(rows[0])] = rows
            return made

        counters = {
            "valid_us": self.valid_us,
            "invalid_us": self.invalid_us,
            "two_sided_us": self.two_sided_us,
            "first_us": START_US,
            "last_us": self.us,
            "events": 2 * len(self.mids),
            "rows": 5 * len(self.mids),
            "expected_fills": self.expected_fills,
        }
        return Journal(
            orders=table(self.orders, Orders.names()),
            fills=table(self.fills, Fills.names()),
            state=table(self.states, State.names()),
            mids=table(self.mids, ("us", "mid2")),
            spans=table(self.spans, ("begin_us", "end_us")),
            fill_reasons=tuple(self.reasons),
            counters=counters,
        )


def run_terms(instrument=BTCUSDT, **changes):
    from mm.backtest.run_terms import RunTerms

    terms = {
        "instrument": instrument,
        "days": ("20251216",),
        "quote_model": "avellaneda_stoikov",
        "fill_model": "trade_cross",
        "initial_cash_e8": 1_000 * 10**8,
        "quote_lots": 100,
    }
    return RunTerms(**(terms | changes))


@st.composite
def scribes(draw, max_steps=40):
    """Draw a run: mid moves, book breaks, orders placed, cancelled and partly filled, and state rows."""
    instrument = Instrument(
        draw(st.sampled_from(["BTCUSDT", "SIMUSDT"])),
        tick_e8=draw(st.sampled_from([1, 3, 10_000, 1_000_000, 1_000_003, 2_500_000_000])),
        lot_e8=draw(st.sampled_from([1, 7, 1_000, 100_000_000])),
        base_asset="BTC",
        quote_asset="USDT",
    )
    scribe = Scribe(
        initial_lots=draw(st.integers(-1_000, 1_000)),
        fee_rate=draw(st.sampled_from([0.0, 0.001])),
        instrument=instrument,
    )
    mid2 = draw(st.integers(2_000, 20_000_000))
    if draw(st.booleans()):
        scribe.move(mid2)
    scribe.state()
    live = {}
    steps = st.tuples(
        st.sampled_from(["move", "break", "place", "cancel", "fill", "fill", "skip", "state", "state"]),
        st.integers(0, 90_000_000),
        st.integers(-50, 50),
        st.integers(1, 1_000),
    )
    for kind, wait_us, ticks, lots in draw(st.lists(steps, max_size=max_steps)):
        scribe.wait(wait_us)
        side = 1 if ticks > 0 else -1
        if kind == "move":
            mid2 += ticks
            scribe.move(mid2)
        elif kind == "break":
            scribe.move(0)
        elif kind == "place":
            live[scribe.place(side, mid2 // 2 + ticks, lots)] = [side, mid2 // 2 + ticks, lots]
        elif kind == "skip":
            scribe.skip(side, mid2 // 2 + ticks, lots)
        elif kind == "cancel" and live:
            order_id, order = live.popitem()
            scribe.cancel(order_id, *order)
        elif kind == "fill" and live:
            order_id, order = next(iter(live.items()))
            part = min(lots, order[2])
            scribe.fill(order_id, order[0], order[1], part, reason=lots % 2)
            order[2] -= part
            if not order[2]:
                del live[order_id]
        else:
            scribe.state()
    scribe.state()
    return scribe


def seeded(seconds, *, seed=1, orders_a_second=4, fill_chance=0.1, breaks=2, fee_rate=0.0, reasons=REASONS):
    """Return a long run from one seed: a state row per second, orders on both sides, fills near the mid."""
    random = np.random.default_rng(seed)
    scribe = Scribe(fee_rate=fee_rate, reasons=reasons)
    walk = 17_400_000 + np.cumsum(random.normal(0, 60, seconds)).astype(int)
    broken = {s + i for s in random.integers(0, seconds, breaks).tolist() for i in range(seconds // 100)}
    if 0 not in broken:
        scribe.move(int(walk[0]))
    for second in range(seconds):
        scribe.state()
        scribe.move(0 if second in broken else int(walk[second]))
        mid = scribe.mid2 // 2
        for _ in range(orders_a_second if mid else 0):
            side = 1 if random.random() < 0.5 + scribe.inventory * -0.00008 else -1
            ticks, lots = mid - side * int(random.integers(5, 120)), 100
            order_id = scribe.place(side, ticks, lots)
            scribe.wait(1_000_000 // orders_a_second)
            if random.random() < fill_chance:
                scribe.fill(order_id, side, ticks, int(random.choice([100, 100, 60])), reason=0)
                scribe.open -= 1
            else:
                scribe.cancel(order_id, side, ticks, lots)
        if not mid:
            scribe.wait(1_000_000)
    scribe.state()
    return scribe


def journal_of(fills, mids, *, orders=(), state=(), spans=None, **counters):
    """Return a journal of these rows."""
    tables = np.array(orders, np.int64).reshape(-1, len(Orders.names())), np.array(fills, np.int64)
    tables = *tables, np.array(state, np.int64).reshape(-1, len(State.names())), mids
    return Journal(*tables, counters=counters, **({} if spans is None else {"spans": spans}))


def reacted(*rows):
    """Return a journal of order rows by action, status and reject reason alone."""
    table = np.zeros((len(rows), len(Orders.names())), np.int64)
    for row, (action, status, reason) in zip(table, rows, strict=True):
        row[[2, 3, 12]] = ACTIONS.index(action), STATUSES.index(status), REJECT_REASONS.index(reason)
    return journal_of(np.empty((0, 9)), np.empty((0, 2), np.int64), orders=table)
