# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The likelihood at one k: value, first and second derivative, and those of Jeffreys prior, in three passes.

Why compiled: a fit evaluates it some two hundred times, on tables of five to a hundred rows, where each
numpy call costs more than its work (``mm bench calibration``, row "one fit").
"""

from collections.abc import Callable

from libc.math cimport INFINITY, NAN, copysign, cosh, exp, expm1, fabs, isfinite, log, sinh, sqrt
from libc.stdlib cimport free, malloc

cdef double SMALL = 0.1    # below, series are used: the closed forms lose digits
cdef double LARGE = 700.0  # exp(LARGE) is still finite
cdef double TINY = 1e-290  # smaller variances underflow

cdef int MAX_ITERATIONS = 200  # maximum, of the search for a root
cdef double CLOSE = 1e-9  # relative size of the last Newton step; the error is its square
cdef double DIGITS = 1e-15  # relative precision of floats
cdef double REACH = 8.0  # maximum step, as a multiple of the starting k, or 1

cdef int END_ITERATIONS = 60  # maximum, of the search for an interval end
cdef double END_CLOSE = 1e-5, END_DIGITS = 1e-13  # its last Newton step, whose error is the square; relative precision

LEAST_K = 1e-6  # cells only: below this, over the whole span, no data can distinguish k from 0
FARTHEST = 1e100
cdef double LEAST_CELL_K = LEAST_K, FARTHEST_K = FARTHEST
cdef double[4] STRIDES = [8.0, 2.0, 1.3, 1.1]  # factors of the search for a second peak; the largest safe one is used


cdef struct Within:
    double log_gain  # ln of the probability that a depth beyond the near edge ends in the cell
    double mean      # of the depth within the cell
    double variance
    double third     # central moment


cdef struct Profile:
    bint over_k, penalised
    double limit, near, span  # as `Rows.profile_ends` takes them
    double log_a, k, ridge, floor  # the peak, and the change of the best k with ln A; k in units of the span


cdef class At:
    """The likelihood of the rows at one k, and its moments.

    Shares p are proportional to exposure · g(k); a spread is the variance of the depth within a cell.

    Attributes:
        k: In units of the table.
        log_mass: Ln of the sum of exposure · g(k).
        log_likelihood: Multinomial log-likelihood of the fills with shares p, without factorials.
        mean: Mean depth under p.
        seen: Mean depth of the fills.
        variance: Variance of the depths under p: the information of one fill.
        inner: Mean spread under p.
        seen_inner: Mean spread of the fills.
        total: Number of fills.
        prior_slope: Derivative in k of half of ln of *variance*; pointing to 0 where *variance* underflows.
        prior_bend: Derivative of *prior_slope*.
    """

    cdef readonly double k, log_mass, log_likelihood, mean, seen, variance, inner, seen_inner, total
    cdef readonly double prior_slope, prior_bend

    @property
    def score(self) -> float:
        """Derivative of the log-likelihood in k."""
        return self.first_derivative()

    @property
    def bend(self) -> float:
        """Derivative of the score."""
        return self.second_derivative()

    @property
    def penalised_log_likelihood(self) -> float:
        """Log-likelihood plus ln of Jeffreys prior: half of ln of the information of one fill."""
        return self.height(True)

    @property
    def penalised_score(self) -> float:
        """Derivative of the penalised log-likelihood."""
        return self.score + self.prior_slope

    @property
    def penalised_bend(self) -> float:
        """Second derivative of the penalised log-likelihood."""
        return self.bend + self.prior_bend

    cdef double first_derivative(self) noexcept:
        return self.total * (self.mean - self.seen)

    cdef double second_derivative(self) noexcept:
        return self.total * (self.seen_inner - self.variance - self.inner)

    cdef double height(self, bint penalised) noexcept:
        return self.log_likelihood + log(max(self.variance, TINY)) / 2 if penalised else self.log_likelihood


cdef class Rows:
    """Rows of distance, width, ln of exposure and fills, for evaluation at any k.

    Args:
        delta: Distance of a row, or near edge of its cell.
        width: Width of its cell; inf for an order resting at delta. With any finite width k must be positive.
        log_exposure: Ln of its exposure.
        fills: Its fills.
    """

    cdef Py_ssize_t rows, widths
    cdef bint cells
    cdef double total
    cdef double* memory
    cdef double* delta
    cdef double* log_exposure
    cdef double* fills
    cdef double* share
    cdef double* width      # distinct finite widths
    cdef Within* within     # moments by width at the current k, then of an open cell
    cdef int* which         # index of the width, by row

    def __cinit__(
        self, const double[::1] delta, const double[::1] width, const double[::1] log_exposure, const double[::1] fills
    ) -> None:
        cdef Py_ssize_t row, at
        self.rows = delta.shape[0]
        if not width.shape[0] == log_exposure.shape[0] == fills.shape[0] == self.rows:
            raise ValueError("rows: columns of unequal length")
        self.memory = <double*> malloc((5 * self.rows + 1) * sizeof(double))
        self.within = <Within*> malloc((self.rows + 1) * sizeof(Within))
        self.which = <int*> malloc((self.rows + 1) * sizeof(int))
        if self.memory is NULL or self.within is NULL or self.which is NULL:
            raise MemoryError("no memory for the rows of a table")
        self.delta, self.log_exposure = self.memory, self.memory + self.rows
        self.fills, self.share = self.memory + 2 * self.rows, self.memory + 3 * self.rows
        self.width = self.memory + 4 * self.rows
        for row in range(self.rows):
            self.delta[row], self.log_exposure[row], self.fills[row] = delta[row], log_exposure[row], fills[row]
            self.total += fills[row]
            self.which[row] = -1
            if not isfinite(width[row]):
                continue
            self.cells = True
            for at in range(self.widths - 1, -1, -1):
                if self.width[at] == width[row]:
                    self.which[row] = at
                    break
            if self.which[row] < 0:
                self.width[self.widths] = width[row]
                self.which[row] = self.widths
                self.widths += 1
        for row in range(self.rows):
            if self.which[row] < 0:
                self.which[row] = self.widths

    def __dealloc__(self) -> None:
        free(self.memory)
        free(self.within)
        free(self.which)

    def at(self, double k) -> At:
        """Return likelihood and moments at *k*."""
        return self.at_k(k)

    cdef At at_k(self, double k):
        cdef At found = At.__new__(At)
        found.k, found.total = k, self.total
        self.weigh(k, found)
        self.spread(k, found)
        return found

    def falls_at(
        self,
        slope: Callable[[At], tuple[float, float]] | None,
        double start,
        double floor,
        double low=-INFINITY,
        double high=INFINITY,
    ) -> float:
        """Return a k where a slope falls through zero, by bracketed Newton steps; *floor* if it is negative there.

        If there are several, it is any of them.

        Args:
            slope: Returns the slope and its derivative at one k; None for the score.
            start: Initial k.
            floor: Smallest k.
            low, high: Ends of the bracket.
        """
        return self.falls(slope, NULL, 0.0, start, low, high, floor)

    cdef double falls(
        self, object slope, Profile* profile, double log_a, double start, double low, double high, double floor
    ) except? -1.0:
        """Return the result of `falls_at`; with a *profile*, for the slope in k at fixed ln A."""
        cdef double k = start, value, bend, step, longest
        cdef int iteration
        cdef At at
        for iteration in range(MAX_ITERATIONS):
            at = self.at_k(k)
            if profile is not NULL:
                value = self.slope_at(profile, log_a, at, &bend)
            elif slope is None:
                value, bend = at.first_derivative(), at.second_derivative()
            else:
                value, bend = slope(at)
            if value > 0:
                low = k
            elif value < 0 and k > floor:
                high = k
            else:
                return k
            step = -value / bend if bend < 0 else copysign(INFINITY, value)
            if fabs(step) <= CLOSE * fabs(k):
                return max(k + step, floor)
            longest = REACH * max(fabs(k), 1.0)
            if not (fabs(step) <= longest and low < k + step < high):
                step = (low + high) / 2 - k if isfinite(high - low) else copysign(longest, value)
            k = max(k + step, floor)
            if fabs(step) <= DIGITS * max(fabs(k), 1e-3):
                break
        return k

    def profile_ends(
        self, estimate: object, double near, double span, double limit, double floor, *, bint penalised
    ) -> tuple[float, float, float, float]:
        """Return the ends of the profile-likelihood intervals of k, in units of the span, and of ln A; NaN for none.

        Args:
            estimate: The peak, in ticks.
            near, span: Nearest distance of the table, and that from it to the farthest, in ticks.
            limit: Square root of twice the decrease of the log-likelihood at an end.
            floor: The smallest k.
            penalised: Whether the likelihood includes Jeffreys prior.
        """
        cdef double log_a = estimate.logA, k = estimate.k, ridge = estimate.cov_logA_k / estimate.var_logA * span
        cdef Profile profile = Profile(True, penalised, limit, near, span, log_a, k * span, ridge, floor)
        cdef double step = limit * <double> estimate.se_k * span
        low, high = self.end(&profile, profile.k, -step, floor), self.end(&profile, profile.k, step, -INFINITY)
        profile.over_k, step = False, limit * <double> estimate.se_logA
        return low, high, self.end(&profile, log_a, -step, -INFINITY), self.end(&profile, log_a, step, -INFINITY)

    cdef double end(self, Profile* profile, double top, double step, double floor) except? -1.0:
        """Return the point at which a profile likelihood has fallen by the limit; NaN if it has not at the floor.

        Newton steps on the square root of twice the decrease, which is nearly linear.
        """
        cdef double slope, highest = self.height(profile, top, &slope), here, fall, ahead
        cdef double near = top, far = copysign(INFINITY, step), at = top + step
        cdef int iteration
        for iteration in range(END_ITERATIONS):
            at = max(at, floor)
            here = self.height(profile, at, &slope)
            fall = sqrt(max(2 * (highest - here), 0.0))
            if fall < profile.limit:
                near = at
            elif fall >= profile.limit:
                far = at
            else:
                return NAN
            if near == floor:
                return NAN
            ahead = at + fall * (fall - profile.limit) / slope if slope else far
            if not min(near, far) < ahead < max(near, far) or not isfinite(ahead):
                ahead = (near + far) / 2 if isfinite(far) else top + 2 * (at - top)
            if fabs(fall - profile.limit) <= END_CLOSE or fabs(ahead - at) <= END_DIGITS * fabs(ahead - top):
                return ahead
            at = ahead
        return at if isfinite(far) else NAN

    cdef double height(self, Profile* profile, double at, double* slope) except? -1.0:
        """Return the profile likelihood at k or at ln A, and its derivative."""
        cdef At here
        cdef double log_expected, expected, counted
        if profile.over_k:
            here = self.at_k(at)
            slope[0] = here.first_derivative() + here.prior_slope if profile.penalised else here.first_derivative()
            return here.height(profile.penalised)
        log_expected = max(profile.k + profile.ridge * (at - profile.log_a), profile.floor)
        here = self.at_k(self.falls(None, profile, at, log_expected, -INFINITY, INFINITY, profile.floor))
        log_expected = log_expected_of(profile, at, here)
        expected = exp(min(log_expected, LARGE))
        counted = here.total + profile.penalised  # the prior is A times a function of k
        slope[0] = counted - expected
        return here.height(profile.penalised) + counted * log_expected - expected

    cdef double slope_at(self, Profile* p, double log_a, At at, double* bend) noexcept:
        """Return the derivative in k of the log-likelihood at fixed ln A, and write the second one to *bend*."""
        cdef double expected = exp(min(log_expected_of(p, log_a, at), LARGE))
        cdef double beyond = 1 / at.k if self.cells else 0.0  # of the depth, not part of ln g
        cdef double steep = p.near / p.span + at.mean - beyond, seen = p.near / p.span + at.seen - beyond
        cdef double fall = beyond * beyond - at.variance - at.inner, seen_fall = beyond * beyond - at.seen_inner
        cdef double value = expected * steep - at.total * seen
        bend[0] = expected * (fall - steep * steep) - at.total * seen_fall
        if not p.penalised:
            return value
        bend[0] += at.prior_bend - fall
        return value + at.prior_slope - steep

    def alone(self, double peak) -> bool:
        """Return whether *peak* is proven to be the only peak of the likelihood of cells.

        The score of one fill, F, is the difference of two decreasing functions, (F + B) and B, where B is the excess
        depth of the fills within their cells over that within the narrowest cell: so between two points F rises at
        most by the decrease of B.

        Args:
            peak: The k of a peak.
        """
        cdef double k, stride, depth, spare, narrowest = INFINITY
        cdef dict share = {}  # of all fills, by width of the other non-empty cells
        cdef list wider
        cdef Py_ssize_t row
        for row in range(self.widths):
            narrowest = min(narrowest, self.width[row])
        for row in range(self.rows):
            if self.fills[row] > 0 and self.which[row] < self.widths:
                k = self.width[self.which[row]]
            elif self.fills[row] > 0:
                k = INFINITY
            else:
                continue
            if k > narrowest:
                share[k] = share.get(k, 0.0) + self.fills[row] / self.total
        wider = list(share.items())
        if not wider:
            return True
        cdef int sign, size
        cdef At at = At.__new__(At)
        at.total = self.total
        for sign in (1, -1):
            k, stride = peak, STRIDES[3]
            while LEAST_CELL_K < k < FARTHEST_K:
                k *= stride if sign > 0 else 1 / stride
                self.weigh(k, at)  # only the means are needed
                depth = sign * (at.seen - at.mean)
                if not depth > 0:
                    return False
                spare = deeper(k, narrowest, wider)
                if sign > 0 and depth > spare:
                    break
                for size in range(4):
                    stride = STRIDES[size]
                    if sign * (spare - deeper(k * (stride if sign > 0 else 1 / stride), narrowest, wider)) < depth:
                        break
                else:
                    return False
        return True

    cdef void weigh(self, double k, At found) noexcept:
        """Compute the shares, and the moments linear in them."""
        cdef Py_ssize_t row
        cdef double top = -INFINITY, mass = 0, mean = 0, inner = 0, seen = 0, seen_inner = 0, height = 0
        cdef double depth, weight, value
        cdef Within* cell
        for row in range(self.widths):
            self.within[row] = within_cell(k, self.width[row])
        self.within[self.widths] = Within(0, 1 / k, 1 / (k * k), 2 / (k * k * k)) if self.cells else Within(0, 0, 0, 0)
        for row in range(self.rows):
            cell = &self.within[self.which[row]]
            value = self.log_exposure[row] - k * self.delta[row] + cell.log_gain
            self.share[row] = value
            top = max(top, value)
            if self.fills[row]:
                weight = self.fills[row]
                height += weight * value
                seen += weight * (self.delta[row] + cell.mean)
                seen_inner += weight * cell.variance
        for row in range(self.rows):
            cell = &self.within[self.which[row]]
            weight = exp(self.share[row] - top)
            self.share[row] = weight
            mass += weight
            mean += weight * (self.delta[row] + cell.mean)
            inner += weight * cell.variance
        for row in range(self.rows):
            self.share[row] /= mass
        found.log_mass = top + log(mass)
        found.log_likelihood = height - self.total * found.log_mass
        found.mean, found.inner = mean / mass, inner / mass
        found.seen, found.seen_inner = seen / self.total, seen_inner / self.total

    cdef void spread(self, double k, At found) noexcept:
        """Compute the central moments of the depth, and the derivatives of the prior.

        With p' = -p·off, off' = -s + variance + inner, and s' = -third, for the spread s of a row.
        """
        cdef Py_ssize_t row
        cdef double second = 0, third = 0, fourth = 0, tilt = 0, lean = 0, square = 0, skew = 0
        cdef double p, off, s, both, change, bend
        cdef Within* cell
        for row in range(self.rows):
            cell = &self.within[self.which[row]]
            p, s = self.share[row], cell.variance
            off = self.delta[row] + cell.mean - found.mean
            both = p * off * off
            second += both
            third += both * off
            fourth += both * off * off
            tilt += p * off * s
            lean += both * s
            square += p * s * s
            skew += p * off * cell.third
        found.variance = second
        if not second > TINY:
            found.prior_slope = -0.5 if k > 0 else 0.5 if k < 0 else 0.0
            found.prior_bend = 0
            return
        both = second + found.inner
        change = -third - 2 * tilt
        bend = fourth + 3 * lean - 3 * second * both + 2 * (lean + square - found.inner * both + skew)
        found.prior_slope = change / (2 * second)
        found.prior_bend = bend / (2 * second) - 2 * found.prior_slope**2


cdef inline double log_expected_of(Profile* profile, double log_a, At at) noexcept:
    """Return ln of the expected number of fills."""
    return log_a - at.k * profile.near / profile.span + at.log_mass


cdef Within within_cell(double k, double width) noexcept:
    """Return the moments of an exponential depth of rate k within [0, width)."""
    cdef double z = k * width, y = z * z, wide
    cdef Within cell
    cell.log_gain = log(-expm1(-z))
    if z < SMALL:
        cell.mean = 0.5 - z / 12 + z * y / 720 - z * y * y / 30240
        cell.variance = 1.0 / 12 - y / 240 + y * y / 6048 - y * y * y / 172800
        cell.third = z / 120 - z * y / 1512 + z * y * y / 28800
    elif z < LARGE:
        wide = 2 * sinh(z / 2)
        cell.mean = 1 / z - 1 / expm1(z)
        cell.variance = 1 / y - 1 / (wide * wide)
        cell.third = 2 / (z * y) - 2 * cosh(z / 2) / (wide * wide * wide)
    else:
        cell.mean, cell.variance, cell.third = 1 / z, 1 / y, 2 / (z * y)
    cell.mean *= width
    cell.variance *= width * width
    cell.third *= width * width * width
    return cell


cdef double deeper(double k, double narrowest, list wider):
    """Return the excess depth of fills in wider cells over that within the narrowest: B of `Rows.alone`."""
    cdef double found = 0, share, width, least = overhang(k, narrowest)
    for width, share in wider:
        found += share * (least - overhang(k, width))
    return found


cdef double overhang(double k, double width) noexcept:
    """Return the difference of the mean of an exponential depth on [0, ∞) and on [0, width)."""
    return width * exp(-k * width) / -expm1(-k * width) if k * width > 0 and isfinite(width) else 0.0
