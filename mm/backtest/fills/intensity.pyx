# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""Fills drawn from an intensity lambda(delta) over time and per side, and combinations of fill models.

The conditional intensity of a Hawkes process (Hawkes, Biometrika 58, 1971) with exponential kernels decays between the
orders that excite it, so its integral has a closed form; the inverse needs a few Newton steps from below.
"""

from cpython.ref cimport PyObject
from libc.math cimport NAN, exp, expm1, isnan, log, log1p
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memset

from mm.backtest.engine._draws cimport uniform
from mm.backtest.fills.base cimport (
    NEEDS_BOOKS, NEEDS_DRAWS, NEEDS_LEVELS, NEEDS_PRINTS, NEEDS_TRADES, NEVER, SKIPS_ALL, SKIPS_DEPTH, SKIPS_LEVELS, SKIPS_LOTS,
    SKIPS_UNCROSSED, SKIPS_UNREACHED, FillModel, Order, Queue, Top, Trade,
)
from mm.signals.predictor cimport Predictor
from mm.signals.signal_set cimport SignalSet

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mm.backtest import declarations
from mm.backtest.fills.base import PythonFillModel
from mm.backtest.fills.clustering import Clustering
from mm.backtest.fills.intensity_piece import IntensityPiece
from mm.backtest.parameters import declares
from mm.errors import BrokenFile, Sentence, UsageError

REFERENCES = ("mid", "micro", "best", "sweep")  # in the order of MID, MICRO, BEST; sweep also uses the best price
FOREVER = 0x7FFFFFFFFFFFFFFF


cdef double mid_offset(int reference, const Top* top, int64_t side) noexcept nogil:
    """Distance from the mid minus distance from the *reference* price, in ticks."""
    cdef double half_spread = 0.5 * <double> (top.ask_ticks - top.bid_ticks)
    if reference == MICRO:
        return side * half_spread * <double> (top.ask_lots - top.bid_lots) / <double> (top.ask_lots + top.bid_lots)
    return half_spread if reference == BEST else 0.0


cdef double rate_from_mid(const Piece* piece, int reference) noexcept nogil:
    """Return A of both sides together for distances from the mid, with their common k.

    It gives the mean rate of both sides at the distance 1/k, where a risk-neutral maker quotes, at the mean spread.
    If the fit counts from the best price and 1/k lies within the half-spread, it gives the rate at the best price.
    """
    cdef double A = piece.A_bid
    if not (piece.A_bid == piece.A_ask and piece.k_bid == piece.k_ask == piece.k):
        A = 0.5 * (piece.A_bid * exp(1.0 - piece.k_bid / piece.k) + piece.A_ask * exp(1.0 - piece.k_ask / piece.k))
    if reference == BEST:
        return A * exp(min(piece.k * piece.half_spread, 1.0))
    return A

cdef double fill_rate(double A, double k, double delta) noexcept nogil:
    """Return A exp(-k delta), and A for negative delta, where nothing was measured."""
    return A * exp(-k * delta) if delta > 0.0 else A


cdef double curve_rate(const Piece* piece, double delta) noexcept nogil:
    """Return λ of a piece's curve: ln λ linear between points, constant before the first, extrapolated beyond."""
    cdef int64_t low = 0, high = piece.points - 1, middle
    if delta <= piece.deltas[0]:
        return exp(piece.logs[0])
    while high - low > 1:
        middle = (low + high) >> 1
        if piece.deltas[middle] <= delta:
            low = middle
        else:
            high = middle
    return exp(
        piece.logs[low]
        + (piece.logs[high] - piece.logs[low])
        * ((delta - piece.deltas[low]) / (piece.deltas[high] - piece.deltas[low]))
    )


def is_falling(curve: Sequence[tuple[float, float]]) -> bool:
    """Return whether points (distance, rate) have rising distances and falling rates above 0.

    Rates may stay equal, but the last one is lower than the one before it.
    """
    pairs = list(itertools.pairwise(curve))
    falls = [first[1] > second[1] for first, second in pairs]
    return (
        all(math.isfinite(delta) and 0.0 < rate < math.inf for delta, rate in curve)
        and all(first[0] < second[0] and first[1] >= second[1] for first, second in pairs)
        and bool(falls and falls.pop())
    )


