"""Drawn markets of single orders: their order logs, tapes that show them, and whole runs on both engines."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from hypothesis import strategies as st

import engine_draws
from engine_cases import Case, FixedSpread, oracle_tapes
from engine_tapes import TEST
from mm import Rules, Tape
from mm.dayfolder.layout import ORDER_COLUMNS, ROW_LEVEL, ROW_NEW, ROW_TRADE
from mm.probes.log_tape import _events
from mm.sim.flow.recorder import Batches
from mm.sim.matching._core import Matching
from mm.sim.matching.order_log import IOC, LIMIT, MAKER, MARKET, WOULD_CROSS
from mm.tape.order_index import order_index
from oracle_orders import LoggedBacktest, OrderLists, log_rows

BEGIN_US, BASE = 1_000_000_000, 100
COMMAND = st.tuples(
    st.sampled_from([0, 0, 1, 1, 1, 2, 3, 7]),  # units of time since the command before
    st.sampled_from(["submit"] * 6 + ["cancel", "cancel", "reduce", "replace"]),
    st.sampled_from([1, -1]),
    st.integers(-2, 3),  # ticks behind the middle
    st.integers(1, 6),
    st.sampled_from([LIMIT] * 6 + [MAKER, IOC, IOC, MARKET]),
    st.integers(0, 30),  # which of the orders
)
OPENING = [(0, "submit", side, away, 3, LIMIT, 0) for away in (1, 1, 2) for side in (1, -1)]


def market_log(commands, unit):
    """Return the order log of drawn commands, int64[n, 10]."""
    market, us, ids = Matching(first_order_id=5, first_trade_id=1, first_update_id=1), BEGIN_US, []
    for wait, action, side, away, lots, kind, which in [*OPENING, *commands]:
        us += wait * unit
        number = ids[which % len(ids)] if ids else 0
        if action == "submit":
            number = market.submit(us, 1 + len(ids) % 3, side, 0 if kind == MARKET else BASE - side * away, lots, kind)
        elif action == "cancel":
            market.cancel(us, number)
        elif action == "reduce":
            if (order := market.order(number)) and lots < order[3]:
                market.reduce(us, number, lots)
            continue
        else:
            number = market.replace(us, number, BASE - side * away, lots)
        if number not in (0, WOULD_CROSS):
            ids.append(number)
    return market.take_log()


def columns_of(log):
    """Return a log by the names of its columns."""
    return dict(zip(ORDER_COLUMNS, np.asarray(log, np.int64).reshape(-1, len(ORDER_COLUMNS)).T, strict=True))


def tape_of(log, step_us, until_us=None):
    """Return the tape of a log: trades at once, and the changed levels each *step_us*."""
    messages, levels = Batches(BEGIN_US, step_us).messages_of(np.ascontiguousarray(log))
    events = [(BEGIN_US, "snapshot", [], []), *_events(messages, levels)]
    tape = Tape.of(TEST, events)
    if until_us is not None:
        tape = tape.restamped(tape.event_us, tape.start_us, max(until_us, tape.end_us))
    return tape.with_orders(lambda: order_index([columns_of(log)]))


def off_price(log, moves):
    """Return a log in which some executions are at another price than their order's."""
    log = log.copy()
    trades = np.flatnonzero(log[:, ORDER_COLUMNS.index("kind")] == 2)
    for row, ticks in zip(trades, moves, strict=False):
        log[row, ORDER_COLUMNS.index("ticks")] += ticks
    return log


@dataclass(frozen=True)
class OrderCase(Case):
    """A case on a market of single orders; `log` are its rows."""

    log: np.ndarray = None
    reading: str = "print"

    def oracle(self):
        quotes = FixedSpread(self.answers) if isinstance(self.answers, float) else self.scripted()
        backtest = LoggedBacktest(quotes.quote, OrderLists(self.reading), self.rules, bound=self.bound)
        backtest.begin_log(log_rows(self.log.tolist()))
        results = self.play(backtest, oracle_tapes(self.tapes))
        return backtest.left(), (getattr(quotes, "seen", []), [], results)


NEAR = st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, -1]), st.sampled_from([0, 0, 0, 1, -1])), min_size=1).map(tuple)
"""Quotes at the best prices, or next to these."""


def fillable(unit):
    """Draw rules under which most orders rest until they fill."""
    return st.builds(
        partial(Rules, TEST.tick_e8, TEST.lot_e8, enforce_balances=False, state_us=50 * unit),
        order_latency_us=st.sampled_from([0, 1, unit]),
        cancel_latency_us=st.sampled_from([0, unit, 2 * unit]),
        requote_us=st.sampled_from([unit, 3 * unit, 20 * unit]),
        quote_lots=st.sampled_from([1, 2, 4, 9]),
        quote_levels=st.sampled_from([1, 1, 2, 3]),
        step_lots=st.sampled_from([1, 1, 1, 2]),
        ttl_us=st.sampled_from([0, 0, 0, 30 * unit]),
        own_orders_meet=st.booleans(),
        order_modify=st.booleans(),
    )


@st.composite
def order_cases(draw):
    """Draw a case."""
    unit = draw(st.sampled_from([1, 3, 1_000, 100_000]))
    commands = draw(st.one_of(st.lists(COMMAND, max_size=12), st.lists(COMMAND, min_size=10, max_size=60)))
    log = market_log(commands, unit)
    reading = draw(st.sampled_from(["print", "order"]))
    played = off_price(log, draw(st.lists(st.sampled_from([0, 0, 0, 1, -1]), max_size=20)))
    tape = tape_of(
        log, draw(st.sampled_from([1, unit, 3 * unit])), draw(st.sampled_from([None, BEGIN_US + 200 * unit]))
    )
    tape = tape.with_orders(lambda: order_index([columns_of(played)]))
    manual = draw(engine_draws.hands([tape])) if draw(st.booleans()) else ()
    answers, rules = (
        draw(st.one_of(engine_draws.QUOTES, NEAR)),
        draw(st.one_of(engine_draws.rules(unit), fillable(unit))),
    )
    if rules.feed_kind != "none":
        rules = rules.without_feed()
    bound = draw(st.sampled_from([None, None, 1, 3]))
    fills = ("queue_orders", reading)
    return OrderCase((tape,), answers, fills, rules, manual, True, False, bound, log=played, reading=reading)


OURS = 9_999
"""Our account among those of the market."""


def without_us(log):
    """Return a log without our orders: what they executed was executed against nothing displayed."""
    own = {row[2] for row in log.tolist() if row[1] == ROW_NEW and row[4] == OURS}
    shown, rows = {}, []
    for row in log.tolist():
        at = row[5], row[6]
        if row[1] == ROW_TRADE:
            rows.append([*row[:3], 0 if row[3] in own else row[3], *row[4:]])
        elif row[2] in own:
            shown[at] = row[7] - total(rows, at) if row[1] == ROW_LEVEL else shown.get(at, 0)
        elif row[1] == ROW_LEVEL:
            rows.append([*row[:7], row[7] - shown.get(at, 0), *row[8:]])
        else:
            rows.append(row)
    return np.array(rows, np.int64)


def total(rows, at):
    """Return the lots displayed at a side and price after *rows*."""
    return next((row[7] for row in reversed(rows) if row[1] == ROW_LEVEL and (row[5], row[6]) == at), 0)
