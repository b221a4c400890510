# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Clustered fills: lambda(delta) times the relative intensity of a Hawkes process driven by the recorded orders.

The conditional intensity of a Hawkes process (Hawkes, Biometrika 58, 1971) with exponential kernels decays between the
orders that excite it, so its integral has a closed form, and the inverse takes a few Newton steps from below.
"""

from libc.math cimport exp, expm1
from libc.stdint cimport int64_t
from libc.string cimport memset

from mm.backtest.fills.base cimport NEVER, Order, Top
from mm.backtest.fills.intensity cimport Intensity, Poisson

from mm.backtest.fills.clustering import CLUSTERING, Clustering
from mm.backtest.fills.intensity import given_intensity
from mm.backtest.parameters import INTENSITY, RATES, SEED, Declaration
from mm.errors import BrokenFile, UsageError

cdef enum:
    MOST = 16                       # kernels

cdef double CLOSE_US = 1e-6         # Newton's method ends when less than this is left
cdef int MOST_STEPS = 100           # of Newton's method, if rounding errors exceed CLOSE_US: after years


cdef struct Excited:
    int64_t us                      # the last order that excited the process
    double above[2][MOST]           # by side hit (asks, bids) and kernel: shares of the mean intensity, after that order
    int64_t until_us                # the order after it, once it has arrived,
    double gone[MOST]               # and the decay until then, exp(-beta·t) - 1, by kernel


cdef inline double lost(double x) noexcept nogil:
    """Return exp(-x) - 1; unless it is small the plain difference is as exact as ``expm1``, and faster."""
    return exp(-x) - 1.0 if x > 0.7 else expm1(-x)


cdef double integral(double base, const double* above, const double* beta, int kernels, double span_us) noexcept nogil:
    """Return the integral over *span_us* of *base* + the sum of above·exp(-beta·t)."""
    cdef double total = base * span_us
    cdef int m
    for m in range(kernels):
        total -= above[m] / beta[m] * lost(beta[m] * span_us)
    return total


cdef double wait_us(
    double target, double base, const double* above, const double* beta, int kernels, double span_us
) noexcept nogil:
    """Return the time at which that integral reaches *target*; *span_us* or more if it does so later or never.

    The integral is concave, so Newton steps from below stay below. The start is the best of several lower bounds: in
    each, the kernels with the largest decays have contributed their total, and the others do not decay. The error after
    a step is at most its square times the curvature over twice the slope, as both decrease.
    """
    cdef double wait = 0.0, spent = 0.0, slope = base, value, gone, step, bend
    cdef int m, steps = 0
    for m in range(kernels):
        spent += above[m] / beta[m]
    if target > spent:
        wait = (target - spent) / base
    for m in range(kernels - 1, -1, -1):
        slope += above[m]
        spent -= above[m] / beta[m]
        wait = max(wait, (target - spent) / slope)
    while wait < span_us and steps < MOST_STEPS:
        steps += 1
        value, slope, bend = base * wait, base, 0.0
        for m in range(kernels):
            gone = lost(beta[m] * wait)
            value -= above[m] / beta[m] * gone
            slope += above[m] * (1.0 + gone)
            bend += above[m] * beta[m] * (1.0 + gone)
        step = (target - value) / slope
        wait += step
        if step * step * bend <= CLOSE_US * slope:
            break
    return wait


cdef class ClusteredFills(Poisson):
    """An order fills as under `poisson`, with an intensity that each recorded aggressive order raises temporarily.

    - the intensity is lambda(delta) · lambda_i(t)/mean_i, i the side of the order: lambda_i is the intensity of
      orders that hit side i, given all recorded ones up to t; mean_i is its mean, or that of the segment if given
    - an order of the process is a sweep: prints of one side and trade time, counted at the first one in the window
      of the tape, in exchange time if the run uses that clock
    - each of them begins a new stretch for both sides, as a change of the reference does
    - one unit exponential draw per side and stretch, keyed by the event that began it; the fill happens when the
      integrated intensity reaches it, if the stretch lasts that long
    - without excitation the fills equal those of `poisson`

    Args:
        intensity: A and k or a curve, constant or by segments, which may have means of the process.
        clustering: The process.
        seed: Seed of all draws.
    """

    declared = Declaration(
        "hawkes",
        (
            *RATES,
            CLUSTERING,
            INTENSITY,
            SEED,
        ),
        bias="fills in the bursts of the recorded orders, but whatever price they reach: an upper bound of the PnL",
    )
    cdef int kernels
    cdef bint sweeps
    cdef double mean_per_s[2]           # by side hit: of the process
    cdef double base[2]                 # by side hit: of the intensity, as a share of its mean
    cdef double raises[2][2][MOST]      # by side hit, side that an order hits, and kernel: same unit
    cdef double beta[MOST]              # 1/µs, the largest first
    cdef int64_t stamps[2]              # by side hit: of the last print
    cdef Excited now, before            # after the last order that excited the process, and the one before

    def __init__(self, intensity: Intensity, clustering: Clustering, seed: int = 0) -> None:
        Poisson.__init__(self, intensity, seed)
        kernels = sorted(clustering.kernels, key=lambda one: -one.beta)
        if len(kernels) > MOST:
            raise UsageError(f"hawkes: clustering has {len(kernels)} kernels; give at most {MOST}, mm calibrate fits 4")
        self.kernels, self.sweeps = len(kernels), clustering.sweeps
        for i in range(2):
            self.mean_per_s[1 - i] = clustering.mean[i]
            self.base[1 - i] = clustering.mu[i] / clustering.mean[i]
            for m, kernel in enumerate(kernels):
                self.beta[m] = kernel.beta * 1e-6
                for j in range(2):
                    self.raises[1 - i][1 - j][m] = kernel.branching[i][j] * kernel.beta / clustering.mean[i]
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
            self.before.gone[m] = lost(self.beta[m] * <double> (us - self.before.us))
            for i in range(2):
                self.now.above[i][m] = self.before.above[i][m] * (1.0 + self.before.gone[m]) + self.raises[i][hit][m]
        self.begin(us, recv_seq)
        return 3

    cdef void above_at(self, const Excited* known, int hit, int64_t us, double* above) noexcept nogil:
        """Set *above* to the excitation of a side at an instant, by kernel."""
        cdef int m
        for m in range(self.kernels):
            above[m] = known.above[hit][m]
            if us != known.us:
                above[m] *= exp(-self.beta[m] * <double> (us - known.us))

    cdef double rate(self, int64_t piece, const Order* order, int hit) noexcept nogil:
        """Return the intensity of a segment in 1/µs when the process is at its mean."""
        cdef double rate = self.intensity.rate(piece, order.side, order.delta) * 1e-6
        cdef double mean = self.intensity.pieces[piece].mean_per_s[hit]
        return rate * (self.mean_per_s[hit] / mean) if mean > 0.0 else rate

    cdef int draw(self, Order* order, const Top* top, int64_t now_us) except -1 nogil:
        cdef double left, rate, wait, span_us
        cdef double above[MOST]
        cdef int hit = 1 if order.side > 0 else 0
        cdef int64_t from_us = now_us, piece
        if self.kernels == 0:
            return Poisson.draw(self, order, top, now_us)
        left = self.drawn(order, top, now_us)
        if left < 0.0:
            return 0
        piece = self.intensity.find(now_us)
        while piece < self.intensity.count:
            from_us = max(from_us, self.intensity.pieces[piece].start_us)
            span_us = <double> (self.intensity.pieces[piece].end_us - from_us)
            rate = self.rate(piece, order, hit)
            if rate > 0.0:
                self.above_at(&self.now, hit, from_us, above)
                wait = wait_us(left / rate, self.base[hit], above, self.beta, self.kernels, span_us)
                if wait < span_us:
                    order.due_us = from_us + <int64_t> wait if wait < 9e18 else NEVER
                    return 0
                left -= rate * integral(self.base[hit], above, self.beta, self.kernels, span_us)
            from_us = self.intensity.pieces[piece].end_us
            piece += 1
        return 0

    cdef double between_orders(self, int hit) noexcept nogil:
        """Return the integral between the last two exciting orders: nearly all stretches of a busy market."""
        cdef double total = self.base[hit] * <double> (self.before.until_us - self.before.us)
        cdef int m
        for m in range(self.kernels):
            total -= self.before.above[hit][m] / self.beta[m] * self.before.gone[m]
        return total

    cdef double expected(self, const Order* order, int64_t until_us) except -1.0 nogil:
        cdef double total = 0.0, rate
        cdef double above[MOST]
        cdef int hit = 1 if order.side > 0 else 0
        cdef int64_t piece, from_us, to_us
        # An exciting order ends the stretches that began with the previous one.
        cdef const Excited* known = &self.before if order.stretch_us < self.now.us else &self.now
        if self.kernels == 0 or order.stretch_us == NEVER:
            return Poisson.expected(self, order, until_us)
        piece = self.intensity.find(order.stretch_us)
        while piece < self.intensity.count and self.intensity.pieces[piece].start_us < until_us:
            from_us = max(order.stretch_us, self.intensity.pieces[piece].start_us)
            to_us = min(until_us, self.intensity.pieces[piece].end_us)
            rate = self.rate(piece, order, hit)
            if known is &self.before and from_us == known.us and to_us == known.until_us:
                total += rate * self.between_orders(hit)
            else:
                self.above_at(known, hit, from_us, above)
                total += rate * integral(self.base[hit], above, self.beta, self.kernels, <double> (to_us - from_us))
            piece += 1
        return total


@ClusteredFills.declared
def hawkes(**given: Any) -> ClusteredFills:
    """Return the ``ClusteredFills`` of an intensity, given as to ``poisson``, and of a clustering.

    Raises:
        UsageError: If the intensity is missing or given in more than one form, or there is no clustering.
        BrokenFile: If the clustering of a fit is invalid.
        FitError: If the clustering of a fit is not usable.
    """
    cdef dict values = ClusteredFills.declared.settle(given)
    intensity = given_intensity("hawkes", "output of mm calibrate", values)
    if values["clustering"] is not None:
        if any(one.mean_bid_per_s is not None for one in intensity.rows()):
            raise UsageError(
                "hawkes: the segments have means of the process that their schedule holds; leave clustering out, or "
                "make a schedule without (WindowPlan(clustered=False))"
            )
        return ClusteredFills(intensity, Clustering.of(values["clustering"]), values["seed"])
    block = intensity.clustering
    if block is None or (block.get("status") == "ok" and "mean_per_s" not in block):
        raise UsageError(
            "hawkes needs the clustering of orders: FILL_PARAMS_FILE=<a poisson_fit.json that this version's mm "
            "calibrate wrote, or a poisson_schedule.json of mm schedule --schedule-clustering 1> (what mm fit writes and "
            "other schedules have none), or clustering in FILL_PARAMS_JSON with A and k; poisson fills without it"
        )
    try:
        return ClusteredFills(intensity, Clustering.of(block), values["seed"])
    except UsageError as error:
        raise BrokenFile(f"FILL_PARAMS_FILE: {error}") from error