cdef class Intensity:
    """A and k, or a curve, constant or by segments; outside all segments the intensity is 0.

    Args:
        pieces: The segments in chronological order, not overlapping; A in 1/s per resting order, k in 1/tick.
        reference: Reference price of distances: ``mid``, ``micro``, ``best`` or ``sweep``.
        falling: Whether curves must decrease, as needed for quotes and fills.
        clustering: The block ``clustering`` of a fit or a schedule, as in ``poisson_fit.json``; None without.
    """

    def __cinit__(
        self,
        pieces: Iterable[IntensityPiece],
        reference: str = "mid",
        falling: bool = True,
        clustering: Mapping[str, Any] | None = None,
    ) -> None:
        pieces = [IntensityPiece(*piece) for piece in pieces]
        if reference not in REFERENCES:
            raise UsageError(f"intensity: reference is {reference!r}; it must be one of {', '.join(REFERENCES)}")
        self.reference, self.clustering = reference, clustering
        self.counts_from = min(REFERENCES.index(reference), BEST)
        self.count = len(pieces)
        self.pieces = <Piece*> calloc(self.count + 1, sizeof(Piece))
        if self.pieces is NULL:
            raise MemoryError("no memory for the pieces of an intensity")
        last_us = -1
        for i, one in enumerate(pieces):
            if one.start_us < last_us or one.end_us <= one.start_us:
                raise UsageError(
                    f"intensity: piece {i + 1} covers {one.start_us} to {one.end_us}; pieces must be in order and not overlap"
                )
            if not (one.A_bid >= 0 and one.A_ask >= 0 and one.k_bid > 0 and one.k_ask > 0 and one.k > 0):
                raise UsageError(
                    f"intensity: piece {i + 1} has A {one.A_bid}, {one.A_ask} and k {one.k_bid}, {one.k_ask}; "
                    f"A must be 0 or more and k above 0"
                )
            self.pieces[i].start_us = one.start_us
            self.pieces[i].end_us = one.end_us
            self.pieces[i].A_bid = one.A_bid
            self.pieces[i].k_bid = one.k_bid
            self.pieces[i].A_ask = one.A_ask
            self.pieces[i].k_ask = one.k_ask
            self.pieces[i].k = one.k
            self.pieces[i].half_spread = NAN if one.half_spread_ticks is None else one.half_spread_ticks
            self.pieces[i].A_mid = rate_from_mid(&self.pieces[i], self.counts_from)
            self.pieces[i].sigma_ticks = NAN if one.sigma_ticks is None else one.sigma_ticks
            self.pieces[i].adverse_ticks = NAN if one.adverse_ticks is None else one.adverse_ticks
            if (one.mean_bid_per_s is None) != (one.mean_ask_per_s is None):
                raise UsageError(f"intensity: piece {i + 1} has the mean of one side; give mean_bid_per_s and mean_ask_per_s")
            self.pieces[i].mean_per_s[1] = one.mean_bid_per_s or 0.0
            self.pieces[i].mean_per_s[0] = one.mean_ask_per_s or 0.0
            if one.curve:
                if falling and not is_falling(one.curve):
                    raise UsageError(
                        f"intensity: piece {i + 1} has a curve of {len(one.curve)} points that is not decreasing; give two "
                        f"points or more (distance in ticks, fills per second above 0) with increasing distances and "
                        f"non-increasing rates, the last rate lower than the one before it"
                    )
                self.keep(i, list(one.curve))
            last_us = one.end_us
        self.given = pieces

    cdef keep(self, int64_t i, list curve):
        cdef Piece* piece = &self.pieces[i]
        piece.deltas = <double*> malloc(2 * len(curve) * sizeof(double))
        if piece.deltas is NULL:
            raise MemoryError("no memory for the curve of an intensity")
        piece.logs, piece.points = piece.deltas + len(curve), len(curve)
        for place, (delta, rate) in enumerate(curve):
            piece.deltas[place], piece.logs[place] = delta, log(rate)

    def __reduce__(self) -> tuple[object, ...]:
        return Intensity, (self.given, self.reference, False, self.clustering)  # its curves were checked

    def __deepcopy__(self, _memo: dict[int, object]) -> Intensity:
        """It never changes."""
        return self

    def __dealloc__(self) -> None:
        cdef int64_t i
        if self.pieces is not NULL:
            for i in range(self.count):
                free(self.pieces[i].deltas)
        free(self.pieces)

    @classmethod
    def constant(cls, double A, double k, str reference="mid", sigma_ticks: float | None = None) -> Intensity:
        """Return an intensity with one A and k for both sides at all times."""
        return cls([IntensityPiece(0, FOREVER, A, k, A, k, k, sigma_ticks)], reference)

    def at(self, int64_t us, int64_t side, double delta) -> float:
        """Return the intensity in 1/s at an instant for an order of *side* at *delta* ticks."""
        return self.rate(self.find(us), side, delta)

    def sigma_at(self, int64_t us) -> float | None:
        """Volatility in ticks/√s of the piece in force; None if unknown."""
        cdef int64_t piece = self.find(us)
        if piece >= self.count or self.pieces[piece].start_us > us or isnan(self.pieces[piece].sigma_ticks):
            return None
        return self.pieces[piece].sigma_ticks

    @property
    def from_best(self) -> bool:
        """Whether distances count from the best price of the order's side."""
        return self.counts_from == BEST

    @property
    def from_mid(self) -> bool:
        """Whether A for distances from the mid is known in every piece."""
        cdef int64_t i
        for i in range(self.count):
            if isnan(self.pieces[i].A_mid):
                return False
        return True

    def rows(self) -> list[IntensityPiece]:
        return list(self.given)

    cdef int64_t find(self, int64_t us) noexcept nogil:
        """Index of the first piece that ends after *us*; ``count`` if there is none."""
        cdef int64_t low = 0, high = self.count, middle
        while low < high:
            middle = (low + high) >> 1
            if self.pieces[middle].end_us <= us:
                low = middle + 1
            else:
                high = middle
        return low

    cdef double rate(self, int64_t piece, int64_t side, double delta) noexcept nogil:
        if piece >= self.count:
            return 0.0
        if self.pieces[piece].points:
            return curve_rate(&self.pieces[piece], delta)
        if side > 0:
            return fill_rate(self.pieces[piece].A_bid, self.pieces[piece].k_bid, delta)
        return fill_rate(self.pieces[piece].A_ask, self.pieces[piece].k_ask, delta)


