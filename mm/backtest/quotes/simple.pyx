# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Simple quote models: around a fair value, skewed by inventory, or with the largest expected value of a fill."""

from libc.math cimport INFINITY, NAN, ceil, exp, expm1, floor, isnan, log
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from mm.backtest.fills.base cimport BEST_LOTS, BEST_PRICES, Top
from mm.backtest.fills.intensity cimport MICRO, MID, Intensity, Piece, mid_offset
from mm.backtest.quotes.base cimport QuoteModel, View, Want, clips_held
from mm.predict.predictor cimport Predictor

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from mm.backtest import declarations
from mm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


cdef inline double mid_of(const Top* top) noexcept nogil:
    return 0.5 * <double> (top.bid_ticks + top.ask_ticks)


cdef inline double imbalance_of(const Top* top) noexcept nogil:
    """Return (bid lots - ask lots) / (bid lots + ask lots) at the best prices, from -1 to 1."""
    return <double> (top.bid_lots - top.ask_lots) / <double> (top.bid_lots + top.ask_lots)


cdef class FixedSpread(QuoteModel):
    """Quote ``mid - delta_ticks`` and ``mid + delta_ticks``.
    """

    declared = declarations.FixedSpread
    cdef readonly double delta_ticks

    def __init__(self, **given: Any) -> None:
        self.delta_ticks = self.declared.settle(given)["delta_ticks"]
        self.looks, self.timeless = BEST_PRICES, True

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double mid = 0.5 * (view.top.bid_ticks + view.top.ask_ticks)
        want.bid_ticks = mid - self.delta_ticks
        want.ask_ticks = mid + self.delta_ticks
        return 0


cdef class Centred(QuoteModel):
    """Base of models that quote at the same distance on both sides of ``centre - skew_ticks·q``.
    """

    cdef readonly double skew_ticks, q_max

    cdef dict settle(self, given: dict):
        """Return the values of all parameters, and set the shared ones."""
        cdef dict values = self.declared.settle(given)
        self.skew_ticks = values["skew_ticks"]
        self.q_max = INFINITY if values["q_max"] is None else values["q_max"]
        return values

    cdef inline void around(self, double centre, double delta, const View* view, Want* want) noexcept nogil:
        """Set a bid and an ask at *delta* from *centre*, skewed by the inventory."""
        cdef double q = clips_held(view)
        centre -= self.skew_ticks * q
        want.bid_ticks = centre - delta if q < self.q_max else NAN
        want.ask_ticks = centre + delta if q > -self.q_max else NAN


cdef class InventorySkew(Centred):
    """Quote at the same distance on both sides of ``mid - skew_ticks·q``, q the inventory in clips.
    """

    declared = declarations.InventorySkew
    cdef readonly double delta_ticks

    def __init__(self, **given: Any) -> None:
        self.delta_ticks = self.settle(given)["delta_ticks"]
        self.looks, self.timeless = BEST_PRICES, True

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        self.around(mid_of(&view.top), self.delta_ticks, view, want)
        return 0


cdef class Imbalance(Centred):
    """Quote around the mid shifted by ``shift_ticks·(B - A)/(B + A)``, towards the side with fewer lots.

    B and A are the lots at the best bid and the best ask.
    """

    declared = declarations.Imbalance
    cdef readonly double delta_ticks, shift_ticks

    def __init__(self, **given: Any) -> None:
        values = self.settle(given)
        self.delta_ticks, self.shift_ticks = values["delta_ticks"], values["shift_ticks"]
        self.looks = BEST_LOTS

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        self.around(mid_of(&view.top) + self.shift_ticks * imbalance_of(&view.top), self.delta_ticks, view, want)
        return 0


cdef class Microprice(Centred):
    """Quote around the micro-price ``(bid·A + ask·B)/(B + A)``, B and A the lots at the best bid and the best ask.

    That is ``Imbalance`` with half the market's spread as its shift.
    """

    declared = declarations.Microprice
    cdef readonly double delta_ticks

    def __init__(self, **given: Any) -> None:
        self.delta_ticks = self.settle(given)["delta_ticks"]
        self.looks = BEST_LOTS

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double half = 0.5 * <double> (view.top.ask_ticks - view.top.bid_ticks)
        self.around(mid_of(&view.top) + half * imbalance_of(&view.top), self.delta_ticks, view, want)
        return 0


