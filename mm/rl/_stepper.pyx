# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""The loop between two decisions: takes an action, plays to the next decision, returns observation and reward.

A decision is made at a requote. To make it outside, the requote that needs it leaves our orders unchanged (`Driven`),
the engine stops there, and the requote is repeated once the action is set. The result equals a backtest's whose
quote model decides at that requote itself (tests/rl/test_stepper.py).
"""

from libc.math cimport exp, isnan
from libc.stdint cimport int64_t

from mm.backtest.engine._account cimport cash_e16, wide
from mm.backtest.engine._order_manager cimport OrderManager
from mm.backtest.engine._paper_venue cimport PaperVenue
from mm.backtest.engine._records cimport Table
from mm.backtest.fills.base cimport LIMIT_MAKER
from mm.backtest.quotes.base cimport View, Want
from mm.backtest.quotes.simple cimport Agent
from mm.backtest.quotes.steps cimport Step

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mm.backtest.quotes.simple import strategy_of
from mm.backtest.quotes.agent_file import CHOICES

if TYPE_CHECKING:
    from mm.backtest.paper_exchange import PaperExchange
    from mm.backtest.quotes.agent_file import AgentTerms

REWARDS = ("pnl", "spread_inventory", "utility")

cdef enum Reward:  # indices into REWARDS
    PNL, SPREAD_INVENTORY, UTILITY

cdef double STEEPEST = 20.0             # upper bound of the exponent of a utility


cdef class Driven(Step):
    """The strategy of an agent whose actions are set from outside."""

    cdef Agent agent
    cdef bint acts                      # whether the action of the due decision is set
    cdef int64_t waits_us               # instant of the requote that waits for an action; -1 for none

    def __init__(self, terms: AgentTerms) -> None:
        self.agent = Agent(terms)
        Step.__init__(self, strategy_of(self.agent))
        self.waits_us = -1

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        if self.acts or not self.agent.is_due(view):
            self.acts = False
            return self.inner.quote(view, want)
        self.agent.observe(view)
        self.waits_us = view.top.us
        want.bid_ticks, want.ask_ticks = view.own_ticks[1], view.own_ticks[0]
        return 0


cdef class Stepper:
    """One episode: an external agent on a paper exchange with its tape attached.

    Args:
        start_us: Start of the episode.
        reward: One of ``REWARDS``.
        weight: For ``spread_inventory`` phi, in ticks/(clip·s); for ``utility`` gamma, in 1/(tick·clip).

    Attributes:
        equity: Cash and inventory at the mid, in the quote asset.
        inventory: In the base asset.
        decisions: Number of decisions made.
    """

    cdef OrderManager manager
    cdef PaperVenue venue
    cdef Driven driven
    cdef object advance, all_fills
    cdef int64_t now_us, end_us, requote_us, counted, target_lots
    cdef int kind
    cdef double weight, clip_tick, lot, step_s, begun_equity, paid
    cdef readonly double equity, inventory
    cdef readonly int64_t decisions
    cdef readonly bint ended

    def __init__(
        self, exchange: PaperExchange, driven: Driven, start_us: int, end_us: int, reward: str, weight: float
    ) -> None:
        rules = exchange.rules
        self.manager, self.driven = exchange.engine.manager, driven
        self.venue = <PaperVenue?> self.manager.venue
        self.advance, self.all_fills = exchange.engine.advance, exchange.engine.fills_from
        self.now_us, self.end_us, self.requote_us = start_us, end_us, rules.requote_us
        self.target_lots = rules.target
        self.kind, self.weight = REWARDS.index(reward), weight
        self.lot = 1e-8 * rules.lot_e8
        self.clip_tick = 1e-16 * rules.tick_e8 * rules.lot_e8 * rules.quote_lots
        self.step_s = 1e-6 * driven.agent.step_us
        self.ended = False
        self.advance(start_us)
        self.find_decision(start_us)
        self.value()
        self.begun_equity = self.equity

    cdef int find_decision(self, int64_t us) except -1:
        """Play until a decision is due, or the tape ends; time without a book has no decisions, and is not counted."""
        while self.driven.waits_us < 0 and us < self.end_us:
            us = min(us + self.requote_us, self.end_us)
            self.advance(us)
        self.now_us, self.ended = us, us >= self.end_us
        return 0

    cdef void value(self) noexcept nogil:
        cdef wide twice = 2 * cash_e16(&self.manager.orders.account)
        twice += (
            <wide> self.manager.orders.account.inventory_lots
            * self.manager.orders.records.mid2
            * self.manager.orders.account.unit_e16
        )
        self.equity = <double> twice / 2e16
        self.inventory = self.lot * <double> self.manager.orders.account.inventory_lots

    cdef double earned(self) noexcept nogil:
        """Return the cumulative reward since the start of the episode, for PnL and utility."""
        cdef double gained = self.equity - self.begun_equity
        if self.kind == PNL:
            return gained
        return (1.0 - exp(min(-self.weight * gained / self.clip_tick, STEEPEST))) / self.weight

    cdef double captured(self) noexcept nogil:
        """Return the gain of fills since the last call against the mid, after fees, in the quote asset."""
        cdef Table* table = &self.manager.orders.records.fills
        cdef const int64_t* row
        cdef double total = 0.0
        cdef wide twice
        while self.counted < table.rows:
            row = table.cells + self.counted * table.width  # id, side, ticks, lots, fee, reason, twice the mid
            twice = <wide> row[2] * (row[7] - 2 * row[3]) * row[4] * self.manager.orders.account.unit_e16
            total += <double> (twice - 2 * <wide> row[5] * 100000000) / 2e16
            self.counted += 1
        return total

    def observe(self) -> NDArray[np.float32]:
        """Return the observation, float32[inputs]."""
        cdef float[::1] row
        cdef int place
        found = np.empty(self.driven.agent.inputs, np.float32)
        row = found
        for place in range(self.driven.agent.inputs):
            row[place] = <float> self.driven.agent.seen[place]
        if self.decisions and self.decisions % self.driven.agent.episode == 0:
            row[self.driven.agent.count + 1] = 0.0  # no time is left; an agent that continues would restart
        return found

    def observed(self) -> NDArray[np.float64]:
        """Return the input of the due decision, float64[inputs], before it is rounded for `observe`."""
        cdef int place
        return np.array([self.driven.agent.seen[place] for place in range(self.driven.agent.inputs)])

    def fills(self) -> list[tuple[int, int, int, int, int]]:
        """Each as instant, order id, side, ticks, lots."""
        found: list[tuple[int, int, int, int, int]] = self.all_fills(0)
        return found

    def choose(self, const double[::1] action) -> None:
        """Bid offset, ask offset, size; ValueError if invalid."""
        if action.shape[0] != 3 or isnan(action[0] + action[1] + action[2]):
            raise ValueError(f"the action is {np.asarray(action)}; it must be three numbers from -1 to 1")
        self.driven.agent.choose(&action[0])

    def pick(self, int choice) -> None:
        """By index; ValueError if there is none."""
        if not 0 <= choice < CHOICES:
            raise ValueError(f"the action is {choice}; it must be a number from 0 to {CHOICES - 1}")
        self.driven.agent.pick(choice)

    def step(self) -> float:
        """Act, and play to the next decision; return the reward."""
        cdef double reward, clips
        cdef int64_t us = self.driven.waits_us
        if us >= 0:
            self.driven.acts, self.driven.waits_us = True, -1
            self.manager.requote(us, &self.venue.touch)
            self.decisions += 1
        us = min(max(self.driven.agent.next_us, self.now_us + 1), self.end_us)
        self.advance(us)
        self.find_decision(us)
        self.value()
        if self.kind == SPREAD_INVENTORY:
            clips = <double> (self.manager.orders.account.inventory_lots - self.target_lots) / <double> self.manager.quote_lots
            return self.captured() - self.weight * self.clip_tick * clips * clips * self.step_s
        # Differences of float sums: the sum of all rewards is the total change, to one rounding.
        reward = self.earned() - self.paid
        self.paid += reward
        return reward