cdef class Drawn(FillModel):
    """Base of models that draw the waiting time of a fill on each stretch of constant intensity.

    One unit exponential draw per side and stretch, keyed by the event that began it.
    """

    cdef uint64_t seed
    cdef int64_t begun_us          # event that last began stretches of both sides
    cdef int64_t begun_seq
    cdef int64_t arrivals[2]       # orders that came to rest since that event: sells, buys

    cdef void begin(self, int64_t us, int64_t recv_seq) noexcept nogil:
        self.begun_us, self.begun_seq = us, recv_seq
        self.arrivals[0] = self.arrivals[1] = 0

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        self.arrivals[1 if order.side > 0 else 0] += 1
        return 0

    cdef double unit_exponential(self, const Order* order) noexcept nogil:
        cdef int buys = 1 if order.side > 0 else 0
        return -log(uniform(self.seed, self.begun_us, self.begun_seq, 2 * self.arrivals[buys] + buys))


cdef class Poisson(Drawn):
    """An order fills completely, with intensity lambda(delta): A exp(-k delta) or the curve of a fit.

    - delta is the distance from the intensity's reference price in ticks, and may be negative
    - one unit exponential draw per side and stretch of constant intensity, keyed by the event that began it
    - the fill happens when the integrated intensity reaches the draw, if the stretch lasts that long

    Args:
        intensity: A and k or a curve, constant or by segments.
        seed: Seed of all draws.
    """

    declared = declarations.Poisson
    cdef readonly Intensity intensity
    cdef int64_t bid_ticks         # the best prices after the last change of the reference
    cdef int64_t ask_ticks
    cdef int64_t bid_lots
    cdef int64_t ask_lots

    def __init__(self, intensity: Intensity, seed: int = 0) -> None:
        self.intensity = intensity
        self.seed = seed & 0xFFFFFFFFFFFFFFFF
        self.needs, self.skips = NEEDS_DRAWS, SKIPS_DEPTH if intensity.counts_from == MICRO else SKIPS_DEPTH | SKIPS_LOTS

    cdef void restart(self) noexcept:
        self.bid_ticks = self.ask_ticks = self.bid_lots = self.ask_lots = 0
        self.begin(0, 0)

    cdef int on_top(self, const Top* top) except -1 nogil:
        cdef bint same
        cdef int reference = self.intensity.counts_from
        if reference == MID:
            same = (
                top.bid_ticks + top.ask_ticks == self.bid_ticks + self.ask_ticks
                and (top.bid_ticks == 0) == (self.bid_ticks == 0)
                and (top.ask_ticks == 0) == (self.ask_ticks == 0)
            )
        else:
            same = top.bid_ticks == self.bid_ticks and top.ask_ticks == self.ask_ticks
            if reference == MICRO:
                same = same and top.bid_lots == self.bid_lots and top.ask_lots == self.ask_lots
        if same:
            return 0
        self.bid_ticks = top.bid_ticks
        self.ask_ticks = top.ask_ticks
        self.bid_lots = top.bid_lots
        self.ask_lots = top.ask_lots
        self.begin(top.us, top.recv_seq)
        return 3

    cdef double distance(self, const Order* order) noexcept nogil:
        """From the reference price, in ticks, positive away from the market."""
        cdef int reference = self.intensity.counts_from
        if reference == MID:
            return order.side * (self.bid_ticks + self.ask_ticks - 2 * order.ticks) / 2.0
        if reference == BEST:
            return <double> (order.side * ((self.bid_ticks if order.side > 0 else self.ask_ticks) - order.ticks))
        return order.side * (
            (<double> self.bid_ticks * self.ask_lots + <double> self.ask_ticks * self.bid_lots)
            / <double> (self.bid_lots + self.ask_lots)
            - order.ticks
        )

    cdef double drawn(self, Order* order, const Top* top, int64_t now_us) noexcept nogil:
        """Begin a stretch without a fill, and return its draw; below 0 if a side is empty and nothing can fill."""
        order.stretch_us = now_us
        order.due_us = NEVER
        if top.bid_ticks == 0 or top.ask_ticks == 0:
            order.delta = 0.0
            order.stretch_us = NEVER
            return -1.0
        order.delta = self.distance(order)
        return self.unit_exponential(order)

    cdef int draw(self, Order* order, const Top* top, int64_t now_us) except -1 nogil:
        cdef double left = self.drawn(order, top, now_us), rate, wait
        cdef int64_t from_us = now_us, piece
        if left < 0.0:
            return 0
        piece = self.intensity.find(now_us)
        while piece < self.intensity.count:
            from_us = max(from_us, self.intensity.pieces[piece].start_us)
            rate = self.intensity.rate(piece, order.side, order.delta) * 1e-6
            wait = left / rate if rate > 0.0 else 1e300
            if wait < <double> (self.intensity.pieces[piece].end_us - from_us):
                order.due_us = from_us + <int64_t> wait if wait < 9e18 else NEVER
                return 0
            left -= rate * <double> (self.intensity.pieces[piece].end_us - from_us)
            from_us = self.intensity.pieces[piece].end_us
            piece += 1
        return 0

    cdef double expected(self, const Order* order, int64_t until_us) except -1.0 nogil:
        cdef int64_t piece, from_us, to_us
        cdef double total = 0.0
        if order.stretch_us == NEVER:
            return 0.0
        piece = self.intensity.find(order.stretch_us)
        while piece < self.intensity.count and self.intensity.pieces[piece].start_us < until_us:
            from_us = max(order.stretch_us, self.intensity.pieces[piece].start_us)
            to_us = min(until_us, self.intensity.pieces[piece].end_us)
            total += self.intensity.rate(piece, order.side, order.delta) * 1e-6 * <double> (to_us - from_us)
            piece += 1
        return total


