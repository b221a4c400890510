# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""A grid: several prices per side, on multiples of a step, so that orders keep their places while the mid moves."""

from libc.math cimport INFINITY, ceil, floor
from libc.stdint cimport int64_t

from mm.backtest.fills.base cimport BEST_PRICES
from mm.backtest.quotes.base cimport QuoteModel, View, Want, clips_held, want_level

from typing import Any

from mm.backtest.parameters import DELTA_TICKS, Q_MAX, SKEW_TICKS, TICKS, Check, Declaration, Parameter

cdef double MOST_LOTS = 4e18            # what a whole number holds
MOST_LEVELS = 1_000


cdef class PriceGrid(QuoteModel):
    """Quote ``levels`` prices per side, multiples of ``step_ticks``, from ``delta_ticks`` off the centre outwards.

    The centre is ``mid - skew_ticks·q``, q the inventory in clips. No bid lies above the best bid, no ask below the
    best ask. Each price has a clip; the prices nearest to the mid share what a bound of the inventory leaves.
    """

    declared = Declaration(
        "grid",
        (
            DELTA_TICKS.means("Distance of the first price of each side from the centre."),
            Parameter(
                "levels",
                int,
                "Prices per side.",
                must=Check(f"be from 1 to {MOST_LEVELS}", lambda value: 1 <= value <= MOST_LEVELS),
            ),
            Parameter(
                "step_ticks",
                int,
                "From one price to the next; every price is a multiple of it.",
                unit=TICKS,
                must=Check("be 1 or more", lambda value: 1 <= value <= 1_000_000_000),
            ),
            SKEW_TICKS.means("How far the centre moves per clip held."),
            Q_MAX.means("Bound of the inventory, either way from the target; bids and asks beyond it are left out."),
            Parameter("on_best", bool, "Requote at each change of a best price too, not at the grid of requotes alone.", False),
        ),
    )
    cdef readonly double delta_ticks, skew_ticks, q_max
    cdef readonly int64_t levels, step_ticks
    cdef readonly bint on_best

    def __init__(self, **given: Any) -> None:
        values = self.declared.settle(given)
        self.delta_ticks, self.skew_ticks = values["delta_ticks"], values["skew_ticks"]
        self.levels, self.step_ticks, self.on_best = values["levels"], values["step_ticks"], values["on_best"]
        self.q_max = INFINITY if values["q_max"] is None else values["q_max"]
        self.looks, self.timeless = BEST_PRICES, not self.on_best

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double centre = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks) - self.skew_ticks * clips_held(view)
        cdef double step = <double> self.step_ticks
        cdef double bid = floor(min(centre - self.delta_ticks, <double> view.top.bid_ticks) / step) * step
        cdef double ask = ceil(max(centre + self.delta_ticks, <double> view.top.ask_ticks) / step) * step
        cdef int64_t most = <int64_t> min(self.q_max * <double> view.quote_lots, MOST_LOTS)
        cdef int64_t held = view.inventory_lots - view.target_lots
        want.laddered, want.on_best = True, self.on_best
        self.fill_side(want, 1, bid, most - held, view.quote_lots)
        self.fill_side(want, -1, ask, most + held, view.quote_lots)
        return 0

    cdef inline int fill_side(self, Want* want, int64_t side, double ticks, int64_t room, int64_t clip) except -1 nogil:
        """Add the prices of a side, from *ticks* outwards, until *room* lots are full."""
        cdef int64_t i
        for i in range(self.levels):
            if room <= 0:
                break
            want_level(want, side, ticks - <double> (side * i * self.step_ticks), min(clip, room))
            room -= clip
        return 0
