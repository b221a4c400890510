# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""Quotes at distances of bid and ask from the mid by a formula: the closed forms, and optimal quotes with a bound.

- Avellaneda and Stoikov, Quantitative Finance 8(3), 217-224 (2008): plain, default, and symmetric
- Guéant, Lehalle and Fernandez-Tapia, Mathematics and Financial Economics 7, 477-507 (2013)
- Guéant, Optimal market making, Applied Mathematical Finance 24(2), 112-154 (2017; arXiv 1605.01862)
- Cartea, Jaimungal and Penalva, Algorithmic and High-Frequency Trading (2015), chapter 10
- Howard, Dynamic Programming and Markov Processes (1960): policy iteration, which is Newton's method here

With a bounded inventory the quotes follow from the values of the inventory levels. For an exponential intensity these
are the solution of v' = -M v, for a finite and an infinite horizon (`InventoryLevels`); for any decreasing one they
are found by Newton's method (`CurveLevels`).
"""

from libc.math cimport (
    INFINITY, M_LN2, NAN, acosh, asinh, ceil, exp, exp2, expm1, fabs, floor, fmax, isfinite, isnan, llround, log, log1p,
    log2, sqrt,
)
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from mm.backtest.fills.base cimport BEST_LOTS, BEST_PRICES, NEVER
from mm.backtest.fills.intensity cimport BEST, MICRO, MID, Intensity, Piece, mid_offset
from mm.backtest.quotes.base cimport QuoteModel, View, Want, clips_held
from mm.backtest.quotes.steps cimport Step

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm.backtest import declarations
from mm.backtest.fills.intensity import is_falling
from mm.backtest.parameters import AUTO, LARGEST_TICKS, TOUCH, declares
from mm.backtest.quotes.steps import InventoryBound, PostOnly
from mm.errors import Mismatch, UsageError

MOST_LEVELS = 500               # of an inventory bound, in orders
MOST_POINTS = 1_000             # of a curve

cdef double FARTHEST_TICKS = 1e15   # maximum distance of a quote from the mid
cdef double LEAST_LOG = -700.0      # minimum ln gamma; below it the float underflows


cdef inline double markup(double gamma, double k) noexcept nogil:
    """Return (1/gamma) ln(1 + gamma/k), by its series where gamma/k is tiny."""
    if gamma < 1e-8 * k:
        return 1.0 / k - gamma / (2.0 * k * k)
    return log1p(gamma / k) / gamma

cdef struct Market:
    double tau_s            # time left
    double sigma            # ticks per root second
    double k                # per tick
    double A                # per second and side
    double gamma            # per tick and clip
    int64_t piece           # index of the intensity's piece with the curve; -1 if there are only k and A
    double bid_offset       # distance of the mid from the curve's reference price, in ticks
    double ask_offset

# A gamma used by quotes, and the number of these quotes.
cdef struct UsedGamma:
    double gamma
    int64_t quotes


cdef inline double whole(double orders) noexcept nogil:
    """Return a number of orders; one that is whole but for the rounding of a quotient (0.3 / 0.1) as a whole number."""
    cdef double nearest = floor(orders + 0.5)
    return nearest if fabs(orders - nearest) <= 1e-9 * fmax(fabs(nearest), 1.0) else orders


cdef inline double number_or(object value, double default):
    """Return *value* as a float, or the default for None."""
    return default if value is None else value


cdef inline double touch_k(int64_t spread_ticks, double reach) noexcept nogil:
    """Return the k of ``touch``: 1/k is at most 0.45 of the spread, not 0.5, because gamma adds to the distance.

    With a *reach* of 0 or more, quotes are wanted that far behind the best prices, whatever the spread.
    """
    spread_ticks = max(spread_ticks, 1)  # a live book may be locked or crossed
    if reach >= 0.0:
        return 1.0 / (0.45 * (<double> spread_ticks + 2.0 * reach))
    return max(1.0, 1.0 / (0.45 * <double> spread_ticks))


cdef class Distances(QuoteModel):
    """Base of models that quote at distances from the mid: override ``formula``.

    A formula takes the inventory q in clips, and the current time left, sigma, k and A. This class supplies them: k and
    A from the parameters or from the fit or schedule, sigma from the parameters or estimated from the tape, the time
    left by the mode. While a value that the formula needs is unknown, nothing is quoted.

    A gamma of ``auto`` is the one at which a clip of inventory moves the reservation price by *skew_share* of the
    half-spread, over *horizon_s*: the root of one equation, for the current k and A and a slowly varying sigma
    (*sigma*, else that of the fit or the segment, else that of the whole run so far; before that is known, the one at
    which the mid moves by 1/k within the horizon). It is at most k: when the mid hardly moves, a larger gamma would
    reduce the spread to zero. With ``auto`` that sigma is also used while the current one is unknown, so quotes begin
    at once.

    In mode ``session`` the time left runs from *horizon_s* down to 0, repeatedly; in all others it is constant.
    """

    declared = declarations.Distances
    cdef readonly double k, A, sigma, horizon_s, q_max, gamma, skew_share
    cdef readonly str mode
    cdef Intensity intensity
    cdef double clips               # size of one order, in clips
    cdef bint session               # whether time runs from the horizon down to 0, repeatedly
    cdef bint needs_A, needs_sigma  # whether the formula uses them
    cdef bint fitted                # whether k or A come from the intensity
    cdef bint joins                 # whether k follows from the displayed spread
    cdef double reach               # of the step around it, in ticks; negative without one
    cdef bint auto                  # whether gamma follows from the market
    cdef Market solved               # market for which gamma was last solved, with that gamma
    cdef UsedGamma* used
    cdef int64_t used_count, used_room

    cdef dict settle(self, dict given, tuple needs):
        """Set the shared parameters, and return the values of all.

        Args:
            given: The arguments of a constructor.
            needs: Inputs of the formula besides q, the time left and k: ``A``, ``sigma``.
        """
        cdef dict values = self.declared.settle(given, self.name)
        self.needs_A, self.needs_sigma = "A" in needs, "sigma" in needs
        self.intensity = values["intensity"]
        missing = "k" if values["k"] is None else "A" if self.needs_A and values["A"] is None else ""
        if missing and self.intensity is None:
            raise UsageError(f"{self.name}: {missing} is missing; give it in QUOTE_PARAMS_JSON or by FILL_PARAMS_FILE")
        if missing and self.needs_A and isnan(number_or(values["A"], NAN)) and not self.intensity.from_mid:
            raise Mismatch(
                f"{self.name}: the distances of its fit are measured from {self.intensity.reference!r}, and the fit "
                f"has no half_spread_ticks, the mean distance of the mid from there; calibrate again, or give A"
            )
        gamma = values.get("gamma")
        self.auto = gamma == AUTO
        self.gamma = NAN if self.auto else number_or(gamma, NAN)
        self.skew_share = number_or(values.get("skew_share"), NAN)
        self.solved.k = self.solved.sigma = self.solved.A = NAN
        self.joins = values["k"] == TOUCH
        self.k = NAN if self.joins else number_or(values["k"], NAN)
        self.A = number_or(values.get("A"), NAN)
        self.sigma, self.q_max = number_or(values.get("sigma"), NAN), number_or(values.get("q_max"), INFINITY)
        self.horizon_s = values["horizon_s"]
        self.mode = values.get("mode", "rolling")
        self.session = self.mode == "session"
        self.fitted = missing != ""
        self.clips, self.reach = 1.0, -1.0
        self.looks = BEST_PRICES
        self.timeless = not (self.fitted or self.session or (self.needs_sigma and isnan(self.sigma)))
        return values

    cdef int bind(self, tuple names) except -1:
        self.used_count = 0  # a run begins
        return 0

    def __dealloc__(self) -> None:
        free(self.used)

    def gammas(self) -> NDArray[np.float64]:
        """Return the gammas used, with the number of quotes of each, in chronological order: float64[gammas, 2]."""
        cdef int64_t i
        found = np.empty((self.used_count, 2))
        cdef double[:, ::1] rows = found
        for i in range(self.used_count):
            rows[i, 0], rows[i, 1] = self.used[i].gamma, <double> self.used[i].quotes
        return found

    def sources(self) -> dict[str, str | None]:
        """Return the sources of k and A if they are not numbers: ``touch`` or ``fit``; None if A is not used."""
        return {"k": "touch" if self.joins else "fit", "A": "fit" if self.needs_A else None}

    def distances(
        self,
        q: float,
        tau_s: float | None = None,
        sigma: float | None = None,
        k: float | None = None,
        A: float | None = None,
    ) -> tuple[float, float]:
        """Return the distances of bid and ask from the mid by the plain formula, in ticks; infinite is no quote.

        Args:
            q: Inventory in clips.
            tau_s: Time left in seconds; None is the model's ``horizon_s``.
            sigma: Volatility in ticks/√s; None is the model's own, as with *k* (1/tick) and *A* (1/s). A
                gamma of ``auto`` is computed from it as well.

        Raises:
            UsageError: If a value is out of range, or given neither here nor to the model.
        """
        cdef Market market
        cdef double bid, ask
        declarations.Inputs.settle({"k": k, "A": A, "sigma": sigma, "tau_s": tau_s}, self.name)
        market.tau_s = self.horizon_s if tau_s is None else tau_s
        market.sigma = self.sigma if sigma is None else sigma
        market.k = self.k if k is None else k
        market.A = self.A if A is None else A
        for name, value, needed in (
            ("k", market.k, True), ("A", market.A, self.needs_A), ("sigma", market.sigma, self.needs_sigma)
        ):
            if needed and isnan(value):
                raise UsageError(f"{self.name}: {name} is not known; give it to the model or to distances()")
        market.gamma = self.gamma
        market.piece = -1
        market.bid_offset = market.ask_offset = 0.0
        if self.auto:
            self.solved = market
            self.solved.tau_s = self.horizon_s
            market.gamma = self.auto_gamma(&self.solved)
            self.solved.k = NAN
        self.formula(q, &market, &bid, &ask)
        return bid, ask

    cdef double skew_of(self, const Market* market) noexcept nogil:
        """Return the move of the reservation price per filled order, over the half-spread less half of that move."""
        return INFINITY

    cdef double auto_gamma(self, const Market* market) noexcept nogil:
        """Return the gamma of ``auto`` in a market; the gamma in *market* is ignored.

        The logarithm of ``skew_of`` increases with that of gamma, with a slope of at least 1/2. This brackets the root,
        which false position (Illinois) then finds.
        """
        cdef Market trial = market[0]
        cdef double share = self.skew_share * self.clips
        cdef double target = log(share / (1.0 - 0.5 * share)) if share < 2.0 else INFINITY
        cdef double high = log(market.k), low, middle, high_error, low_error, error
        cdef int last = 0, step
        trial.gamma = market.k
        high_error = log(self.skew_of(&trial)) - target
        if not high_error > 0.0:
            return market.k
        low = max(high - 2.0 * high_error, LEAST_LOG)
        trial.gamma = exp(low)
        low_error = log(self.skew_of(&trial)) - target
        if not low_error < 0.0:
            return trial.gamma
        for step in range(100):
            middle = (low * high_error - high * low_error) / (high_error - low_error)
            trial.gamma = exp(middle)
            error = log(self.skew_of(&trial)) - target
            if fabs(error) < 1e-14 or high - low < 1e-14:
                break
            if error > 0.0:
                high, high_error = middle, error
                low_error *= 0.5 if last > 0 else 1.0
                last = 1
            else:
                low, low_error = middle, error
                high_error *= 0.5 if last < 0 else 1.0
                last = -1
        return trial.gamma

    cdef void solve_gamma(self, double reference_sigma, Market* market) noexcept nogil:
        """Set the gamma of a quote to that of ``auto``, solved again if the market has changed since the last call."""
        cdef double reference = self.sigma
        if isnan(reference):
            reference = reference_sigma
        if isnan(reference):
            reference = 1.0 / (market.k * sqrt(self.horizon_s))
        if isnan(market.sigma):
            market.sigma = reference
        if self.solved.k != market.k or self.solved.sigma != reference or (self.needs_A and self.solved.A != market.A):
            self.solved = market[0]
            self.solved.tau_s, self.solved.sigma = self.horizon_s, reference
            self.solved.gamma = self.auto_gamma(&self.solved)
        market.gamma = self.solved.gamma

    cdef void bend(self, Market* market) noexcept nogil:
        """Set further parameters of the model, besides k and A, from the piece in force."""

    cdef int note_gamma(self, double gamma) except -1 nogil:
        """Append a gamma that differs from the last one, with one quote."""
        if self.used_count == self.used_room:
            self.used_room = 2 * self.used_room + 64
            self.used = <UsedGamma*> realloc(self.used, self.used_room * sizeof(UsedGamma))
            if self.used is NULL:
                with gil:
                    raise MemoryError("no memory for the gammas of a run")
        self.used[self.used_count] = UsedGamma(gamma, 1)
        self.used_count += 1
        return 0

    cdef void formula(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        """Set the distances of bid and ask from the mid in ticks; infinite or NaN is no quote."""
        bid[0] = ask[0] = INFINITY

    cdef void often(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        """As ``formula``, but called at each requote."""
        self.formula(q, market, bid, ask)

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef Market market
        cdef double mid, bid, ask, reference_sigma = view.run_sigma_ticks
        cdef int64_t piece
        market.sigma = view.sigma_ticks if isnan(self.sigma) else self.sigma
        market.k, market.A, market.tau_s = self.k, self.A, self.horizon_s
        market.piece = -1
        market.bid_offset = market.ask_offset = 0.0
        if self.joins:
            market.k = touch_k(view.top.ask_ticks - view.top.bid_ticks, self.reach)
        if self.fitted:
            piece = self.intensity.find(view.top.us)
            if piece >= self.intensity.count or self.intensity.pieces[piece].start_us > view.top.us:
                return 0
            if isnan(market.k):
                market.k = self.intensity.pieces[piece].k
                if self.reach > 0.0:  # the half-spread that a clip moves by its share is that of the quotes
                    market.k = min(market.k, touch_k(view.top.ask_ticks - view.top.bid_ticks, self.reach))
            if isnan(market.A):
                market.A = self.intensity.pieces[piece].A_mid
            if not isnan(self.intensity.pieces[piece].sigma_ticks):
                reference_sigma = self.intensity.pieces[piece].sigma_ticks
            market.piece = piece
            if self.intensity.counts_from != MID:
                market.bid_offset = mid_offset(self.intensity.counts_from, &view.top, 1)
                market.ask_offset = mid_offset(self.intensity.counts_from, &view.top, -1)
            self.bend(&market)
        if self.auto:
            self.solve_gamma(reference_sigma, &market)
        else:
            market.gamma = self.gamma
        if self.used_count and self.used[self.used_count - 1].gamma == market.gamma:
            self.used[self.used_count - 1].quotes += 1
        elif not isnan(market.gamma):
            self.note_gamma(market.gamma)
        if self.needs_sigma and isnan(market.sigma):
            return 0
        if self.session:
            market.tau_s -= 1e-6 * <double> ((view.top.us - view.begun_us) % <int64_t> (self.horizon_s * 1e6))
        mid = 0.5 * (view.top.bid_ticks + view.top.ask_ticks)
        self.often(clips_held(view), &market, &bid, &ask)
        want.bid_ticks = mid - bid if fabs(bid) < FARTHEST_TICKS else NAN
        want.ask_ticks = mid + ask if fabs(ask) < FARTHEST_TICKS else NAN
        if self.clips != 1.0:
            want.bid_lots = want.ask_lots = max(llround(self.clips * <double> view.quote_lots), 1)
        return 0


# ---------------------------------------------------------------------- Avellaneda and Stoikov

cdef double LEAST = 1e-150          # minimum gamma/k; below it its square underflows


cdef inline double gamma_over_k(const Market* market, double share) noexcept nogil:
    """Return x = gamma/k, at most 1, at which a clip moves the price by *share* of the half-spread.

    It is the root of x² - r·ln(1 + x), a convex function, by Newton's method: three steps at most for usual values.
    """
    cdef double target = share / (1.0 - 0.5 * share), scale = market.k * market.sigma
    cdef double most = scale * scale * market.tau_s, r, x, change
    cdef int step
    if not most > target * M_LN2:  # or unknown
        return 1.0
    r = target / most
    x = max(2.0 * r / (1.0 + sqrt(1.0 + 2.0 * r)), LEAST)
    for step in range(20):
        change = (x * x - r * log1p(x)) / (2.0 * x - r / (1.0 + x))
        x = max(x - change, LEAST)
        if fabs(change) < 1e-8 * x:  # the error is its square
            break
    return min(x, 1.0)


cdef class AvellanedaStoikov(Distances):
    """Reservation price and optimal spread for an exponential utility.

    With q the inventory in clips (multiples of the quoted quantity) and tau the time left,
    reservation r = mid - q·gamma·sigma²·tau and half spread gamma·sigma²·tau/2 + (1/gamma)·ln(1 + gamma/k)
    (equations 29 and 30); the bid is r - half spread, the ask r + half spread. In mode ``infinite`` each
    side has its own reservation price, those of section 2.3 with w = gamma²·sigma²·(q_max + 1)²/2: the bid's
    is mid + ln(1 - (1 + 2q)/((q_max + 1)² - q²))/gamma, the ask's its mirror image in q. (The paper prints
    the ask's with another sign inside the logarithm, inconsistent with its own value function.) In this mode a gamma of
    ``auto`` uses the slope of the reservation price at q = 0.
    """

    declared = declarations.AvellanedaStoikovBare
    cdef bint infinite

    def __init__(self, *, name: str | None = None, **given: Any) -> None:
        if name is not None:
            self.name = name
        self.infinite = given.get("mode") == "infinite"
        self.settle(given, () if self.infinite else ("sigma",))
        if self.infinite and self.q_max == INFINITY:
            raise UsageError(f"{self.name}: mode infinite needs q_max, the inventory bound in clips")

    cdef void formula(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        cdef double risk = market.gamma * market.sigma * market.sigma * market.tau_s, room
        cdef double edge = markup(market.gamma, market.k)
        if self.infinite:
            room = (self.q_max + 1.0) * (self.q_max + 1.0) - q * q
            bid[0] = edge - log(1.0 - (1.0 + 2.0 * q) / room) / market.gamma if q < self.q_max else INFINITY
            ask[0] = edge - log(1.0 - (1.0 - 2.0 * q) / room) / market.gamma if q > -self.q_max else INFINITY
            return
        bid[0] = q * risk + 0.5 * risk + edge if q < self.q_max else INFINITY
        ask[0] = -q * risk + 0.5 * risk + edge if q > -self.q_max else INFINITY

    cdef double auto_gamma(self, const Market* market) noexcept nogil:
        cdef double room = (self.q_max + 1.0) * (self.q_max + 1.0)
        if not self.infinite:
            return market.k * gamma_over_k(market, self.skew_share)
        # At q = 0 a clip moves the price by 2/(gamma (room - 1)), and the half-spread is markup - ln(1 - 1/room)/gamma.
        return market.k * min(expm1(min(2.0 / (self.skew_share * (room - 1.0)) + log1p(-1.0 / room), 1.0)), 1.0)


cdef class Symmetric(QuoteModel):
    """Quote the spread of ``AvellanedaStoikov`` around the mid, independent of the inventory.

    In mode ``rolling`` the spread equals that model's with tau = *horizon_s*; in mode ``session`` it is the benchmark
    of section 3.3, the mean over a session: the half-spread is gamma·sigma²·horizon_s/4 plus the markup.
    """

    declared = declarations.Symmetric
    cdef readonly QuoteModel inner

    def __init__(self, **given: Any) -> None:
        values = self.declared.settle(given)
        if values.pop("mode") == "session":
            values["horizon_s"] *= 0.5
        self.inner = AvellanedaStoikov(name=self.name, **values)
        self.looks, self.timeless = BEST_PRICES, self.inner.timeless

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef View flat = view[0]
        flat.most_lots -= view.inventory_lots - view.target_lots
        flat.least_lots -= view.inventory_lots - view.target_lots
        flat.inventory_lots = view.target_lots
        return self.inner.quote(&flat, want)


# ---------------------------------------------------------------------- a bounded inventory

cdef enum:
    ARRAYS = 11
    ROUNDS = 80                 # maximum iterations for the eigenvalue; usually six

cdef double STAGE = 100.0       # maximum time of one power series
cdef double FAR = 46.0          # levels with an influence below exp(-46) are ignored


cdef class InventoryLevels:
    """Solves for the steps between inventory levels; owns the work arrays.

    Args:
        bound: Q, in orders; levels run from -Q to Q.
    """

    cdef readonly int64_t bound     # levels run from -bound to bound
    cdef int64_t count              # of levels
    cdef double value               # last computed smallest eigenvalue
    cdef double* memory
    cdef double* diagonal           # arrays of one entry per level, plus one before the first and one after the last
    cdef double* left
    cdef double* right
    cdef double* up
    cdef double* down
    cdef double* scale
    cdef double* log_v
    cdef double* term
    cdef double* after
    cdef double* total
    cdef double* limit

    def __cinit__(self, bound: int) -> None:
        if not 1 <= bound <= MOST_LEVELS:
            raise UsageError(f"an inventory bound of {bound} orders; it must be 1 to {MOST_LEVELS}")
        self.bound, self.count = bound, 2 * bound + 1
        self.memory = <double*> calloc(ARRAYS * (self.count + 2), sizeof(double))
        if self.memory is NULL:
            raise MemoryError("no memory for the inventory levels")
        self.diagonal, self.left, self.right = self.array(0), self.array(1), self.array(2)
        self.up, self.down, self.scale, self.log_v = self.array(3), self.array(4), self.array(5), self.array(6)
        self.term, self.after, self.total, self.limit = self.array(7), self.array(8), self.array(9), self.array(10)

    def __dealloc__(self) -> None:
        free(self.memory)

    def steps(self, rho: float, tilt: float = 0.0, time: float | None = None, bend: float = 0.0) -> list[float]:
        """Return ln v(n+1) - ln v(n) for n = -Q .. Q-1.

        Args:
            rho, tilt: The diagonal of M is rho·n² - tilt·n.
            time: Time to the horizon; None is infinite: v is then M's eigenvector of the smallest eigenvalue.
            bend: v is exp(-bend·n²) at the horizon.
        """
        cdef double* answer = <double*> calloc(self.count, sizeof(double))
        if answer is NULL:
            raise MemoryError("no memory for the steps between inventory levels")
        try:
            if time is None:
                self.stationary(rho, tilt, answer)
            else:
                self.finite(rho, tilt, time, bend, 0, self.count - 1, answer)
            return [answer[i] for i in range(self.count - 1)]
        finally:
            free(answer)

    cdef double* array(self, int64_t which) noexcept nogil:
        """Return an array of one entry per level, plus one before the first and one after the last."""
        return self.memory + which * (self.count + 2) + 1

    cdef void rise(self, double rho, double tilt) noexcept nogil:
        """Set the diagonal, less its smallest entry."""
        cdef double lowest = INFINITY, n
        cdef int64_t i
        for i in range(self.count):
            n = <double> (i - self.bound)
            self.diagonal[i] = n * (rho * n - tilt)
            lowest = min(lowest, self.diagonal[i])
        for i in range(self.count):
            self.diagonal[i] -= lowest

    # ------------------------------------------------------------------ infinite horizon

    cdef void stationary(self, double rho, double tilt, double* steps) noexcept nogil:
        """Set all steps to those of the eigenvector of the smallest eigenvalue.

        Rayleigh quotient iteration on twisted factorisations (Parlett and Dhillon, 1997), bracketed: it yields each
        component to its own relative precision. Only the first eigenvector is positive.
        """
        cdef double value = -2.0, below = -2.0, above = 0.0, residual, quotient
        cdef bint positive, is_below
        cdef int64_t at = 0, i
        self.rise(rho, tilt)
        for _ in range(ROUNDS):
            residual = self.twist(value, &at, &positive, &is_below)
            if is_below:
                below = value
            else:
                above = min(above, value)
            quotient = value + residual / self.norm2(at) if positive else NAN
            if positive and fabs(quotient - value) <= 2e-16 * (2.0 + fabs(value)):
                break
            if positive and below < quotient <= above:
                value = quotient
            elif 0.5 * (below + above) == value:
                break
            else:
                value = 0.5 * (below + above)
        self.value = value
        for i in range(self.count - 1):
            steps[i] = log(self.left[i]) if i < at else -log(self.right[i + 1])

    cdef double twist(self, double value, int64_t* at, bint* positive, bint* below) noexcept nogil:
        """Factor M - value from both ends; return the smallest pivot of a meeting point, and set *at* to its level."""
        cdef double pivot, smallest = INFINITY, answer = 0.0
        cdef int64_t i, last = self.count - 1
        self.left[0] = self.diagonal[0] - value
        self.right[last] = self.diagonal[last] - value
        for i in range(1, self.count):
            self.left[i] = self.diagonal[i] - value - 1.0 / self.left[i - 1]
            self.right[last - i] = self.diagonal[last - i] - value - 1.0 / self.right[last - i + 1]
        below[0] = positive[0] = True
        for i in range(self.count):
            below[0] = below[0] and self.left[i] > 0.0
            pivot = self.left[i] + self.right[i] - (self.diagonal[i] - value)
            if fabs(pivot) < smallest:
                smallest, answer, at[0] = fabs(pivot), pivot, i
        for i in range(self.count):
            positive[0] = positive[0] and (self.left[i] > 0.0 if i < at[0] else i == at[0] or self.right[i] > 0.0)
        return answer

    cdef bint alone(self, double gap) noexcept nogil:
        """Return whether no other eigenvalue is within *gap* of the smallest one, as found by ``stationary``."""
        cdef double pivot = INFINITY
        cdef int64_t i, below = 0
        for i in range(self.count):
            pivot = self.diagonal[i] - self.value - gap - 1.0 / pivot
            below += pivot < 0.0
        return below <= 1

    cdef double norm2(self, int64_t at) noexcept nogil:
        """Return the squared length of the vector that is 1 at level *at*, where the ends meet."""
        cdef double entry = 1.0, total = 1.0
        cdef int64_t i
        for i in range(at - 1, -1, -1):
            entry /= self.left[i]
            total += entry * entry
        entry = 1.0
        for i in range(at + 1, self.count):
            entry /= self.right[i]
            total += entry * entry
        return total

    # ------------------------------------------------------------------ finite horizon

    cdef void finite(
        self, double rho, double tilt, double time, double bend, int64_t low, int64_t high, double* steps
    ) noexcept nogil:
        """Set the steps from index *low* to *high* (0 is level -Q) after *time*; others stay unchanged.

        exp(-M·time) is a power series of a matrix without a negative entry, since a multiple of the identity only
        scales v (uniformisation). A long time is split into stages, which end early when v converges; if
        the contributions of all but the smallest eigenvalue vanish in that time, no stages are needed.
        """
        cdef int64_t first = low, last = high, i, stages = 1
        cdef double top = 0.0, n, wanted
        for i in range(self.count):
            n = <double> (i - self.bound)
            self.log_v[i] = -bend * n * n
        if time > 0.0:
            if bend > 0.0:
                first, last = min(low, self.bound), max(high, self.bound)
            self.window(rho, tilt, &first, &last)
            for i in range(first, last + 1):
                top = fmax(top, self.diagonal[i])
            wanted = ceil(time * (top + 2.0) / STAGE)
            if wanted > 1.0:
                self.stationary(rho, tilt, self.limit)
                if self.alone((60.0 + log1p(rho) + 2.0 * log(<double> self.count)) / time):
                    for i in range(low, high):
                        steps[i] = self.limit[i]
                    return
            stages = max(<int64_t> wanted, 1)
            for i in range(stages):
                self.stage(time / <double> stages, top, first, last)
                if wanted > 1.0 and self.arrived(low, high):
                    break
        for i in range(low, high):
            steps[i] = self.log_v[i + 1] - self.log_v[i]

    cdef void window(self, double rho, double tilt, int64_t* low, int64_t* high) noexcept nogil:
        """Widen a range of levels to those that influence it: the best level, and all levels near either.

        Beyond a level of the same diagonal, v decreases by exp(acosh(1 + rise/2)) per level or faster; the initial v
        must not be larger outside the range than inside.
        """
        cdef int64_t best = 0, i
        cdef double far = 0.0
        self.rise(rho, tilt)
        for i in range(self.count):
            if self.diagonal[i] < self.diagonal[best]:
                best = i
        low[0] = min(low[0], best)
        high[0] = max(high[0], best)
        i = low[0]
        while low[0] > 0 and far < FAR:
            low[0] -= 1
            far += acosh(fmax(1.0, 1.0 + 0.5 * (self.diagonal[low[0]] - self.diagonal[i])))
        i, far = high[0], 0.0
        while high[0] < self.count - 1 and far < FAR:
            high[0] += 1
            far += acosh(fmax(1.0, 1.0 + 0.5 * (self.diagonal[high[0]] - self.diagonal[i])))

    cdef void stage(self, double length, double top, int64_t first, int64_t last) noexcept nogil:
        """Advance ln v by the time *length*, up to a constant common to all levels."""
        cdef double* term = self.term
        cdef double* after = self.after
        cdef double* e = self.left
        cdef double* u = self.up
        cdef double* d = self.down
        cdef double* total = self.total
        cdef double factor, growth, share, middle
        cdef int64_t i, k = 0
        self.set_scale(length, first, last)
        memset(term - 1, 0, (self.count + 2) * sizeof(double))
        memset(after - 1, 0, (self.count + 2) * sizeof(double))
        for i in range(first, last + 1):
            e[i] = top - self.diagonal[i]
            u[i] = exp(self.scale[i + 1] - self.scale[i]) if i < last else 0.0
            d[i] = exp(self.scale[i - 1] - self.scale[i]) if i > first else 0.0
            term[i] = total[i] = exp(self.log_v[i] - self.scale[i])
        while True:
            k += 1
            factor = length / <double> k
            for i in range(first, last + 1):
                after[i] = factor * (e[i] * term[i] + u[i] * term[i + 1] + d[i] * term[i - 1])
            for i in range(first, last + 1):
                total[i] += after[i]
            if k % 4 == 0:
                growth = share = 0.0
                for i in range(first, last + 1):
                    growth = fmax(growth, after[i] / term[i]) if term[i] > 0.0 or after[i] > 0.0 else growth
                    share = fmax(share, after[i] / total[i])
                if growth <= 0.5 and share <= 4e-17:
                    break
            term, after = after, term
        middle = self.scale[first] + log(total[first])
        for i in range(first, last + 1):
            self.log_v[i] = self.scale[i] + log(total[i]) - middle

    cdef void set_scale(self, double length, int64_t first, int64_t last) noexcept nogil:
        """Set the scale of each level: ln v, or if larger, the contribution from a neighbour alone."""
        cdef double from_neighbour, per_level = log(length)
        cdef int64_t i, levels = 0
        for i in range(first, last + 1):
            self.scale[i] = self.log_v[i]
            from_neighbour = self.scale[i - 1] + per_level - log(<double> (levels + 1)) if i > first else -INFINITY
            levels = levels + 1 if from_neighbour > self.scale[i] else 0
            self.scale[i] = max(self.scale[i], from_neighbour)
        levels = 0
        for i in range(last - 1, first - 1, -1):
            from_neighbour = self.scale[i + 1] + per_level - log(<double> (levels + 1))
            levels = levels + 1 if from_neighbour > self.scale[i] else 0
            self.scale[i] = max(self.scale[i], from_neighbour)

    cdef bint arrived(self, int64_t low, int64_t high) noexcept nogil:
        """Return whether the steps equal those of the eigenvector, to the precision of ln v."""
        cdef double difference, size
        cdef int64_t i
        for i in range(low, high):
            difference = fabs(self.log_v[i + 1] - self.log_v[i] - self.limit[i])
            size = fabs(self.log_v[i]) + fabs(self.log_v[i + 1])
            if difference > 1e-12 * (1.0 + fabs(self.limit[i])) + 2e-15 * size:
                return False
        return True


DEFAULT_BOUND = 30.0            # orders, as in the figures of Guéant, Lehalle and Fernandez-Tapia

cdef enum:
    NODES = 8                   # of each axis in one interpolation
    BLOCK = 4                   # steps solved at once
    STRIDE = 256                # cached nodes per value of rho, if the time left varies as well
    KEPT = 64 * STRIDE          # cached nodes, a power of 2

cdef double RHO_PER_OCTAVE = 32.0, TIME_PER_OCTAVE = 16.0
cdef double[NODES] WEIGHT = [-1.0, 7.0, -21.0, 35.0, -35.0, 21.0, -7.0, 1.0]
cdef double[NODES] INNER_WEIGHT = [0.0, -1.0, 5.0, -10.0, 10.0, -5.0, 1.0, 0.0]
cdef double TOLERANCE = 1e-8    # maximum difference of both interpolations; that with 8 nodes has a far smaller error


cdef struct Problem:
    double rho              # see `InventoryLevels`
    double tilt
    double time             # may be infinite
    double bend
    double edge             # distance at a step of 0, ticks
    double ticks            # distance per unit of step

cdef struct Node:
    Problem posed
    double* steps           # NaN if not solved yet


cdef class Bounded(Distances):
    """Base of models that quote by an edge and the steps of ln v between inventory levels: override ``problem``.

    With u the inventory in orders, the bid's distance is edge - ticks·(ln v(u + 1) - ln v(u)) and the ask's is
    edge + ticks·(ln v(u) - ln v(u - 1)). Levels are whole orders; between two of them, after a partial fill, distances
    are interpolated linearly, and beyond the last level of a side they are constant.

    A sigma from the tape changes every second, and in a session the time left changes at every requote. The steps of a
    requote are then interpolated, in ln rho and ln time, between 8 neighbouring values of each (32 and 16 per octave,
    solved when first needed). If the result of the inner 6 differs by more than 1e-8 of a step, the exact problem is
    solved; so the relative error stays below 1e-7, and is usually below 1e-12. ``distances`` and constant parameters
    are solved without interpolation.
    """

    cdef InventoryLevels levels
    cdef double* memory
    cdef Node own                   # last problem solved without interpolation
    cdef Node* nodes                # for problems on a grid
    cdef bint by_rho, by_time, varies  # which of both change between requotes, and whether any does
    cdef Problem solved              # problem of the last requote, with its inventory and distances
    cdef double solved_q, bid, ask
    cdef bint rough                 # whether the nodes were too coarse for the last step

    cdef void begin(self, double q_max) except *:
        """Allocate the levels up to *q_max* clips; infinite uses the default."""
        cdef double orders = DEFAULT_BOUND if q_max == INFINITY else q_max / self.clips
        orders = whole(orders)
        if not 1.0 <= orders <= MOST_LEVELS or floor(orders) != orders:
            raise UsageError(
                f"{self.name}: q_max is {q_max} clips, {orders:g} orders; mode {self.mode} needs whole orders, "
                f"1 to {MOST_LEVELS}"
            )
        self.q_max = orders * self.clips
        self.levels = InventoryLevels(int(orders))
        self.by_rho, self.by_time = self.needs_sigma and isnan(self.sigma), self.session
        self.varies = self.by_rho or self.by_time
        cdef int64_t steps = self.levels.count - 1, i, kept = KEPT if self.varies else 0
        self.memory = <double*> calloc((kept + 1) * steps, sizeof(double))
        self.nodes = <Node*> calloc(kept + 1, sizeof(Node))
        if self.memory is NULL or self.nodes is NULL:
            raise MemoryError("no memory for the steps between inventory levels")
        self.own.steps = self.memory
        self.own.posed.rho = self.solved_q = NAN
        for i in range(kept):
            self.nodes[i].steps = self.memory + (i + 1) * steps

    def __dealloc__(self) -> None:
        free(self.memory)
        free(self.nodes)

    cdef void problem(self, const Market* market, Problem* posed) noexcept nogil:
        """Set the problem to solve for a market."""
        posed[0] = Problem(INFINITY, 0.0, INFINITY, 0.0, 0.0, 0.0)

    cdef void formula(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        cdef Problem posed
        self.problem(market, &posed)
        self.set_distances(q, &posed, False, bid, ask)

    cdef void often(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        cdef Problem posed
        self.problem(market, &posed)
        if q != self.solved_q or not same(&posed, &self.solved) or posed.edge != self.solved.edge:
            self.solved_q, self.solved = q, posed
            self.set_distances(q, &posed, self.varies and posed.rho > 0.0 and posed.time > 0.0, &self.bid, &self.ask)
        bid[0], ask[0] = self.bid, self.ask

    cdef void set_distances(
        self, double q, const Problem* posed, bint between, double* bid, double* ask
    ) noexcept nogil:
        cdef double orders = whole(q / self.clips), bound = <double> self.levels.bound, place = orders + bound
        bid[0] = ask[0] = INFINITY
        if not (isfinite(posed.rho) and isfinite(posed.tilt)):
            return
        if orders < bound:
            bid[0] = posed.edge - posed.ticks * self.step_at(posed, place, between)
        if orders > -bound:
            ask[0] = posed.edge + posed.ticks * self.step_at(posed, place - 1.0, between)

    cdef double step_at(self, const Problem* posed, double place, bint between) noexcept nogil:
        """Return the step at a fractional level, linear between whole levels."""
        cdef double inside = min(max(place, 0.0), <double> (self.levels.count - 2))
        cdef int64_t below = <int64_t> inside
        cdef double share = inside - <double> below, step
        step = self.step(posed, below, between)
        return step + share * (self.step(posed, below + 1, between) - step) if share > 0.0 else step

    cdef inline double step(self, const Problem* posed, int64_t place, bint between) noexcept nogil:
        return self.between_nodes(posed, place) if between else self.known_step(&self.own, posed, place)

    cdef double between_nodes(self, const Problem* posed, int64_t place) noexcept nogil:
        """Return a step interpolated between the nodes around the problem, or solved if the two interpolations differ."""
        cdef double at = RHO_PER_OCTAVE * log2(posed.rho), step
        cdef double[NODES] steps
        cdef int64_t first = <int64_t> floor(at) - (NODES // 2 - 1), i
        self.rough = False
        if self.by_rho:
            for i in range(NODES):
                steps[i] = self.along_time(posed, exp2(<double> (first + i) / RHO_PER_OCTAVE), first + i, place)
            step = self.between(steps, at - <double> first)
        else:
            step = self.along_time(posed, posed.rho, 0, place)
        return self.known_step(&self.own, posed, place) if self.rough else step

    cdef double along_time(self, const Problem* posed, double rho, int64_t rho_index, int64_t place) noexcept nogil:
        """Return a step at one value of rho, interpolated in the time left."""
        cdef double at = TIME_PER_OCTAVE * log2(posed.time), time
        cdef double[NODES] steps
        cdef int64_t first = <int64_t> floor(at) - (NODES // 2 - 1), i
        if not self.by_time:
            return self.node_step(posed, rho, posed.time, rho_index, 0, place)
        for i in range(NODES):
            time = exp2(<double> (first + i) / TIME_PER_OCTAVE)
            steps[i] = self.node_step(posed, rho, time, rho_index, first + i, place)
        return self.between(steps, at - <double> first)

    cdef double between(self, const double* steps, double at) noexcept nogil:
        """Interpolate at a position from 3 to 4 between the 8 nodes; record whether the inner 6 differ."""
        cdef double num = 0.0, den = 0.0, inner_num = 0.0, inner_den = 0.0, weight, value
        cdef int64_t i
        if at == floor(at):
            return steps[<int64_t> at]
        for i in range(NODES):
            weight = WEIGHT[i] / (at - <double> i)
            num += weight * steps[i]
            den += weight
            weight = INNER_WEIGHT[i] / (at - <double> i)
            inner_num += weight * steps[i]
            inner_den += weight
        value = num / den
        self.rough = self.rough or not fabs(inner_num / inner_den - value) <= TOLERANCE * (1.0 + fabs(value))
        return value

    cdef double node_step(
        self, const Problem* posed, double rho, double time, int64_t rho_index, int64_t time_index, int64_t place
    ) noexcept nogil:
        """Return a step at one node, solved again if its cache slot has another node."""
        cdef Node* node = &self.nodes[(rho_index * (STRIDE if self.by_time else 1) + time_index) & (KEPT - 1)]
        cdef Problem there = posed[0]
        there.rho, there.time = rho, time
        return self.known_step(node, &there, place)

    cdef double known_step(self, Node* node, const Problem* posed, int64_t place) noexcept nogil:
        """Return a step of a problem; solve it if the node has no solution of it.

        Steps are solved in fixed blocks, so that results do not depend on earlier requotes, to the last digit.
        """
        cdef int64_t last = self.levels.count - 1, low = place - place % BLOCK, i
        if not same(posed, &node.posed):
            node.posed = posed[0]
            for i in range(last):
                node.steps[i] = NAN
        if isnan(node.steps[place]):
            if posed.time == INFINITY:
                self.levels.stationary(posed.rho, posed.tilt, node.steps)
            else:
                self.levels.finite(
                    posed.rho, posed.tilt, posed.time, posed.bend, low, min(low + BLOCK, last), node.steps
                )
        return node.steps[place]


cdef inline bint same(const Problem* one, const Problem* other) noexcept nogil:
    """Return whether two problems have the same steps."""
    return one.rho == other.rho and one.time == other.time and one.tilt == other.tilt and one.bend == other.bend


cdef class Gueant(Bounded):
    """Optimal quotes for orders of *delta* clips, with two kinds of risk aversion.

    *gamma* is the aversion to inventory risk, gamma·sigma²·q²/2 per second, *xi* that to the risk of fills: xi = gamma
    is an exponential utility, xi = 0 the mean less that running penalty. With n = q/delta, x = xi·delta/k and
    eta = A·(1 + x)^-(1 + 1/x)·exp(-k·impact/2), v solves v' = -M v, M tridiagonal with
    k·gamma·sigma²·delta·n²/2 - k·drift·n on the diagonal and -eta beside it, for |q| <= q_max, from
    v = exp(-k·impact·n²/2). The bid's distance is ln(1 + x)/(xi·delta) + impact/2 + (1/k)·ln(v(n)/v(n + 1)), the ask's
    the same with v(n - 1). Modes:

    - ``exact``: v after the time left; ``session``: the same, with a decreasing time left.
    - ``stationary``: v for an infinite horizon, M's eigenvector of the smallest eigenvalue.
    - ``closed_form``: Guéant's approximation (equations 4.6, 4.7): with S = sqrt(gamma·sigma²·delta/(2·k·eta)) the
      last term is (n + 1/2)·S for the bid and -(n - 1/2)·S for the ask; drift lowers n by drift/(gamma·sigma²·delta).

    With a gamma of ``auto`` skew and half-spread are those of ``closed_form`` in every mode.
    """

    declared = declarations.Gueant
    cdef readonly double xi, delta, drift, impact
    cdef bint closed, forever
    cdef bint own_xi                # whether xi is given; else it is gamma
    cdef double edge, eta, risk     # of the last market: ticks; per second; rho for a sigma of 1

    def __init__(self, **given: Any) -> None:
        cdef dict values = self.settle(given, ("A", "sigma"))
        xi, delta = values.get("xi"), values.get("delta", 1.0)
        self.own_xi, self.xi = xi is not None, self.gamma if xi is None else xi
        self.delta = self.clips = delta
        self.drift, self.impact = values["drift"], values["impact"]
        self.closed, self.forever = self.mode == "closed_form", self.mode == "stationary"
        if not self.closed:
            self.begin(self.q_max)

    cdef void set_terms(self, const Market* market) noexcept nogil:
        """Compute the values that depend on k, A and gamma only."""
        cdef double k = market.k, A = market.A
        cdef double x = (self.xi if self.own_xi else market.gamma) * self.delta / k, share = log1p(x) / x if x > 0.0 else 1.0
        cdef double less = (1.0 + x) * share + 0.5 * k * self.impact    # eta is A exp(-less)
        self.edge = share / k + 0.5 * self.impact
        self.eta = A * exp(-less)
        self.risk = 0.5 * k * market.gamma * self.delta / A * exp(less)

    cdef double skew_of(self, const Market* market) noexcept nogil:
        self.set_terms(market)
        return sqrt(self.risk) * market.sigma / market.k / self.edge

    cdef void problem(self, const Market* market, Problem* posed) noexcept nogil:
        self.set_terms(market)
        posed.rho = self.risk * market.sigma * market.sigma
        posed.tilt = market.k * self.drift / self.eta if self.drift else 0.0
        posed.time = INFINITY if self.forever else self.eta * market.tau_s
        posed.bend = 0.0 if self.forever else 0.5 * market.k * self.impact
        posed.edge, posed.ticks = self.edge, 1.0 / market.k

    cdef void formula(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        cdef double slope, n
        if not self.closed:
            Bounded.formula(self, q, market, bid, ask)
            return
        self.set_terms(market)
        slope = sqrt(self.risk) * market.sigma / market.k
        n = q / self.delta
        if self.drift:
            n -= self.drift / (market.gamma * market.sigma * market.sigma * self.delta)
        bid[0] = self.edge + (n + 0.5) * slope if q < self.q_max else INFINITY
        ask[0] = self.edge - (n - 0.5) * slope if q > -self.q_max else INFINITY

    cdef void often(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        if self.closed:
            self.formula(q, market, bid, ask)
        else:
            Bounded.often(self, q, market, bid, ask)


cdef class Glft(Gueant):
    """Optimal quotes for an exponential utility, orders of one clip and a bounded inventory.

    The case xi = gamma, delta = 1 of ``Gueant``, with the same formulas and modes: alpha = k·gamma·sigma²/2,
    eta = A·(1 + gamma/k)^-(1 + k/gamma), and a distance of (1/gamma)·ln(1 + gamma/k) + (1/k)·ln(v(q)/v(q + 1)).
    """

    declared = declarations.Glft


cdef class CarteaJaimungal(Bounded):
    """Optimal quotes for expected wealth less a running and a final penalty on inventory.

    It maximises the mean of cash + q·(mid - alpha·q) at the end, less phi·q² per second until then; the mid may be any
    martingale. With q in clips, omega solves omega' = B omega, B tridiagonal:
    -phi·k·q² on the diagonal, A/e beside it, for |q| <= q_max, from omega = exp(-alpha·k·q²). The bid's distance is
    1/k + (1/k)·ln(omega(q)/omega(q + 1)), the ask's the same with omega(q - 1). Modes:

    - ``exact``: omega after the time left; ``session``: the same, with a decreasing time left.
    - ``stationary``: omega for an infinite horizon, B's eigenvector of the largest eigenvalue; alpha has no effect.
    """

    declared = declarations.CarteaJaimungal
    cdef readonly double phi, alpha
    cdef bint forever

    def __init__(self, **given: Any) -> None:
        cdef dict values = self.settle(given, ("A",))
        self.phi, self.alpha, self.forever = values["phi"], values["alpha"], self.mode == "stationary"
        self.begin(self.q_max)

    cdef void problem(self, const Market* market, Problem* posed) noexcept nogil:
        posed.rho = market.k * self.phi / market.A * exp(1.0)
        posed.tilt = 0.0
        posed.time = INFINITY if self.forever else market.A * exp(-1.0) * market.tau_s
        posed.bend = 0.0 if self.forever else self.alpha * market.k
        posed.edge = posed.ticks = 1.0 / market.k


# ---------------------------------------------------------------------- any decreasing intensity

cdef enum:
    NEWTON_ROUNDS = 200         # usually a dozen
    MOST_LINES = 1_000          # equals MOST_POINTS

cdef double EXACT = 1e-13       # relative step at which Newton's method ends


def _is_curve(value: object) -> bool:
    """Return whether *value* is a list of points (delta, rate) with rising deltas and falling rates."""
    return (
        isinstance(value, (list, tuple))
        and 2 <= len(value) <= MOST_POINTS
        and all(isinstance(point, (list, tuple)) and len(point) == 2 for point in value)
        and all(type(number) in (int, float) for point in value for number in point)
        and all(abs(delta) < LARGEST_TICKS for delta, _ in value)
        and is_falling(value)
    )


# ln λ is a straight line from begin to end.
cdef struct Line:
    double begin            # ticks
    double end
    double at               # a distance, and ln λ at it
    double log_rate
    double k                # decrease of ln λ per tick
    double markup           # optimal gain of a fill if the line were infinite, ticks


cdef class CurveLevels:
    """Solves for the values of the inventory levels -Q .. Q of a maker with any decreasing fill intensity λ(δ).

    With Δ(q) the value of level q, a fill at distance δ that leads from q to r earns
    u = δ - costs + Δ(r) - Δ(q). With an infinite horizon the maker solves, for all q at once,

        c = drift·q - risk·q² / 2 + Σ over both sides  max over δ of λ(δ)·(1 - exp(-xi·u)) / xi

    for Δ and the gain c per second (xi = 0: λ(δ)·u). Newton's method on the steps Δ(q+1) - Δ(q) is Howard's policy
    iteration: quotes for given values, then values for given quotes. Each linear system is solved from both ends
    towards the cheapest level, so that no term is a difference of two large ones.

    Args:
        bound: Q, in clips.
        xi: Aversion to the risk of fills, 1/(tick·clip).
        costs: Costs of a fill, in ticks.
    """

    cdef readonly int64_t bound
    cdef Line* lines
    cdef int64_t count
    cdef double xi, costs
    cdef double* memory
    cdef double* residual       # arrays of one entry per level; residual of the equation
    cdef double* bid_rate       # derivative of the equation by the step above, and by the step below
    cdef double* ask_rate
    cdef double* fixed          # Newton update of a step: fixed + slope · (update of c)
    cdef double* slope

    def __cinit__(self, bound: int, xi: float, costs: float) -> None:
        self.bound, self.xi, self.costs = bound, xi, costs
        cdef int64_t levels = 2 * bound + 1
        self.memory = <double*> calloc(5 * levels, sizeof(double))
        self.lines = <Line*> calloc(MOST_POINTS + 1, sizeof(Line))
        if self.memory is NULL or self.lines is NULL:
            raise MemoryError("no memory for the inventory levels")
        self.residual, self.bid_rate, self.ask_rate = self.memory, self.memory + levels, self.memory + 2 * levels
        self.fixed, self.slope = self.memory + 3 * levels, self.memory + 4 * levels

    def __dealloc__(self) -> None:
        free(self.memory)
        free(self.lines)

    cdef void set_exponential(self, double A, double k) noexcept nogil:
        """Set λ to A·exp(-k·δ) at every distance."""
        self.lines[0] = Line(-INFINITY, INFINITY, 0.0, log(A), k, markup(self.xi, k))
        self.count = 1

    cdef set_points(self, list points):
        """Set ln λ to be linear between points, constant before the first, and extrapolated after the last."""
        cdef int64_t i
        cdef double delta, rate, next_delta, next_rate, k
        self.lines[0] = Line(-INFINITY, points[0][0], points[0][0], log(points[0][1]), 0.0, INFINITY)
        for i in range(len(points) - 1):
            delta, rate = points[i]
            next_delta, next_rate = points[i + 1]
            k = log(rate / next_rate) / (next_delta - delta)
            self.lines[i + 1] = Line(
                delta, next_delta, delta, log(rate), k, markup(self.xi, k) if k > 0.0 else INFINITY
            )
        self.count = len(points)
        self.lines[self.count - 1].end = INFINITY

    cdef void set_piece(self, const Piece* piece) noexcept nogil:
        """Set λ to the curve of a piece of an intensity."""
        cdef int64_t i
        cdef double k
        self.lines[0] = Line(-INFINITY, piece.deltas[0], piece.deltas[0], piece.logs[0], 0.0, INFINITY)
        for i in range(piece.points - 1):
            k = (piece.logs[i] - piece.logs[i + 1]) / (piece.deltas[i + 1] - piece.deltas[i])
            self.lines[i + 1] = Line(
                piece.deltas[i],
                piece.deltas[i + 1],
                piece.deltas[i],
                piece.logs[i],
                k,
                markup(self.xi, k) if k > 0.0 else INFINITY,
            )
        self.count = piece.points
        self.lines[self.count - 1].end = INFINITY

    cdef double best(self, double price, double* rate, double* distance) noexcept nogil:
        """Return the maximum earnings of an order per second, in ticks.

        Args:
            price: Costs of a fill, including the change in value of the inventory.
            rate: Set to the decrease of the earnings per tick of *price*; for xi = 0 the fills per second.
            distance: Set to the order's distance.
        """
        cdef double gain, most = -INFINITY, at, rate_at, earned
        cdef int64_t i
        for i in range(self.count):
            at = min(max(price + self.lines[i].markup, self.lines[i].begin), self.lines[i].end)
            rate_at = exp(self.lines[i].log_rate - self.lines[i].k * (at - self.lines[i].at))
            earned = at - price
            gain = rate_at * (-expm1(-self.xi * earned) / self.xi if self.xi > 0.0 else earned)
            if gain > most:
                most = gain
                rate[0] = rate_at * exp(-self.xi * earned)
                distance[0] = at
        return most

    cdef double bid_price(self, const double* steps, int64_t level) noexcept nogil:
        return self.costs - steps[level]

    cdef double ask_price(self, const double* steps, int64_t level) noexcept nogil:
        return self.costs + steps[level - 1]

    cdef bint solve(self, double risk, double drift, double* steps) noexcept nogil:
        """Set the steps from each level to the next; return whether the method converged."""
        cdef int64_t last = 2 * self.bound, pivot = self.bound, i, round
        cdef double gain = 0.0, change, widest, longest, edge, cap
        if drift != 0.0:
            pivot = self.bound + <int64_t> min(max(drift / max(risk, 1e-300), -<double> self.bound), <double> self.bound)
        edge = self.begin(risk, drift, steps)
        # Policy iteration converges for bounded rates. An exponential rate is not bounded, and full steps overflow.
        cap = 4.0 * edge if self.lines[0].k > 0.0 else INFINITY
        for round in range(NEWTON_ROUNDS):
            self.linearise(risk, drift, gain, steps)
            change = self.newton(pivot)
            widest = longest = 0.0
            for i in range(last):
                widest = max(widest, fabs(self.step_change(i, pivot, change)))
                longest = max(longest, fabs(steps[i]))
            if not isfinite(widest):
                return False
            for i in range(last):
                steps[i] += min(max(self.step_change(i, pivot, change), -cap), cap)
            gain += change
            if widest <= EXACT * (edge + longest):
                return True
        return False

    cdef double begin(self, double risk, double drift, double* steps) noexcept nogil:
        """Set the initial steps, which are exact near the cheapest level and far away from it.

        Returns:
            Gain of a fill without inventory risk, in ticks.
        """
        cdef double rate, distance, k, bend
        cdef int64_t i
        self.best(self.costs, &rate, &distance)
        k = self.lines[0].k if self.lines[0].k > 0.0 else 1.0 / (distance - self.costs)
        bend = sqrt(0.125 * risk * k / rate)
        for i in range(2 * self.bound):
            steps[i] = 0.0 if risk == 0.0 else -2.0 / k * asinh((<double> (i - self.bound) + 0.5 - drift / risk) * bend)
        return distance - self.costs

    cdef inline double step_change(self, int64_t i, int64_t pivot, double change) noexcept nogil:
        return self.fixed[i] + self.slope[i] * change

    cdef void linearise(self, double risk, double drift, double gain, const double* steps) noexcept nogil:
        """Set the residual of the equation at each level, and its derivatives."""
        cdef int64_t last = 2 * self.bound, level
        cdef double q, distance
        for level in range(last + 1):
            q = <double> (level - self.bound)
            self.residual[level] = q * (drift - 0.5 * risk * q) - gain
            self.bid_rate[level] = self.ask_rate[level] = 0.0
            if level < last:
                self.residual[level] += self.best(self.bid_price(steps, level), &self.bid_rate[level], &distance)
            if level > 0:
                self.residual[level] += self.best(self.ask_price(steps, level), &self.ask_rate[level], &distance)

    cdef double newton(self, int64_t pivot) noexcept nogil:
        """Set the Newton updates of the steps as linear functions of the update of the gain; return that update."""
        cdef int64_t last = 2 * self.bound, level
        cdef double above = 0.0, above_slope = 0.0, below = 0.0, below_slope = 0.0
        for level in range(pivot):
            below = (self.ask_rate[level] * below - self.residual[level]) / self.bid_rate[level]
            below_slope = (self.ask_rate[level] * below_slope + 1.0) / self.bid_rate[level]
            self.fixed[level], self.slope[level] = below, below_slope
        for level in range(last, pivot, -1):
            above = (self.bid_rate[level] * above + self.residual[level]) / self.ask_rate[level]
            above_slope = (self.bid_rate[level] * above_slope - 1.0) / self.ask_rate[level]
            self.fixed[level - 1], self.slope[level - 1] = above, above_slope
        return (self.residual[pivot] + self.bid_rate[pivot] * above - self.ask_rate[pivot] * below) / (
            1.0 - self.bid_rate[pivot] * above_slope + self.ask_rate[pivot] * below_slope
        )


cdef struct Solution:
    double risk
    double k
    double A
    double costs
    int64_t piece
    bint converged
    double* steps


cdef class OptimalCurve(Distances):
    """Optimal quotes for a measured fill intensity, an infinite horizon and a bounded inventory.

    It maximises the mean gain per second less gamma·sigma²·q²/2; with *xi* above 0 the risk of the fills is penalised
    as well; see ``CurveLevels`` for the equation. With A·exp(-k·δ) it is ``gueant`` in mode
    ``stationary`` with the same xi and an impact of twice the costs, solved by another method. A curve is constant
    below its first point, so no price within the spread fills more often than measured; xi must then be 0, because an
    exponential utility would be dominated by inventories that such a maker cannot reduce fast enough.

    Between two whole levels, after a partial fill, values are interpolated linearly.

    Without *curve*, k and A, and with xi 0, the curve is that of the fit or of the segment in force, if its chosen
    shape is not the exponential. If k and A are those of a segment, so are the moves after fills,
    unless *adverse_ticks* is given.

    A gamma of ``auto`` is that of ``gueant`` for the exponential that touches the curve where a maker without
    inventory risk quotes; ``k`` and ``A`` are this exponential's.
    """

    declared = declarations.OptimalCurve
    cdef readonly double drift
    cdef double costs               # of a fill; if *measured*, without the adverse move of the piece in force
    cdef bint measured
    cdef double offset              # mean distance of the mid from the curve's reference price, in ticks
    cdef bint exponential           # whether the curve is A·exp(-k·δ) or that of the fit, which may change
    cdef int64_t curve_piece        # the piece whose curve the levels use, and the exponential tangent to it
    cdef double touch_k, touch_A
    cdef CurveLevels levels
    cdef Solution own               # solution of the last problem

    def __init__(self, **given: Any) -> None:
        curve = given.get("curve")
        if not (curve is None or _is_curve(curve)):
            raise UsageError(
                f"{self.name}: curve is {curve!r}; it must be 2 to {MOST_POINTS} points [distance in ticks, fills per "
                "second above 0] with increasing distances and non-increasing rates; the last must be lower than the "
                "one before it"
            )
        self.exponential = curve is None
        if not self.exponential:
            given = {**given, **self.touching(list(curve), given)}
        values = self.settle(given, ("A", "sigma"))
        if not (self.q_max == floor(self.q_max) and self.q_max <= MOST_LEVELS):
            raise UsageError(f"{self.name}: q_max is {self.q_max:g}; it must be a whole number of clips, 1 to {MOST_LEVELS}")
        self.drift = values["drift"]
        self.costs = values["adverse_ticks"] + values["fee_ticks"]
        self.measured = "adverse_ticks" not in given and isnan(self.k) and isnan(self.A)
        self.levels = CurveLevels(int(self.q_max), values["xi"], self.costs)
        if not self.exponential:
            self.levels.set_points(list(curve))
        self.curve_piece = -1
        self.own.steps, self.own.risk = <double*> calloc(2 * self.levels.bound, sizeof(double)), NAN
        if self.own.steps is NULL:
            raise MemoryError("no memory for the values of the inventory levels")
        if self.fitted and self.intensity.counts_from == MICRO:
            self.looks = BEST_LOTS

    cdef void bend(self, Market* market) noexcept nogil:
        """Use the curve of the piece in force, and k and A of the exponential tangent to it, as for *curve*.

        If the curve counts from another reference price, the distance of the mid from that price reduces the costs of
        a fill: its mean for the values of the levels, the current distance for the quotes.
        """
        cdef double rate, distance
        cdef const Piece* piece = &self.intensity.pieces[market.piece]
        self.levels.costs, self.offset = self.costs, 0.0
        if self.measured and not isnan(piece.adverse_ticks):
            self.levels.costs += piece.adverse_ticks
        if not (self.exponential and self.levels.xi == 0.0 and isnan(self.k) and isnan(self.A)):
            market.piece = -1
        elif piece.points == 0 or piece.points > MOST_LINES:
            market.piece = -1
        else:
            if self.intensity.counts_from == BEST:
                self.offset = piece.half_spread
                self.levels.costs -= self.offset
            if self.curve_piece != market.piece:
                self.curve_piece = market.piece
                self.levels.set_piece(piece)
                self.levels.best(self.levels.costs, &rate, &distance)
                self.touch_k = 1.0 / (distance - self.levels.costs)
                self.touch_A = rate * exp(self.touch_k * (distance + self.offset))
            market.k, market.A = self.touch_k, self.touch_A
        if market.piece < 0:
            market.bid_offset = market.ask_offset = 0.0

    cdef dict touching(self, list curve, dict given):
        """Return k and A of the exponential tangent to *curve* at the quotes of a maker without inventory risk."""
        cdef double rate, distance, k
        for name in ("k", "A"):
            if given.get(name) is not None:
                raise UsageError(f"{self.name}: give curve or {name}, not both")
        values = self.declared.settle(given, self.name)
        if values["xi"] > 0.0:
            raise UsageError(f"{self.name}: xi is {values['xi']:g}; with a curve it must be 0")
        levels = CurveLevels(1, 0.0, values["adverse_ticks"] + values["fee_ticks"])
        levels.set_points(curve)
        levels.best(levels.costs, &rate, &distance)
        k = 1.0 / (distance - levels.costs)
        return {"k": k, "A": rate * exp(k * distance)}

    def __dealloc__(self) -> None:
        free(self.own.steps)

    cdef double skew_of(self, const Market* market) noexcept nogil:
        cdef double rate, distance
        self.use_curve(market)
        self.levels.best(self.levels.costs, &rate, &distance)
        return sqrt(0.5 * market.gamma / (market.k * rate)) * market.sigma / (distance + self.offset)

    cdef inline void use_curve(self, const Market* market) noexcept nogil:
        if self.exponential and market.piece < 0:
            self.curve_piece = -1
            self.levels.set_exponential(market.A, market.k)

    cdef void formula(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        self.find(market.gamma * market.sigma * market.sigma, market)
        self.set_distances(q, market, bid, ask)

    cdef void find(self, double risk, const Market* market) noexcept nogil:
        """Solve a problem, unless it is the last one."""
        cdef Solution* own = &self.own
        if (
            own.risk == risk
            and own.k == market.k
            and own.A == market.A
            and own.costs == self.levels.costs
            and own.piece == market.piece
        ):
            return
        self.use_curve(market)
        own.risk, own.k, own.A, own.piece = risk, market.k, market.A, market.piece
        own.costs = self.levels.costs
        own.converged = self.levels.solve(risk, self.drift, own.steps)

    cdef void set_distances(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        """Set the distances at an inventory."""
        cdef double place = q + <double> self.levels.bound, costs = self.levels.costs + self.offset, unused
        bid[0] = ask[0] = INFINITY
        if not self.own.converged:
            return
        self.use_curve(market)
        if q < self.q_max:
            self.levels.best(costs - market.bid_offset - self.step_at(place), &unused, bid)
            bid[0] += market.bid_offset
        if q > -self.q_max:
            self.levels.best(costs - market.ask_offset + self.step_at(place - 1.0), &unused, ask)
            ask[0] += market.ask_offset

    cdef double step_at(self, double place) noexcept nogil:
        """Return the step at a fractional level, linear between whole levels."""
        cdef double inside = min(max(place, 0.0), <double> (2 * self.levels.bound - 1))
        cdef int64_t low = <int64_t> inside, high = min(low + 1, 2 * self.levels.bound - 1)
        cdef double past = inside - <double> low
        return (1.0 - past) * self.own.steps[low] + past * self.own.steps[high]


# ---------------------------------------------------------------------- the default strategy

cdef double REACH_S = 1.5
cdef double MEMORY_S = 10.0
cdef double KEPT_SHARE = 0.1        # of the reach
cdef double MET_SHARE = 0.5         # of the reach, behind a price at which an order was met
cdef double COMES_REACHES = 10.0  # farther than the other side moves in that time
cdef double MOST_TIMES = 32.0       # as many of these steps behind it, after several


cdef class Behind(Step):
    """Join the best prices or quote behind them, by what the mid moves while an order travels and rests unchanged.

    That is ``reach``: one standard deviation of the mid over `REACH_S`, from its moves between requotes of the last
    `MEMORY_S`, in whole ticks. An order within `KEPT_SHARE` of it from the wanted price stays. Quotes remain within the
    distances at which the intensity was measured, except that they are never ahead of the best prices.

    A fill, or a rejection of an order that would have crossed, is news of the market, and newer than the book that we
    know: the other side has come to that price. For `REACH_S` the side's best price is taken to be a tick and
    `MET_SHARE` of the reach behind it; with each further one in that time, twice as far as before. Across a spread of
    more than `COMES_REACHES` reaches it has not come: that was an order that took ours, and no news of the other side.
    """

    cdef Distances told             # is told the reach, which its k follows; None if its distances have no k
    cdef Intensity intensity
    cdef double[::1] far            # largest distance measured, by piece of the intensity; NaN if unknown
    cdef double squares, seconds, last_mid, reach
    cdef int64_t last_us
    cdef double[2] times            # sells, buys: steps behind the price at which an order was met
    cdef int64_t[2] met_us          # when it was; NEVER if that is over

    def __init__(self, inner: object, told: Distances | None, intensity: Intensity | None) -> None:
        Step.__init__(self, inner)
        self.told, self.intensity = told, intensity
        self.begin()
        if intensity is not None:
            self.far = np.array([NAN if one.max_delta_ticks is None else one.max_delta_ticks for one in intensity.rows()])
        self.timeless, self.needs_own_orders = False, True

    cdef int bind(self, tuple names) except -1:
        self.begin()
        return Step.bind(self, names)

    cdef void begin(self) noexcept nogil:
        """Begin a run: moves and fills of an earlier one do not count."""
        self.last_us = -1
        self.met_us[0] = self.met_us[1] = NEVER

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        self.measure(view.top.us, 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks))
        if self.told is not None:
            self.told.reach = self.reach
        return Step.quote(self, view, want)

    cdef void measure(self, int64_t us, double mid) noexcept nogil:
        """Add the move of the mid since the last requote to the variance per second."""
        cdef double lasts_s = 1e-6 * <double> (us - self.last_us), left
        if self.last_us < 0:
            self.squares = self.seconds = 0.0
        else:
            left = exp(-lasts_s / MEMORY_S)
            self.squares = self.squares * left + (mid - self.last_mid) * (mid - self.last_mid)
            self.seconds = self.seconds * left + lasts_s
        self.last_mid, self.last_us = mid, us
        self.reach = floor(sqrt(self.squares / self.seconds * REACH_S)) if self.seconds > 0.0 else 0.0

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        want.bid_ticks = self.placed(view, want.bid_ticks, 1)
        want.ask_ticks = self.placed(view, want.ask_ticks, -1)

    cdef double placed(self, const View* view, double price, int64_t side) noexcept nogil:
        """Return the price for a wanted one, NaN for none."""
        cdef double best = self.best_of(view, side), own, farthest
        cdef double across = <double> (view.top.ask_ticks if side > 0 else view.top.bid_ticks)
        if isnan(price):
            return NAN
        price = <double> side * floor(min(<double> side * price, <double> side * best - self.reach))
        farthest = self.farthest(view, side)
        if not isnan(farthest):
            price = <double> side * min(max(<double> side * price, ceil(<double> side * farthest)), <double> side * best)
        own = view.own_ticks[1 if side > 0 else 0]
        if fabs(own - price) <= KEPT_SHARE * self.reach and <double> side * (across - own) > 0.0:
            return own
        return price

    cdef double best_of(self, const View* view, int64_t side) noexcept nogil:
        """Return the best price of a side: the known one, or behind a price at which an order of ours was just met."""
        cdef int slot = 1 if side > 0 else 0
        cdef double best = <double> (view.top.bid_ticks if side > 0 else view.top.ask_ticks)
        cdef double across = <double> (view.top.ask_ticks if side > 0 else view.top.bid_ticks)
        if (
            isnan(view.met_ticks[slot])
            or 1e-6 * <double> (view.top.us - view.met_us[slot]) > REACH_S
            or <double> side * (across - view.met_ticks[slot]) > COMES_REACHES * max(self.reach, 1.0)
        ):
            self.met_us[slot] = NEVER
            return best
        if view.met_us[slot] != self.met_us[slot]:
            self.times[slot] = 1.0 if self.met_us[slot] == NEVER else min(2.0 * self.times[slot], MOST_TIMES)
            self.met_us[slot] = view.met_us[slot]
        return <double> side * min(
            <double> side * best,
            <double> side * view.met_ticks[slot] - floor(self.times[slot] * (1.0 + MET_SHARE * self.reach)),
        )

    cdef double farthest(self, const View* view, int64_t side) noexcept nogil:
        """Return the price at the largest distance that was measured; NaN if unknown."""
        cdef int64_t piece
        if self.intensity is None:
            return NAN
        piece = self.intensity.find(view.top.us)
        if piece >= self.intensity.count:
            return NAN
        return 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks) - <double> side * (
            self.far[piece] + mid_offset(self.intensity.counts_from, &view.top, side)
        )


@declares(declarations.AvellanedaStoikov)
def avellaneda_stoikov(**given: Any) -> QuoteModel:
    """Return the default strategy of a run: ``AvellanedaStoikov``, ``Behind``, ``InventoryBound``."""
    declared = avellaneda_stoikov.declared
    cdef dict values = declared.settle(given)
    cdef double q_max = values.pop("q_max")
    cdef AvellanedaStoikov bare
    # Only mode infinite has the bound in its formula; elsewhere the step around it limits the lots.
    bare = AvellanedaStoikov(name=declared.name, q_max=q_max if values["mode"] == "infinite" else None, **values)
    return behind(bare, bare, values["intensity"] if bare.fitted else None, q_max)


@declares(declarations.AvellanedaStoikov)
def avellaneda_stoikov_of_curve(**given: Any) -> QuoteModel:
    """Return the default strategy with the distances of ``OptimalCurve``, for a fit whose A and k miss its rates."""
    cdef dict values = avellaneda_stoikov.declared.settle(given)
    cdef double q_max = values.pop("q_max")
    shared = {name: values[name] for name in ("gamma", "skew_share", "sigma", "horizon_s", "intensity")}
    return behind(OptimalCurve(q_max=max(ceil(q_max), 1.0), **shared), None, values["intensity"], q_max)


def behind(Distances inner, Distances told, Intensity intensity, double q_max) -> QuoteModel:
    """Return a model as the default strategy quotes it: behind the best prices, and within an inventory bound."""
    name = avellaneda_stoikov.declared.name
    quotes = Behind(PostOnly(inner), told, intensity)
    return InventoryBound(quotes, q_max=q_max, name=name)
