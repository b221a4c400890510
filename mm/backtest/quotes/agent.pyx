# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Quotes by a trained agent: it observes and decides at fixed intervals, and its action holds until the next decision.

An action is two offsets, which move bid and ask from their base prices, and a size. The base prices are at the distance
of the training, or one tick behind the touch if it had none. `mm.rl` trains such agents.
"""

from libc.math cimport NAN, isnan
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from mm.backtest.quotes.base cimport QuoteModel, View, Want, clips_held

from pathlib import Path
from typing import Any

from mm.backtest import declarations
from mm.backtest.parameters import declares
from mm.backtest.quotes.agent_file import AGENT, OFFSETS, OWN_INPUTS, SIZES, AgentTerms, SavedAgent, read_agent
from mm.backtest.quotes.steps import InventoryBound, PostOnly

cdef double INPUT_BOUND = 5.0           # bound of the absolute value of an input
cdef double[5] OFFSET
cdef double[3] SIZE
OFFSET, SIZE = OFFSETS, SIZES
assert len(OWN_INPUTS) == OWN



cdef inline double bounded(double value) noexcept nogil:
    """Return an input clipped to its bounds, 0 if unknown."""
    return 0.0 if isnan(value) else min(max(value, -INPUT_BOUND), INPUT_BOUND)


cdef class Agent(QuoteModel):
    """Quotes set by the action of the last decision.

    Args:
        terms: Its observations and the meaning of its actions.
        saved: The agent whose network decides; None if actions are set from outside.
    """

    def __init__(self, terms: AgentTerms, saved: SavedAgent | None = None) -> None:
        if self.seen is not NULL:
            raise ValueError("an agent cannot be initialised twice")
        self.name, self.terms, self.sha256 = AGENT, terms, "" if saved is None else saved.sha256
        self.network = None if saved is None else saved.network()
        self.signals, self.needs_own_orders, self.discrete = terms.signals, True, terms.discrete
        self.inputs, self.count = terms.inputs, len(terms.signals)
        self.places = <int64_t*> calloc(self.count + 1, sizeof(int64_t))
        self.scales = <Scale*> calloc(self.count + 1, sizeof(Scale))
        self.seen = <double*> calloc(self.inputs, sizeof(double))
        self.answer = <double*> calloc(terms.outputs, sizeof(double))
        if self.places is NULL or self.scales is NULL or self.seen is NULL or self.answer is NULL:
            raise MemoryError(f"no memory for an agent of {self.inputs} inputs")
        for place in range(self.count):
            self.scales[place] = Scale(terms.means[place], terms.scales[place])
        self.tick, self.max_offset_ticks, self.q_max = 1e-8 * terms.tick_e8, terms.max_offset_ticks, terms.q_max
        self.distance_ticks = NAN if terms.distance_ticks is None else terms.distance_ticks
        self.usual_distance_ticks, self.usual_queue = terms.usual_distance_ticks, terms.usual_queue
        self.step_us = round(1e6 * terms.step_s)
        self.episode = max(round(terms.episode_s / terms.step_s), 1)
        self.last_us = -1

    def __dealloc__(self) -> None:
        free(self.places)
        free(self.scales)
        free(self.seen)
        free(self.answer)

    cdef int bind(self, tuple names) except -1:
        for place, name in enumerate(self.signals):
            self.places[place] = names.index(name)
        return 0

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double bid, ask, mid = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks)
        cdef int64_t clips
        if self.is_due(view):
            self.observe(view)
            if self.network is not None:
                self.network.forward(self.seen, self.answer)
                self.choose(self.answer)
            self.decide(view)
        self.last_us = view.top.us
        if isnan(self.distance_ticks):
            bid, ask = <double> (view.top.bid_ticks - 1), <double> (view.top.ask_ticks + 1)
        else:
            bid, ask = mid - self.distance_ticks, mid + self.distance_ticks
        clips = 1 + (self.action[2] >= 0.5) - (self.action[2] < -0.5)
        want.bid_lots = want.ask_lots = clips * view.quote_lots
        if clips > 0:
            want.bid_ticks = bid - self.max_offset_ticks * self.action[0]
            want.ask_ticks = ask + self.max_offset_ticks * self.action[1]
        return 0

    cdef bint is_due(self, const View* view) noexcept nogil:
        """Return whether a decision is due; a new run begins with a decision."""
        if view.top.us < self.last_us or self.last_us < 0:
            self.next_us, self.decided = view.begun_us, 0
            self.last_us = view.top.us
            memset(self.action, 0, sizeof(self.action))
        return view.top.us >= self.next_us

    cdef int observe(self, const View* view) except -1 nogil:
        """Set the observation, each input scaled and clipped."""
        cdef double mid = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks), ahead, lot = view.tick_lot / view.tick
        cdef double* own = self.seen + self.count
        cdef int place
        if not -1e-9 < view.tick / self.tick - 1.0 < 1e-9:
            with gil:
                self.terms.check_tick(round(1e8 * view.tick))
        for place in range(self.count):
            self.seen[place] = bounded((view.signals[self.places[place]] - self.scales[place].mean) / self.scales[place].scale)
        own[0] = bounded(clips_held(view) / self.q_max)
        own[1] = 1.0 - <double> (self.decided % self.episode) / <double> self.episode
        own[2] = bounded((mid - view.own_ticks[1]) / self.usual_distance_ticks)
        own[3] = bounded((view.own_ticks[0] - mid) / self.usual_distance_ticks)
        for place in range(2):
            ahead = view.own_ahead_lots[1 - place] * lot
            own[4 + place] = 0.0 if isnan(ahead) else self.usual_queue / (self.usual_queue + ahead)
        return 0

    cdef void decide(self, const View* view) noexcept nogil:
        """Count a decision, and set the instant of the next one."""
        self.decided += 1
        self.next_us = view.top.us + self.step_us - (view.top.us - view.begun_us) % self.step_us

    cdef void choose(self, const double* answer) noexcept nogil:
        """Set the action from an output of the network."""
        cdef int place, best = 0
        if not self.discrete:
            for place in range(3):
                self.action[place] = min(max(answer[place], -1.0), 1.0)
            return
        for place in range(1, 75):
            if answer[place] > answer[best]:
                best = place
        self.pick(best)

    cdef void pick(self, int choice) noexcept nogil:
        """Set one of the discrete actions."""
        self.action[0], self.action[1] = OFFSET[choice % 5], OFFSET[choice // 5 % 5]
        self.action[2] = SIZE[choice // 25]


@declares(declarations.Rl)
def rl(**given: Any) -> QuoteModel:
    """Return the strategy of the agent in a file: post-only, within its inventory bound."""
    saved = read_agent(Path(rl.declared.settle(given)["model_path"]))
    return strategy_of(Agent(saved.terms, saved))


def strategy_of(agent: Agent) -> QuoteModel:
    """Return the strategy of an agent: `PostOnly`, within an `InventoryBound`."""
    return InventoryBound(PostOnly(agent), q_max=agent.terms.q_max, name=agent.name)
