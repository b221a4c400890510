# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Fills drawn with the intensity that gives a predicted fill probability within a horizon."""

from libc.math cimport log, log1p
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free

from mm.backtest._draws cimport uniform
from mm.backtest.fills.base cimport NEVER, WHOLE_BOOK, FillModel, Order, Top
from mm.predict.predictor cimport Predictor
from mm.signals.signal_set cimport SignalSet

from pathlib import Path

from mm.backtest import declarations
from mm.errors import UsageError

cdef double MAX_P = 1.0 - 1e-12         # bound of the predicted probability; a forest may return 1
cdef double FOREVER_US = 9e15           # a longer waiting time is no fill


cdef class PredictedFills(FillModel):
    """An order fills completely, with the intensity given by a predictor of ``fill``.

    - p is predicted from the order's side, its distance from the mid, and the signals after the last diff applied by
      the exchange; the intensity is -ln(1 - p) / horizon, so over the horizon an order fills with probability p
    - each book event begins a new stretch, in which the intensity is constant; one unit exponential draw per
      side and stretch, keyed by the event that began it
    - orders nearer than the fit's smallest distance use that distance; orders beyond its largest never fill
    - nothing fills while a signal is undefined or a side of the book is empty

    Args:
        predictor: Folder of the fitted predictor.
        seed: Seed of all draws.

    Attributes:
        predictor_folder: Folder of the predictor, as given.
        signals: The signals that the predictor reads.

    Raises:
        BrokenFile: If there is no predictor, or its files were changed.
        UsageError: If its target is not ``fill``.
    """

    declared = declarations.Predicted
    cdef readonly str predictor_folder
    cdef readonly tuple signals         # type: tuple[str, ...]
    cdef object artefact
    cdef Predictor predictor
    cdef SignalSet observed
    cdef uint64_t seed
    cdef double horizon_s, least_ticks, most_ticks
    cdef double* row
    cdef int64_t begun_us, begun_seq    # of the last book event
    cdef int64_t arrivals[2]            # orders that came to rest since then: sells, buys

    def __init__(self, **given: Any) -> None:
        from mm.predict.artefact import Artefact  # imported here: most runs have no predictor

        values = self.declared.settle(given)
        self.predictor_folder, self.seed = values["predictor"], values["seed"] & 0xFFFFFFFFFFFFFFFF
        self.artefact = found = Artefact.read(Path(self.predictor_folder))
        about = found.about
        if about["target"] != "fill":
            raise UsageError(
                f"predicted: {found.path} predicts {about['target']!r}; give a predictor of 'fill' (mm predict fit "
                f"--target fill)"
            )
        self.predictor, self.signals, self.horizon_s = found.predictor(), found.signals, about["horizon"]
        self.least_ticks, self.most_ticks = min(about["distances_ticks"]), max(about["distances_ticks"])
        self.row = <double*> calloc(len(self.signals) + 1, sizeof(double))
        if self.row is NULL:
            raise MemoryError("no memory for a row of signals")
        self.draws, self.looks = True, WHOLE_BOOK

    def __dealloc__(self) -> None:
        free(self.row)

    def observe(self, observed: SignalSet, tick_e8: int) -> None:
        """Set the signals of a run before it begins; they are updated with each event before the model is called.

        Raises:
            Mismatch: If the predictor was fitted on another tick size.
        """
        self.artefact.check(None, tick_e8)
        self.observed = observed

    cdef int on_top(self, const Top* top) except -1 nogil:
        self.begun_us, self.begun_seq = top.us, top.recv_seq
        self.arrivals[0] = self.arrivals[1] = 0
        return 3

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        self.arrivals[1 if order.side > 0 else 0] += 1
        return 0

    cdef int draw(self, Order* order, const Top* top, int64_t now_us) except -1 nogil:
        cdef int buys = 1 if order.side > 0 else 0
        cdef double wait
        order.due_us, order.stretch_us, order.delta = NEVER, NEVER, 0.0
        if top.bid_ticks == 0 or top.ask_ticks == 0:
            return 0
        order.stretch_us = now_us
        order.delta = self.rate(order.side, 0.5 * <double> (top.bid_ticks + top.ask_ticks), order.ticks)
        if order.delta > 0.0:
            wait = -log(uniform(self.seed, self.begun_us, self.begun_seq, 2 * self.arrivals[buys] + buys))
            wait /= order.delta * 1e-6
            if wait < FOREVER_US:
                order.due_us = now_us + <int64_t> wait
        return 0

    cdef double rate(self, int64_t side, double mid, int64_t ticks) noexcept nogil:
        """Return the intensity of an order in 1/s; 0 if it cannot fill."""
        cdef double delta = side * (mid - <double> ticks), p
        cdef int place, count = self.predictor.inputs - 1
        if delta > self.most_ticks:
            return 0.0
        for place in range(count):
            self.row[place] = self.observed.values[place]
        self.row[count] = max(delta, self.least_ticks)
        p = self.predictor.compute(self.row, mid, 0 if side > 0 else 1)
        return -log1p(-min(p, MAX_P)) / self.horizon_s if p > 0.0 else 0.0

    cdef double expected(self, const Order* order, int64_t until_us) except -1.0 nogil:
        if order.stretch_us == NEVER:
            return 0.0
        return order.delta * 1e-6 * <double> (until_us - order.stretch_us)
