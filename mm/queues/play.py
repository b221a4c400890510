"""Phantoms sent by hand to the paper exchange: what a fill model makes of them on the tape."""

from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from mm.backtest.journal import ACTIONS
from mm.backtest.paper_exchange import PaperExchange
from mm.backtest.rules import Rules
from mm.queues.phantoms import Fates, Phantoms
from mm.tape.tape import DEPTH, TRADE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mm.backtest.quotes.base import QuoteView
    from mm.queues.phantoms import Floats
    from mm.tape.tape import Ints, Tape

_SELDOM_US = 1 << 50


class Silent:
    """A quote model that wants nothing."""

    def quote(self, view: "QuoteView") -> None:
        """Answer that no quote is wanted."""


def on_exchange_time(tape: "Tape", trade_us: "Mapping[int, int]") -> "Tape":
    """Return *tape* as it happened at the exchange, whose order log is in exchange time too.

    A print has the instant that *trade_us* names for its id, else its stamp, which is cut down to ms; a depth message
    has its stamp; what has none keeps the instant of its receipt. The order of the events stays.
    """
    stamped = ((tape.kind == DEPTH) | (tape.kind == TRADE)) & (tape.event_exch_us > 0)
    us = np.where(stamped, tape.event_exch_us, tape.event_us)
    ids = tape.event_id[tape.trades].tolist()
    us[tape.trades] = [trade_us.get(trade, stamp) for trade, stamp in zip(ids, us[tape.trades].tolist(), strict=True)]
    us = np.maximum.accumulate(us)
    moved = replace(tape, event_us=us, start_us=int(us[0]), end_us=int(us[-1]))
    moved.check()
    return moved


def play(tape: "Tape", phantoms: Phantoms, fills: Callable[[], object]) -> Fates:
    """Return what a fill model makes of *phantoms*; each pass has an exchange and a model of its own.

    Args:
        tape: The market, on the clock of the phantoms.
        phantoms: The orders; those of one pass and side must not be alive at once, so that none takes another's print.
        fills: Makes the fill model.
    """
    filled_us = np.full(len(phantoms), -1, np.int64)
    ahead = np.zeros((len(phantoms), len(phantoms.checks_us)))
    sent = np.ones(len(phantoms), bool)
    for turn in np.unique(phantoms.turn).tolist():
        numbers = np.flatnonzero(phantoms.turn == turn).tolist()
        exchange = by_hand(tape, fills(), phantoms.life_us)
        orders = _played(exchange, phantoms, numbers, ahead)
        for us, order_id, action in exchange.journal().orders[:, :3].tolist():
            if ACTIONS[action] == "FILL":
                filled_us[orders[order_id]] = us
            elif ACTIONS[action] in ("REJECT", "CANCEL_ACK"):
                sent[orders[order_id]] = False
    return Fates(filled_us, _settled(ahead, filled_us, phantoms), sent)


def by_hand(tape: "Tape", fills: object, life_us: int = 0) -> PaperExchange:
    """Return an exchange at which nothing but orders placed by hand happens, and those without delay."""
    grid = tape.instrument
    rules = Rules(
        grid.tick_e8,
        grid.lot_e8,
        order_latency_us=0,
        cancel_latency_us=0,
        requote_us=_SELDOM_US,
        state_us=_SELDOM_US,
        ttl_us=life_us,
        enforce_balances=False,
    )
    exchange = PaperExchange(Silent(), fills, rules)
    exchange.attach(tape)
    return exchange


def _played(
    exchange: PaperExchange,
    phantoms: Phantoms,
    numbers: list[int],
    ahead: "Floats",
) -> dict[int, int]:
    """Place and look at the orders of a pass; return which order of the exchange is which phantom."""
    named: dict[int, int] = {}
    placed: dict[int, int] = {}
    due = [(int(phantoms.us[number]), 0, number) for number in numbers]
    due += [(us + after, check, number) for us, _, number in due for check, after in enumerate(phantoms.checks_us, 1)]
    for us, actions in groupby(sorted(due), key=lambda one: one[0]):
        exchange.advance(us)
        looked = list(actions)
        for _, what, number in looked:
            if what == 0:
                placed[number] = exchange.place(int(phantoms.side[number]), int(phantoms.ticks[number]), 1)
                named[placed[number]] = number
        exchange.advance(us)
        for _, what, number in looked:
            if what:
                known = exchange.ahead_lots(placed[number])
                ahead[number, what - 1] = np.nan if known is None else known
    exchange.advance(int(phantoms.us[-1]) + phantoms.life_us)
    return named


def _settled(ahead: "Floats", filled_us: "Ints", phantoms: Phantoms) -> "Floats":
    """Return the places with those of orders that had filled at 0, where the model keeps a queue at all."""
    keeps = ~np.isnan(ahead).all()
    looked_us = phantoms.us[:, None] + np.array(phantoms.checks_us)
    done = (filled_us[:, None] >= 0) & (filled_us[:, None] <= looked_us)
    return np.where(done & keeps, 0.0, ahead)
