# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""A combination of fill models: the largest fill counts."""

from cpython.ref cimport PyObject
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from mm.backtest.fills.base cimport BEST_PRICES, FillModel, Order, Top, Trade

from mm.backtest.fills.base import PythonFillModel
from mm.backtest.fills.queue import Queue
from mm.backtest import declarations
from mm.errors import UsageError
from mm.signals.signal_set import SignalSet

cdef int REASONS = 3  # per model: after a trade, after a book change, drawn


cdef class Hybrid(FillModel):
    """An order fills as early, and as much, as under the most optimistic of several models.

    - every model receives every event, so that each keeps its own state
    - at each event the largest fill counts, for equal fills that of the first model; fills do not add up
    - a print fills at most its size over all our orders, whichever model fills them
    - the reason of a fill is that of the model whose fill counted
    - at most one model draws its fills, and at most one has a queue, as an order has one state for each

    Args:
        models: Compiled fill models, or any objects with ``on_trade`` or ``on_book``.
    """

    declared = declarations.Hybrid
    cdef readonly tuple models  # type: tuple[FillModel, ...]
    cdef PyObject** each            # borrowed references to *models*
    cdef int count
    cdef readonly tuple signals  # type: tuple[str, ...]
    cdef FillModel drawing          # the model that draws fills, or None
    cdef int64_t print_full_lots    # lots of the current print before our fills

    def __init__(self, models: Iterable[object]) -> None:
        self.models = tuple(model if isinstance(model, FillModel) else PythonFillModel(model) for model in models)
        self.count = len(self.models)
        if self.count == 0:
            raise UsageError("hybrid: models is empty; give at least one")
        if any(isinstance(model, Hybrid) for model in self.models):
            raise UsageError("hybrid: a hybrid cannot contain a hybrid; list the inner hybrid's models instead")
        names = ", ".join(model.name for model in self.models)
        drawing = [model for model in self.models if model.has_intensity]
        if len(drawing) > 1 or sum(isinstance(model, Queue) for model in self.models) > 1:
            raise UsageError(f"hybrid: {names}; at most one may draw fills, and at most one may track a queue")
        self.drawing = drawing[0] if drawing else None
        self.each = <PyObject**> calloc(self.count, sizeof(PyObject*))
        if self.each is NULL:
            raise MemoryError("no memory for the models of a hybrid")
        self.reached_only = self.crossed_only = True
        self.looks = BEST_PRICES
        for i, model in enumerate(self.models):
            self.each[i] = <PyObject*> model
            self.needs_trades |= (<FillModel> model).needs_trades
            self.needs_book |= (<FillModel> model).needs_book
            self.needs_levels |= (<FillModel> model).needs_levels
            self.reached_only &= (<FillModel> model).reached_only or not (<FillModel> model).needs_trades
            self.crossed_only &= (<FillModel> model).crossed_only or not (<FillModel> model).needs_book
            self.interpreted |= (<FillModel> model).interpreted
            self.looks = max(self.looks, (<FillModel> model).looks)
        self.draws = self.drawing is not None
        self.follows_prints = self.draws and self.drawing.follows_prints
        self.signals = getattr(self.drawing, "signals", ())

    def __dealloc__(self) -> None:
        free(self.each)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Fill reasons of all models, in the order of *models*."""
        return tuple(reason for model in self.models for reason in model.reasons)

    @property
    def predictor_folder(self) -> str | None:
        """Folder of the predictor that the drawing model reads; None without one."""
        return getattr(self.drawing, "predictor_folder", None)

    def observe(self, observed: SignalSet, tick_e8: int) -> None:
        """Pass the signals to the drawing model."""
        self.drawing.observe(observed, tick_e8)  # type: ignore[attr-defined]

    cdef void restart(self) noexcept:
        cdef int i
        for i in range(self.count):
            (<FillModel> self.each[i]).restart()

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        cdef int i
        for i in range(self.count):
            (<FillModel> self.each[i]).on_rest(order, top)
        return 0

    cdef int64_t print_lots(self, const Trade* trade) except -1 nogil:
        self.print_full_lots = trade.lots
        return trade.lots

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        cdef int64_t largest = 0, lots, taken = self.print_full_lots - trade.lots
        cdef Trade full = trade[0], remaining = trade[0]
        cdef int i
        full.lots = self.print_full_lots
        for i in range(self.count):
            if not (<FillModel> self.each[i]).needs_trades:
                continue
            remaining.lots = max((<FillModel> self.each[i]).print_lots(&full) - taken, 0)
            lots = min((<FillModel> self.each[i]).on_trade(order, &remaining), min(remaining.lots, order.lots))
            if lots > largest:
                largest = lots
                self.by = REASONS * i
        return largest

    cdef int64_t on_book(self, Order* order, const Top* top, int64_t elapsed_us) except -1 nogil:
        cdef int64_t largest = 0, lots
        cdef int i
        for i in range(self.count):
            if not (<FillModel> self.each[i]).needs_book:
                continue
            lots = min((<FillModel> self.each[i]).on_book(order, top, elapsed_us), order.lots)
            if lots > largest:
                largest = lots
                self.by = REASONS * i
        return largest

    cdef int on_level(self, Order* order, int64_t before_lots, int64_t after_lots) except -1 nogil:
        cdef int i
        for i in range(self.count):
            if (<FillModel> self.each[i]).needs_levels:
                (<FillModel> self.each[i]).on_level(order, before_lots, after_lots)
        return 0

    cdef int on_top(self, const Top* top) except -1 nogil:
        return self.drawing.on_top(top)

    cdef int on_print(self, int64_t side, int64_t us, int64_t recv_seq, int64_t exch_us) except -1 nogil:
        return self.drawing.on_print(side, us, recv_seq, exch_us)

    cdef int draw(self, Order* order, const Top* top, int64_t now_us) except -1 nogil:
        return self.drawing.draw(order, top, now_us)

    cdef double expected(self, const Order* order, int64_t until_us) except -1.0 nogil:
        return self.drawing.expected(order, until_us)

    cdef int64_t drawn_by(self) noexcept nogil:
        cdef int i
        for i in range(self.count):
            if (<FillModel> self.each[i]).draws:
                return REASONS * i
        return 0