@declares(Poisson.declared)
def poisson(**given: Any) -> Poisson:
    """Return the ``Poisson`` model for one A and k, an A and k per side, or the intensity of a fit.

    Raises:
        UsageError: If the intensity is missing (it has no default) or given in more than one form.
    """
    cdef dict values = Poisson.declared.settle(given)
    return Poisson(given_intensity("poisson", "output of mm calibrate or mm schedule", values), values["seed"])


def given_intensity(model: str, file: str, values: Mapping[str, Any]) -> Intensity:
    """Return the intensity given by the parameters of a *model*.

    Args:
        file: Description of FILL_PARAMS_FILE, for messages.
    """
    both, intensity = {"A": values["A"], "k": values["k"]}, values["intensity"]
    bid, ask = values["bid"], values["ask"]
    one_pair = values["A"] is not None or values["k"] is not None
    by_side = bid is not None or ask is not None
    if one_pair + by_side + (intensity is not None) != 1:
        raise UsageError(
            '{} needs A and k in one form: {} as {fill_params_file}, {{"A": .., "k": ..}} or '
            '{{"bid": {{"A": .., "k": ..}}, "ask": {{"A": .., "k": ..}}}} as {fill_params_json}',
            model,
            file,
        )
    if intensity is not None:
        return intensity
    bid, ask = (bid or {}, ask or {}) if by_side else (both, both)
    A_bid, k_bid = side_numbers(model, "bid", bid)
    A_ask, k_ask = side_numbers(model, "ask", ask)
    return Intensity([IntensityPiece(0, FOREVER, A_bid, k_bid, A_ask, k_ask, (k_bid + k_ask) / 2)])


