# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Fills with a fitted probability per print at our price, for markets with long queues."""

from libc.math cimport exp, log, log1p
from libc.stdint cimport int64_t, uint64_t

from mm.backtest._draws cimport uniform
from mm.backtest.fills.base cimport Order, Top, Trade
from mm.backtest.fills.queue cimport Queue, QueueProbPower

from typing import Any

from mm.backtest.fills.hazard_fit import FEATURES
from mm.backtest import declarations
from mm.errors import UsageError

cdef enum:
    COUNT = 9

cdef double MAX_LOG_RATIO = 8.0  # bound of |ln((print + unit) / (ahead + unit))|
cdef double MAX_SPREAD_TICKS = 20.0  # ticks


cdef class QueueHazard(QueueProbPower):
    """At each print at its price an order fills with a probability fitted to an order log.

    - queue position, prints beyond the price and the other side's best price: as `queue_prob_power`
    - a print at its price from the other side fills it with probability 1/(1 + exp(-x·b)); x are the `FEATURES`: print
      size relative to the lots ahead, share of the level ahead, imbalance and spread of the book before the print, age
      of the order, and whether its price is better or worse than the displayed best price of its side
    - the fill is as large as the print allows; the remainder of the order is first in the queue
    - one draw per print and order, keyed by both

    Args:
        fit: File written by ``mm fills hazard``; it must be of the run's symbol and tick size.
        coefficients: b, one number per feature of `FEATURES`.
        exponent: Exponent of the queue position, as in `queue_prob_power`.
        unit_lots: Typical size of a print in lots, the unit of quantities.
        seed: Seed of all draws.
    """

    declared = declarations.QueueHazard
    cdef uint64_t seed
    cdef double unit_lots
    cdef double b[COUNT]
    cdef double x[COUNT]
    cdef int64_t bid_ticks, ask_ticks, bid_lots, ask_lots
    cdef object watched  # list of (order id, µs, features) per print, collected instead of draws; None: draw

    def __cinit__(self, *_args, **_kwargs) -> None:
        self.by_levels = False  # it reads the lots at the best prices

    def __init__(self, **given: Any) -> None:
        values = self.declared.settle(given)
        coefficients = values["coefficients"]
        if values["fit"] is not None or coefficients is None or len(coefficients) != COUNT:
            raise UsageError(
                f"queue_hazard: give {COUNT} coefficients ({', '.join(FEATURES)}), or a run "
                f'FILL_PARAMS_JSON=\'{{"fit": "<output of mm fills hazard>"}}\''
            )
        for i in range(COUNT):
            self.b[i] = coefficients[i]
        self.exponent, self.unit_lots = values["exponent"], values["unit_lots"]
        self.seed = values["seed"] & 0xFFFFFFFFFFFFFFFF
        self.watched = None
        self.crossed_only = False  # it reads each book

    def parameters(self) -> dict[str, Any]:
        """Return the values of its parameters, by name."""
        values = {"coefficients": [self.b[i] for i in range(COUNT)], "unit_lots": self.unit_lots, "seed": self.seed}
        return {"exponent": self.exponent, **values}

    @property
    def reasons(self) -> tuple[str, ...]:
        """Fill reasons: after a trade, after a book change, drawn (unused)."""
        return "queue_hazard:trade", "queue_hazard:book", "queue_hazard:hazard"

    def watch(self) -> list[tuple[int, int, tuple[float, ...]]]:
        """Disable fills by draws; return the list that collects (order id, µs, features) of each print."""
        self.watched = []
        return self.watched

    cdef void store_top(self, const Top* top) noexcept nogil:
        self.bid_ticks, self.ask_ticks = top.bid_ticks, top.ask_ticks
        self.bid_lots, self.ask_lots = top.bid_lots, top.ask_lots

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        self.store_top(top)
        return Queue.on_rest(self, order, top)

    cdef int64_t on_book(self, Order* order, const Top* top, int64_t elapsed_us) except -1 nogil:
        self.store_top(top)
        return Queue.on_book(self, order, top, elapsed_us)

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        cdef double score = 0.0
        cdef int i
        if trade.side == order.side or order.ticks != trade.ticks or trade.lots <= 0:
            return Queue.on_trade(self, order, trade)
        if order.lots < order.placed_lots:  # partially filled before, so no lots are ahead
            order.ahead_lots = 0.0
            return min(order.lots, trade.lots)
        self.set_features(order, trade)
        Queue.on_trade(self, order, trade)
        if self.watched is not None:
            with gil:
                self.watched.append((order.id, trade.us, tuple([self.x[i] for i in range(COUNT)])))
            return 0
        for i in range(COUNT):
            score += self.b[i] * self.x[i]
        if uniform(self.seed, trade.us, trade.id, order.id) >= 1.0 / (1.0 + exp(-score)):
            return 0
        order.ahead_lots = 0.0
        return min(order.lots, trade.lots)

    cdef void set_features(self, const Order* order, const Trade* trade) noexcept nogil:
        """Set `x` to the `FEATURES` of a print at the order's price."""
        cdef double ahead = order.ahead_lots
        cdef double ratio = log((trade.lots + self.unit_lots) / (ahead + self.unit_lots))
        cdef int64_t best = self.bid_ticks if order.side > 0 else self.ask_ticks
        cdef double ours = <double> (self.bid_lots if order.side > 0 else self.ask_lots)
        cdef double others = <double> (self.ask_lots if order.side > 0 else self.bid_lots)
        cdef double level = max(<double> order.level_lots, ahead)
        cdef int64_t behind = order.side * (best - order.ticks) if best else 0
        ratio = min(max(ratio, -MAX_LOG_RATIO), MAX_LOG_RATIO)
        self.x[0] = 1.0
        self.x[1] = ratio
        self.x[2] = max(ratio, 0.0)
        self.x[3] = ahead / level if level > 0.0 else 0.0
        self.x[4] = (ours - others) / (ours + others) if ours + others > 0.0 else 0.0
        self.x[5] = 0.0
        if self.bid_ticks and self.ask_ticks:
            self.x[5] = log(min(<double> (self.ask_ticks - self.bid_ticks), MAX_SPREAD_TICKS))
        self.x[6] = log1p((trade.us - order.active_us) * 1e-6)
        self.x[7] = 1.0 if behind < 0 else 0.0
        self.x[8] = 1.0 if behind > 0 else 0.0
