"""Virtual orders: their arrival in queues of the market, and their fills under a fill model."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.journal import ACTIONS
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.preset import Hours
from mm.backtest.rules import Rules
from mm.tape.tape import DEPTH, GAP, SNAPSHOT, TRADE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mm.tape.tape import Ints, Tape

    Floats = NDArray[np.float64]
    from collections.abc import Mapping

    from mm.backtest.quotes.base import QuoteView

PLACES = {-1: "inside", 0: "touch", 1: "1 behind", 2: "2 behind"}
"""Ticks behind the best price of its own side at which an order joins, with their names in tables."""
SLOT = 1.25  # lifetimes between two orders of a pass and side; each arrives within the first quarter lifetime
_SELDOM_US = 1 << 50


@dataclass(frozen=True)
class OrderPlan:
    life_us: int
    checks_us: tuple[int, ...]
    passes: int
    seed: int = 0
    hours: Hours | None = None


@dataclass(frozen=True, eq=False)
class VirtualOrders:
    """Minimum orders that join a queue's end, as columns.

    Attributes:
        place: Ticks behind its side's best price; -1 is a tick better.
        life_us: Events at ``us + life_us`` no longer fill it.
        checks_us: After all events of that instant.
    """

    us: "Ints"
    side: "Ints"
    ticks: "Ints"
    place: "Ints"
    turn: "Ints"
    life_us: int
    checks_us: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.us)


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Outcomes of virtual orders, as columns.

    Attributes:
        filled_us: -1 for none.
        ahead: float64[n, checks], lots; 0 after the fill, NaN if unknown.
        sent: It rested: no crossing, and no gap of the book ended it.
    """

    filled_us: "Ints"
    ahead: "Floats"
    sent: "NDArray[np.bool_]"