cdef tuple side_numbers(str model, str side, object params):
    if set(params) != {"A", "k"} or not all(isinstance(value, int | float) for value in params.values()):
        raise UsageError(f"{model}: the {side}'s parameters are {dict(params)}; they must be numbers A and k")
    return float(params["A"]), float(params["k"])


# ---------------------------------------------------------------------- with clusters


cdef enum:
    MOST = 16                       # kernels

cdef double CLOSE_US = 1e-6         # error at which Newton's method ends
cdef int MAX_STEPS = 100            # of Newton's method; reached if rounding errors exceed CLOSE_US, at waits of years


cdef struct Excited:
    int64_t us                      # instant of the last exciting order
    double excess[2][MOST]          # excitation just after it over the mean intensity: by side hit (asks, bids), kernel
    int64_t until_us                # instant of the next exciting order, once arrived
    double decay[MOST]              # exp(-beta·t) - 1 from us to until_us, by kernel


cdef inline double expm1_neg(double x) noexcept nogil:
    """Return exp(-x) - 1; for x above 0.7 the plain difference is as exact as ``expm1``, and faster."""
    return exp(-x) - 1.0 if x > 0.7 else expm1(-x)


cdef double integral(double base, const double* excess, const double* beta, int kernels, double span_us) noexcept nogil:
    """Return the integral over *span_us* of *base* + the sum of excess·exp(-beta·t)."""
    cdef double total = base * span_us
    cdef int m
    for m in range(kernels):
        total -= excess[m] / beta[m] * expm1_neg(beta[m] * span_us)
    return total


cdef double wait_us(
    double target, double base, const double* excess, const double* beta, int kernels, double span_us
) noexcept nogil:
    """Return the time at which that integral reaches *target*; *span_us* or more if it does so later or never.

    The integral is concave, so Newton steps from below stay below. The start is the largest of several lower bounds:
    in each, the kernels with the fastest decay have contributed their total, and the others do not decay. The error
    after a step is at most its square times the curvature over twice the slope, as both decrease.
    """
    cdef double wait = 0.0, decayed = 0.0, slope = base, value, decay, step, curvature
    cdef int m, steps = 0
    for m in range(kernels):
        decayed += excess[m] / beta[m]
    if target > decayed:
        wait = (target - decayed) / base
    for m in range(kernels - 1, -1, -1):
        slope += excess[m]
        decayed -= excess[m] / beta[m]
        wait = max(wait, (target - decayed) / slope)
    while wait < span_us and steps < MAX_STEPS:
        steps += 1
        value, slope, curvature = base * wait, base, 0.0
        for m in range(kernels):
            decay = expm1_neg(beta[m] * wait)
            value -= excess[m] / beta[m] * decay
            slope += excess[m] * (1.0 + decay)
            curvature += excess[m] * beta[m] * (1.0 + decay)
        step = (target - value) / slope
        wait += step
        if step * step * curvature <= CLOSE_US * slope:
            break
    return wait