cdef class AdaptiveSpread(Centred):
    """Quote ``least_ticks + per_sigma·sigma`` from the mid: the spread follows the volatility.
    """

    declared = declarations.AdaptiveSpread
    cdef readonly double least_ticks, per_sigma, sigma

    def __init__(self, **given: Any) -> None:
        values = self.settle(given)
        self.least_ticks, self.per_sigma = values["least_ticks"], values["per_sigma"]
        self.sigma = NAN if values["sigma"] is None else values["sigma"]
        self.looks, self.timeless = BEST_PRICES, not isnan(self.sigma)

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double sigma = view.sigma_ticks if isnan(self.sigma) else self.sigma
        if not isnan(sigma):
            self.around(mid_of(&view.top), self.least_ticks + self.per_sigma * sigma, view, want)
        return 0


cdef double best_markup(double a) noexcept nogil:
    """Return the u that maximises ``(1 - exp(-x))·u`` with ``x = exp(a - u)``.

    At the maximum u = (exp(x) - 1)/x. The difference of the two sides is concave and increasing in u, so Newton's
    method from a point left of the root converges monotonically; for large a the root has x below 2·ln(1 + a) + 1.
    """
    cdef double u = 1.0, x, mean, step
    cdef int _
    if a > 0.0:
        u = max(1.0, a - log(2.0 * log(1.0 + a) + 1.0))
    for _ in range(100):
        x = exp(a - u)
        mean = expm1(x) / x if x > 1e-12 else 1.0
        step = (mean - u) / (1.0 + exp(x) - mean)
        u += step
        if step <= 1e-14 * u:
            break
    return u