def draw_orders(tape: "Tape", plan: OrderPlan) -> VirtualOrders:
    """Arrival and place are random; the price follows from the book."""
    draws = np.random.default_rng(plan.seed)
    slot_us = round(SLOT * plan.life_us)
    count = max(0, (tape.end_us - tape.start_us) // slot_us)
    shape = (plan.passes, 2, count)
    begin = tape.start_us + slot_us * np.arange(count) + draws.integers(0, slot_us - plan.life_us, shape)
    place = draws.choice(list(PLACES), shape)
    side = np.broadcast_to(np.array([1, -1])[:, None], shape)
    turn = np.broadcast_to(np.arange(plan.passes)[:, None, None], shape)
    us, side, place, turn = (column.ravel() for column in (begin, side, place, turn))
    order = np.argsort(us, kind="stable")
    us, side, place, turn = us[order], side[order], place[order], turn[order]
    at = np.searchsorted(tape.event_us[tape.top_event], us, side="right") - 1
    bid, ask = (np.where(at >= 0, best[at], 0) for best in (tape.top_bid_ticks, tape.top_ask_ticks))
    ticks = np.where(side > 0, bid, ask) - side * place
    wanted = (bid > 0) & (ask > 0) & (ticks > 0) & (side * (np.where(side > 0, ask, bid) - ticks) > 0)
    breaks_us = tape.event_us[(tape.kind == GAP) | (tape.kind == SNAPSHOT)]
    begun, ended = (np.searchsorted(breaks_us, instants, side="right") for instants in (us, us + plan.life_us))
    wanted &= (begun == ended) & (us + plan.life_us <= tape.end_us)
    wanted &= while_open(tape, plan.hours, us, us + plan.life_us)
    return VirtualOrders(
        us[wanted], side[wanted], ticks[wanted], place[wanted], turn[wanted], plan.life_us, plan.checks_us
    )


def while_open(tape: "Tape", hours: Hours | None, begin_us: "Ints", end_us: "Ints") -> "NDArray[np.bool_]":
    """Whether the market is open from each begin to its end."""
    spans = [(tape.start_us, tape.end_us)] if hours is None else hours.open_spans(tape.start_us, tape.end_us)
    opens, closes = np.array(spans, np.int64).reshape(-1, 2).T
    at = np.searchsorted(opens, begin_us, side="right") - 1
    return (at >= 0) & (end_us <= np.append(closes, 0)[at])


class NoQuotes:
    def quote(self, view: "QuoteView") -> None: ...


def on_exchange_time(tape: "Tape", trade_us: "Mapping[int, int]") -> "Tape":
    """The tape on the exchange's time, as the order log has it."""
    stamped = ((tape.kind == DEPTH) | (tape.kind == TRADE)) & (tape.event_exch_us > 0)
    us = np.where(stamped, tape.event_exch_us, tape.event_us)
    ids = tape.event_id[tape.trades].tolist()
    us[tape.trades] = [trade_us.get(trade, stamp) for trade, stamp in zip(ids, us[tape.trades].tolist(), strict=True)]
    us = np.maximum.accumulate(us)
    moved = replace(tape, event_us=us, event_exch_us=us, start_us=int(us[0]), end_us=int(us[-1]))
    moved.check()
    return moved.with_orders_of(tape)


def play(tape: "Tape", orders: VirtualOrders, fills: Callable[[], object]) -> Outcomes:
    filled_us = np.full(len(orders), -1, np.int64)
    ahead = np.zeros((len(orders), len(orders.checks_us)))
    sent = np.ones(len(orders), bool)
    for turn in np.unique(orders.turn).tolist():
        numbers = np.flatnonzero(orders.turn == turn).tolist()
        exchange = manual_exchange(tape, fills(), orders.life_us)
        number_of = place_orders(exchange, orders, numbers, ahead)
        events = exchange.journal().orders
        columns = (column.tolist() for column in (events.us, events.order_id, events.action))
        for us, order_id, action in zip(*columns, strict=True):
            if ACTIONS[action] == "FILL":
                filled_us[number_of[order_id]] = us
            elif ACTIONS[action] in ("REJECT", "CANCEL_ACK"):
                sent[number_of[order_id]] = False
    if not np.isnan(ahead).all():  # the model has a queue
        checked_us = orders.us[:, None] + np.array(orders.checks_us)
        ahead = np.where((filled_us[:, None] >= 0) & (filled_us[:, None] <= checked_us), 0.0, ahead)
    return Outcomes(filled_us, ahead, sent)


def manual_exchange(tape: "Tape", fills: object, life_us: int = 0) -> PaperExchange:
    grid = tape.instrument
    rules = Rules(
        grid.tick_e8,
        grid.lot_e8,
        order_latency_us=0,
        cancel_latency_us=0,
        requote_us=_SELDOM_US,
        state_us=_SELDOM_US,
        ttl_us=life_us,
        step_lots=tape.step_lots,
        enforce_balances=False,
        own_orders_meet=False,
    )
    exchange = PaperExchange(NoQuotes(), fills, rules)
    exchange.attach(tape)
    return exchange


def place_orders(
    exchange: PaperExchange,
    orders: VirtualOrders,
    numbers: list[int],
    ahead: "Floats",
) -> dict[int, int]:
    number_of: dict[int, int] = {}
    placed: dict[int, int] = {}
    step_lots = exchange.rules.step_lots
    due = [(int(orders.us[number]), 0, number) for number in numbers]
    due += [(us + after, check, number) for us, _, number in due for check, after in enumerate(orders.checks_us, 1)]
    for us, entries in groupby(sorted(due), key=lambda entry: entry[0]):
        exchange.advance(us)
        due_now = list(entries)
        for _, action, number in due_now:
            if action == 0:
                placed[number] = exchange.place(int(orders.side[number]), int(orders.ticks[number]), step_lots)
                number_of[placed[number]] = number
        exchange.advance(us)
        for _, action, number in due_now:
            if action:
                known = exchange.ahead_lots(placed[number])
                ahead[number, action - 1] = np.nan if known is None else known * step_lots
    exchange.advance(int(orders.us[-1]) + orders.life_us)
    return number_of