cdef class ClusteredFills(Poisson):
    """An order fills as under `poisson`, with an intensity that each recorded aggressive order raises temporarily.

    - the intensity is lambda(delta) · lambda_i(t)/mean_i, i the side of the order: lambda_i is the intensity of
      orders that hit side i, given all recorded ones up to t; mean_i is its mean, or the segment's if given
    - an order of the process is a sweep, the prints of one side and trade time; its instant is its first print's
      in the window of the tape, in exchange time if the run uses that clock
    - each of them begins a new stretch for both sides, as a change of the reference does
    - one unit exponential draw per side and stretch, keyed by the event that began it; the fill happens when the
      integrated intensity reaches it, if the stretch lasts that long
    - without excitation the fills equal `poisson`'s

    Args:
        intensity: A and k or a curve, constant or by segments, which may have means of the process.
        clustering: The process.
        seed: Seed of all draws.
    """

    declared = declarations.Hawkes
    cdef int kernels
    cdef bint sweeps
    cdef double mean_per_s[2]           # mean intensity of the process, by side hit
    cdef double base[2]                 # baseline as a share of the mean intensity, by side hit
    cdef double jumps[2][2][MOST]       # excitation by one order, same unit: by excited side, side hit by it, kernel
    cdef double beta[MOST]              # 1/µs, in descending order
    cdef int64_t stamps[2]              # exchange time of the last print, by side hit
    cdef Excited now, before            # state after the last exciting order, and after the one before it

    def __init__(self, intensity: Intensity, clustering: Clustering, seed: int = 0) -> None:
        Poisson.__init__(self, intensity, seed)
        kernels = sorted(clustering.kernels, key=lambda kernel: -kernel.beta)
        if len(kernels) > MOST:
            raise UsageError(f"hawkes: clustering has {len(kernels)} kernels; give at most {MOST}, mm calibrate fits 4")
        self.kernels, self.sweeps = len(kernels), clustering.sweeps
        for i in range(2):
            self.mean_per_s[1 - i] = clustering.mean[i]
            self.base[1 - i] = clustering.mu[i] / clustering.mean[i]
            for m, kernel in enumerate(kernels):
                self.beta[m] = kernel.beta * 1e-6
                for j in range(2):
                    self.jumps[1 - i][1 - j][m] = kernel.branching[i][j] * kernel.beta / clustering.mean[i]
        self.needs |= NEEDS_PRINTS if self.kernels else 0

    cdef void restart(self) noexcept:
        Poisson.restart(self)
        self.stamps[0] = self.stamps[1] = 0
        memset(&self.now, 0, sizeof(Excited))
        self.before = self.now

    cdef int on_print(self, int64_t side, int64_t us, int64_t recv_seq, int64_t exch_us) except -1 nogil:
        cdef int hit = 1 if side < 0 else 0, i, m
        if self.sweeps and exch_us and exch_us == self.stamps[hit]:
            return 0
        self.stamps[hit] = exch_us
        self.before = self.now
        self.before.until_us = self.now.us = us
        for m in range(self.kernels):
            self.before.decay[m] = expm1_neg(self.beta[m] * <double> (us - self.before.us))
            for i in range(2):
                self.now.excess[i][m] = self.before.excess[i][m] * (1.0 + self.before.decay[m]) + self.jumps[i][hit][m]
        self.begin(us, recv_seq)
        return 3

    cdef void excess_at(self, const Excited* state, int hit, int64_t us, double* excess) noexcept nogil:
        cdef int m
        for m in range(self.kernels):
            excess[m] = state.excess[hit][m]
            if us != state.us:
                excess[m] *= exp(-self.beta[m] * <double> (us - state.us))

    cdef double rate(self, int64_t piece, const Order* order, int hit) noexcept nogil:
        """In 1/µs when the process is at its mean."""
        cdef double rate = self.intensity.rate(piece, order.side, order.delta) * 1e-6
        cdef double mean = self.intensity.pieces[piece].mean_per_s[hit]
        return rate * (self.mean_per_s[hit] / mean) if mean > 0.0 else rate

    cdef int draw(self, Order* order, const Top* top, int64_t now_us) except -1 nogil:
        cdef double remaining, rate, wait, span_us
        cdef double excess[MOST]
        cdef int hit = 1 if order.side > 0 else 0
        cdef int64_t from_us = now_us, piece
        if self.kernels == 0:
            return Poisson.draw(self, order, top, now_us)
        remaining = self.drawn(order, top, now_us)
        if remaining < 0.0:
            return 0
        piece = self.intensity.find(now_us)
        while piece < self.intensity.count:
            from_us = max(from_us, self.intensity.pieces[piece].start_us)
            span_us = <double> (self.intensity.pieces[piece].end_us - from_us)
            rate = self.rate(piece, order, hit)
            if rate > 0.0:
                self.excess_at(&self.now, hit, from_us, excess)
                wait = wait_us(remaining / rate, self.base[hit], excess, self.beta, self.kernels, span_us)
                if wait < span_us:
                    order.due_us = from_us + <int64_t> wait if wait < 9e18 else NEVER
                    return 0
                remaining -= rate * integral(self.base[hit], excess, self.beta, self.kernels, span_us)
            from_us = self.intensity.pieces[piece].end_us
            piece += 1
        return 0

    cdef double between_orders(self, int hit) noexcept nogil:
        """Integral between the last two exciting orders, the usual stretch of a busy market."""
        cdef double total = self.base[hit] * <double> (self.before.until_us - self.before.us)
        cdef int m
        for m in range(self.kernels):
            total -= self.before.excess[hit][m] / self.beta[m] * self.before.decay[m]
        return total

    cdef double expected(self, const Order* order, int64_t until_us) except -1.0 nogil:
        cdef double total = 0.0, rate
        cdef double excess[MOST]
        cdef int hit = 1 if order.side > 0 else 0
        cdef int64_t piece, from_us, to_us
        # An exciting order ends the stretches that began with the previous one.
        cdef const Excited* state = &self.before if order.stretch_us < self.now.us else &self.now
        if self.kernels == 0 or order.stretch_us == NEVER:
            return Poisson.expected(self, order, until_us)
        piece = self.intensity.find(order.stretch_us)
        while piece < self.intensity.count and self.intensity.pieces[piece].start_us < until_us:
            from_us = max(order.stretch_us, self.intensity.pieces[piece].start_us)
            to_us = min(until_us, self.intensity.pieces[piece].end_us)
            rate = self.rate(piece, order, hit)
            if state is &self.before and from_us == state.us and to_us == state.until_us:
                total += rate * self.between_orders(hit)
            else:
                self.excess_at(state, hit, from_us, excess)
                total += rate * integral(self.base[hit], excess, self.beta, self.kernels, <double> (to_us - from_us))
            piece += 1
        return total