cdef class Predictions:
    """Predictors used by a quote model: for the move of the mid, adverse moves after fills, and fills.

    Args:
        folders: Folders of fitted predictors, at most one per target.

    Attributes:
        signals: Names of their input signals and of their predictions.

    Raises:
        UsageError: If two have the same target.
    """

    cdef readonly tuple signals         # type: tuple[str, ...]
    cdef dict names                     # names of the predictions, by target
    cdef Predictor fills                # None if there is none
    cdef tuple inputs
    cdef double* row                    # inputs of the predictor of fills
    cdef int[64] places                 # indices of these inputs among the signals of the run
    cdef int move_place                 # index of the predicted move; -1 if there is none
    cdef int[2] adverse_places          # indices of the predictions for bids, asks; -1 if there is none
    cdef double[2][2] adverse_moves     # by bids, asks: mean move of fills without and with an adverse move
    cdef double least_ticks, most_ticks # range of distances of the predictor of fills

    def __init__(self, folders: Sequence[str]) -> None:
        from mm.predict.artefact import Artefact  # imported here: most runs have no predictor

        found = [Artefact.read(Path(folder)) for folder in folders]
        by_target = {one.about["target"]: one for one in found}
        if len(by_target) < len(found):
            raise UsageError(f"expected_value: two predictors have the same target; give one per target: {', '.join(folders)}")
        self.inputs, self.move_place = (), -1
        self.adverse_places[0] = self.adverse_places[1] = -1
        fill = by_target.get("fill")
        if fill is not None:
            if len(fill.signals) > 60:
                raise UsageError(f"expected_value: {fill.path} reads {len(fill.signals)} signals; the maximum is 60")
            self.fills, self.inputs = fill.predictor(), fill.signals
            self.least_ticks, self.most_ticks = min(fill.about["distances_ticks"]), max(fill.about["distances_ticks"])
            self.row = <double*> calloc(len(self.inputs) + 1, sizeof(double))
            if self.row is NULL:
                raise MemoryError("no memory for a row of signals")
        if "adverse" in by_target:
            self.adverse_moves = by_target["adverse"].about["adverse_moves_ticks"]
        self.names = {target: one.signal_names for target, one in by_target.items()}
        # A predictor of fills is evaluated at each distance; its name is listed so that symbol and tick are checked.
        self.signals = tuple(dict.fromkeys([*(name for names in self.names.values() for name in names), *self.inputs]))

    def __dealloc__(self) -> None:
        free(self.row)

    cdef int bind(self, tuple names) except -1:
        """Set the indices of the signals of a run."""
        cdef int place
        for place, name in enumerate(self.inputs):
            self.places[place] = names.index(name)
        if "return" in self.names:
            self.move_place = names.index(self.names["return"][0])
        if "adverse" in self.names:
            for place, name in enumerate(self.names["adverse"]):
                self.adverse_places[place] = names.index(name)
        return 0

    cdef double move(self, const View* view) noexcept nogil:
        """Return the predicted move of the mid in ticks; 0 without a predictor, or while it is undefined."""
        cdef double found = 0.0 if self.move_place < 0 or view.signals is NULL else view.signals[self.move_place]
        return 0.0 if isnan(found) else found

    cdef double adverse_move(self, const View* view, int head, double otherwise) noexcept nogil:
        """Return the expected adverse move after a fill of a bid (0) or ask (1), in ticks; else *otherwise*."""
        cdef double p
        if self.adverse_places[head] < 0 or view.signals is NULL or isnan(view.signals[self.adverse_places[head]]):
            return otherwise
        p = view.signals[self.adverse_places[head]]
        return (1.0 - p) * self.adverse_moves[head][0] + p * self.adverse_moves[head][1]

    cdef double distance(self, const View* view, double mid, int head, double costs) noexcept nogil:
        """Return the distance, at a whole tick, that maximises fill probability times gain.

        Returns:
            NaN if no distance has a positive gain, INFINITY while a signal is undefined.
        """
        cdef int64_t sign = 1 - 2 * head, ticks, first, last
        cdef double best = 0.0, chosen = NAN, delta, p
        cdef int place, count = self.fills.inputs - 1
        if view.signals is NULL:
            return INFINITY
        for place in range(count):
            self.row[place] = view.signals[self.places[place]]
        # On the mirrored axis an ask is a bid: prices decrease away from the mid.
        first, last = <int64_t> floor(sign * mid - self.least_ticks), <int64_t> ceil(sign * mid - self.most_ticks)
        for ticks in range(first, min(first, last) - 1, -1):
            delta = sign * mid - <double> ticks
            self.row[count] = delta
            p = self.fills.compute(self.row, mid, head)
            if isnan(p):
                return INFINITY
            if p * (delta - costs) > best:
                best, chosen = p * (delta - costs), delta
        return chosen


