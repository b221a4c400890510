# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Clustered fills: lambda(delta) times the relative intensity of a Hawkes process driven by recorded orders.

The conditional intensity of a Hawkes process (Hawkes, Biometrika 58, 1971) with exponential kernels decays between the
orders that excite it, so its integral has a closed form; the inverse needs a few Newton steps from below.
"""

from libc.math cimport exp, expm1
from libc.stdint cimport int64_t
from libc.string cimport memset

from mm.backtest.fills.base cimport NEVER, Order, Top
from mm.backtest.fills.intensity cimport Intensity, Poisson

from mm.backtest.fills.clustering import Clustering
from mm.backtest.fills.intensity import given_intensity
from mm.backtest import declarations
from mm.backtest.parameters import declares
from mm.errors import BrokenFile, UsageError

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
      orders that hit side i, given all recorded ones up to t; mean_i is its mean, or that of the segment if given
    - an order of the process is a sweep, the prints of one side and trade time; its instant is that of its first print
      in the window of the tape, in exchange time if the run uses that clock
    - each of them begins a new stretch for both sides, as a change of the reference does
    - one unit exponential draw per side and stretch, keyed by the event that began it; the fill happens when the
      integrated intensity reaches it, if the stretch lasts that long
    - without excitation the fills equal those of `poisson`

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
        self.follows_prints = self.kernels > 0

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
        """Set *excess* to the excitation of a side at an instant, by kernel."""
        cdef int m
        for m in range(self.kernels):
            excess[m] = state.excess[hit][m]
            if us != state.us:
                excess[m] *= exp(-self.beta[m] * <double> (us - state.us))

    cdef double rate(self, int64_t piece, const Order* order, int hit) noexcept nogil:
        """Return the intensity of a segment in 1/µs when the process is at its mean."""
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
        """Return the integral between the last two exciting orders, the usual stretch of a busy market."""
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
            "hawkes needs the clustering of orders: FILL_PARAMS_FILE=<a poisson_fit.json that this version's mm "
            "calibrate wrote, or a poisson_schedule.json of mm schedule --schedule-clustering 1> (output of mm fit and "
            "other schedules contain none), or clustering in FILL_PARAMS_JSON with A and k; model poisson needs none"
        )
    try:
        return ClusteredFills(intensity, Clustering.of(block), values["seed"])
    except UsageError as error:
        raise BrokenFile(f"FILL_PARAMS_FILE: {error}") from error