@declares(ClusteredFills.declared)
def hawkes(**given: Any) -> ClusteredFills:
    """Return ``ClusteredFills`` for an intensity, given as for ``poisson``, and a clustering.

    Raises:
        UsageError: If the intensity is missing or given in more than one form, or there is no clustering.
        BrokenFile: If the clustering of a fit is invalid.
        FitError: If the clustering of a fit is not usable.
    """
    cdef dict values = ClusteredFills.declared.settle(given)
    intensity = given_intensity("hawkes", "output of mm calibrate", values)
    if values["clustering"] is not None:
        if any(piece.mean_bid_per_s is not None for piece in intensity.rows()):
            raise UsageError(
                "hawkes: the segments' process means belong to the clustering in their schedule; leave clustering out, "
                "or make a schedule without it (WindowPlan(clustered=False))"
            )
        return ClusteredFills(intensity, Clustering.of(values["clustering"]), values["seed"])
    block = intensity.clustering
    if block is None or (block.get("status") == "ok" and "mean_per_s" not in block):
        raise UsageError(
            Sentence(
                "hawkes needs the clustering of orders: as {fill_params_file} a poisson_fit.json that this version's "
                "mm calibrate wrote, or a poisson_schedule.json made with {schedule_clustering} 1 (output of mm fit "
                "and other schedules contain none), or clustering in {fill_params_json} with A and k; model poisson "
                "needs none"
            )
        )
    try:
        return ClusteredFills(intensity, Clustering.of(block), values["seed"])
    except UsageError as error:
        raise BrokenFile("{fill_params_file}: {}", error) from error


# ---------------------------------------------------------------------- by a predictor


cdef double MAX_P = 1.0 - 1e-12         # bound of the predicted probability; a forest may return 1
cdef double FOREVER_US = 9e15           # a longer waiting time is no fill


cdef class PredictedFills(Drawn):
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
    cdef double horizon_s, least_ticks, most_ticks
    cdef double* row

    def __init__(self, **given: Any) -> None:
        from mm.signals.artefact import Artefact  # imported here: most runs have no predictor

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
        self.needs = NEEDS_DRAWS

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
        self.begin(top.us, top.recv_seq)
        return 3

    cdef int draw(self, Order* order, const Top* top, int64_t now_us) except -1 nogil:
        cdef double wait
        order.due_us, order.stretch_us, order.delta = NEVER, NEVER, 0.0
        if top.bid_ticks == 0 or top.ask_ticks == 0:
            return 0
        order.stretch_us = now_us
        order.delta = self.rate(order.side, 0.5 * <double> (top.bid_ticks + top.ask_ticks), order.ticks)
        if order.delta > 0.0:
            wait = self.unit_exponential(order) / (order.delta * 1e-6)
            if wait < FOREVER_US:
                order.due_us = now_us + <int64_t> wait
        return 0

    cdef double rate(self, int64_t side, double mid, int64_t ticks) noexcept nogil:
        """In 1/s; 0 if the order cannot fill."""
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


# ---------------------------------------------------------------------- several models


cdef int REASONS = 3  # per model: after a trade, after a book change, drawn