cdef class ExpectedValue(QuoteModel):
    """Maximise ``P(delta)·(delta - costs)`` on each side, with ``P = 1 - exp(-A·exp(-k·delta)·horizon_s)``.

    P is the probability that an order at distance delta from the mid is filled within the horizon; delta minus costs is
    the gain of the fill. Costs are ``adverse_ticks + fee_ticks``, plus ``skew_ticks·q`` for a bid, minus it for an
    ask, q being the inventory in clips. For a short horizon delta tends to costs + 1/k.

    Fitted ``predictors`` replace the constants: one of ``fill`` replaces P, at the whole ticks between the distances
    that it was fitted at; one of ``adverse`` replaces ``adverse_ticks``, by side; the move predicted by one of
    ``return`` is a cost of asks and a gain of bids. While a signal is undefined, the constants are used.
    """

    declared = declarations.ExpectedValue
    cdef readonly double A, k, horizon_s, adverse_ticks, fee_ticks, skew_ticks, q_max
    cdef bint measured              # whether adverse_ticks is that of the piece in force
    cdef Intensity intensity
    cdef Predictions predictions

    def __init__(self, **given: Any) -> None:
        values = self.declared.settle(given)
        self.intensity = values["intensity"]
        self.predictions = Predictions(values["predictors"] or [])
        self.signals = self.predictions.signals
        cdef str name
        for name in ("A", "k"):
            if values[name] is None and self.intensity is None and self.predictions.fills is None:
                raise UsageError(f"{self.name}: {name} is missing; give it in QUOTE_PARAMS_JSON or by FILL_PARAMS_FILE")
        self.A = NAN if values["A"] is None else values["A"]
        self.k = NAN if values["k"] is None else values["k"]
        self.horizon_s, self.skew_ticks = values["horizon_s"], values["skew_ticks"]
        self.adverse_ticks, self.fee_ticks = values["adverse_ticks"], values["fee_ticks"]
        self.measured = "adverse_ticks" not in given and isnan(self.k) and isnan(self.A) and self.intensity is not None
        self.q_max = INFINITY if values["q_max"] is None else values["q_max"]
        self.looks, self.timeless = BEST_PRICES, not (isnan(self.A) or isnan(self.k) or self.signals)
        if isnan(self.A) and self.intensity is not None and self.intensity.counts_from == MICRO:
            self.looks = BEST_LOTS

    def sources(self) -> dict[str, str | None]:
        """Return the source of k and A if they are not numbers: ``fit``, or None if a predictor replaces both."""
        return dict.fromkeys(("k", "A"), None if self.intensity is None else "fit")

    cdef int bind(self, tuple names) except -1:
        return self.predictions.bind(names)

    cdef inline double distance(self, double costs, double A, double k) noexcept nogil:
        """Return the best distance from the mid, NaN if nothing is ever filled."""
        A, k = A if isnan(self.A) else self.A, k if isnan(self.k) else self.k
        return costs + best_markup(log(A * self.horizon_s) - k * costs) / k if A > 0.0 else NAN

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double mid = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks)
        cdef double q = clips_held(view)
        cdef double skew = self.skew_ticks * q, move = self.predictions.move(view), adverse = self.adverse(view)
        cdef double bid_costs = self.predictions.adverse_move(view, 0, adverse) + self.fee_ticks + skew - move
        cdef double ask_costs = self.predictions.adverse_move(view, 1, adverse) + self.fee_ticks - skew + move
        if q < self.q_max:
            want.bid_ticks = mid - self.side(view, mid, 0, bid_costs)
        if q > -self.q_max:
            want.ask_ticks = mid + self.side(view, mid, 1, ask_costs)
        return 0

    cdef inline double adverse(self, const View* view) noexcept nogil:
        """Return the adverse move after fills: the given one, else that of the segment in force."""
        cdef int64_t place
        if self.measured:
            place = self.intensity.find(view.top.us)
            if place < self.intensity.count and not isnan(self.intensity.pieces[place].adverse_ticks):
                return self.intensity.pieces[place].adverse_ticks
        return self.adverse_ticks

    cdef double side(self, const View* view, double mid, int head, double costs) noexcept nogil:
        """Return the best distance of bids (0) or asks (1), NaN for no quote."""
        cdef double found, A = self.A, k = self.k, offset
        cdef Piece* piece
        cdef int64_t place
        if self.predictions.fills is not None:
            found = self.predictions.distance(view, mid, head, costs)
            if found != INFINITY:
                return found
        if isnan(self.A) or isnan(self.k):
            if self.intensity is None:
                return NAN
            place = self.intensity.find(view.top.us)
            if place >= self.intensity.count or self.intensity.pieces[place].start_us > view.top.us:
                return NAN
            piece = &self.intensity.pieces[place]
            A, k = (piece.A_bid, piece.k_bid) if head == 0 else (piece.A_ask, piece.k_ask)
            if isnan(self.A) and self.intensity.counts_from != MID:
                # The fit counts from another reference price; λ is constant nearer than that, so no quote is nearer.
                offset = mid_offset(self.intensity.counts_from, &view.top, 1 if head == 0 else -1)
                found = self.distance(costs - offset, A, k)
                return offset if found < 0.0 else found + offset
        return self.distance(costs, A, k)