cdef class Hybrid(FillModel):
    """An order fills as early, and as much, as under the most optimistic of several models.

    - every model receives every event, so that each keeps its own state
    - at each event the largest fill counts, for equal fills the first model's; fills do not add up
    - a print fills at most its size over all our orders, whichever model fills them
    - the model whose fill counted gives the reason
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
    cdef int64_t* shares            # those of them that each model may fill

    def __init__(self, models: Iterable[object]) -> None:
        if not isinstance(models, Iterable):
            raise UsageError(f"hybrid: models is {models!r}; it must be a list of fill models")
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
        if any(model.needs_orders for model in self.models):
            raise UsageError(f"hybrid: {names}; queue_orders is the true queue, so nothing can be added to it; play it alone")
        self.drawing = drawing[0] if drawing else None
        self.each = <PyObject**> calloc(self.count, sizeof(PyObject*))
        self.shares = <int64_t*> calloc(self.count, sizeof(int64_t))
        if self.each is NULL or self.shares is NULL:
            raise MemoryError("no memory for the models of a hybrid")
        self.skips = SKIPS_ALL & ~SKIPS_LEVELS
        for i, model in enumerate(self.models):
            self.each[i] = <PyObject*> model
            needs, skips = (<FillModel> model).needs, (<FillModel> model).skips
            self.needs |= needs
            # What calls no hook of a model may be skipped.
            skips |= 0 if needs & NEEDS_TRADES else SKIPS_UNREACHED
            self.skips &= skips | (0 if needs & NEEDS_BOOKS else SKIPS_UNCROSSED)
        if self.drawing is None:
            self.needs &= ~NEEDS_PRINTS  # it alone has the hook
        self.signals = getattr(self.drawing, "signals", ())

    def __dealloc__(self) -> None:
        free(self.each)
        free(self.shares)

    @property
    def knows_next_move(self) -> bool:
        """Only if every model's fills do: a drawing one fills some orders before their price is reached."""
        return all(model.knows_next_move for model in self.models)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Fill reasons of all models, in the order of *models*."""
        return tuple(reason for model in self.models for reason in model.reasons)

    @property
    def predictor_folder(self) -> str | None:
        """Of the drawing model."""
        return getattr(self.drawing, "predictor_folder", None)

    def observe(self, observed: SignalSet, tick_e8: int) -> None:
        self.drawing.observe(observed, tick_e8)  # type: ignore[attr-defined]

    cdef void restart(self) noexcept:
        cdef int i
        for i in range(self.count):
            (<FillModel> self.each[i]).restart()

    cdef void use_step(self, int64_t step_lots) noexcept:
        cdef int i
        self.step_lots = step_lots
        for i in range(len(self.models)):
            (<FillModel> self.each[i]).use_step(step_lots)

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        cdef int i
        for i in range(self.count):
            (<FillModel> self.each[i]).on_rest(order, top)
        return 0

    cdef int64_t print_lots(self, const Trade* trade) except -1 nogil:
        cdef int i
        self.print_full_lots = trade.lots
        for i in range(self.count):
            self.shares[i] = (<FillModel> self.each[i]).print_lots(trade)
        return trade.lots

    cdef int64_t on_trade(self, Order* order, const Trade* trade) except -1 nogil:
        cdef int64_t largest = 0, lots, taken = self.print_full_lots - trade.lots
        cdef Trade remaining = trade[0]
        cdef int i
        for i in range(self.count):
            if not (<FillModel> self.each[i]).needs & NEEDS_TRADES:
                continue
            remaining.lots = max(self.shares[i] - taken, 0)
            lots = min((<FillModel> self.each[i]).on_trade(order, &remaining), min(remaining.lots, order.lots))
            if lots > largest:
                largest = lots
                self.by = REASONS * i
        return largest

    cdef int64_t on_book(self, Order* order, const Top* top, int64_t elapsed_us) except -1 nogil:
        cdef int64_t largest = 0, lots
        cdef int i
        for i in range(self.count):
            if not (<FillModel> self.each[i]).needs & NEEDS_BOOKS:
                continue
            lots = min((<FillModel> self.each[i]).on_book(order, top, elapsed_us), order.lots)
            if lots > largest:
                largest = lots
                self.by = REASONS * i
        return largest

    cdef int on_level(self, Order* order, int64_t before_lots, int64_t after_lots) except -1 nogil:
        cdef int i
        for i in range(self.count):
            if (<FillModel> self.each[i]).needs & NEEDS_LEVELS:
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
            if (<FillModel> self.each[i]).needs & NEEDS_DRAWS:
                return REASONS * i
        return 0
