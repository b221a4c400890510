# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Maximum likelihood of curves (`mm.calibration.shapes`): parametric ones, step functions, and tilted shares.

Why compiled: a comparison of shapes evaluates some three hundred curves of fewer than a hundred rows, and some hundred
updates of steps; each evaluation is thirty sums, each cheaper than a numpy call (docs/performance.md, "The
calibration").
"""

from libc.math cimport INFINITY, exp, expm1, fabs, log, log1p
from libc.stdint cimport int64_t
from libc.string cimport memcpy

import numpy as np
from numpy.typing import NDArray

cdef enum:
    EXPONENTIAL_KIND, POWER_KIND, LOGISTIC_KIND, TWO_KIND
    MOST = 3                   # parameters besides the height

KINDS = ("exponential", "power_law", "logistic", "two_exponentials")  # the curves by index

NEVER = -745.0  # below, the exponential underflows
cdef double MIN_LOG = NEVER
cdef double BOUND = 25.0       # bound of a parameter, at which a curve has reached its limit
cdef double MIN_GAIN = 1e-8    # smallest gain of an iteration that continues, in nats
cdef int MAX_ITERATIONS = 80   # usually a dozen
cdef int MAX_ATTEMPTS = 12     # attempts per step, with increasing damping
cdef int CHECK_EVERY = 10      # updates of steps between two evaluations of the likelihood
cdef double LN2 = 0.6931471805599453


def curve_at(int kind, const double[::1] shape, const double[::1] x) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ln λ of a curve at distances beyond the smallest, and its derivatives by parameter, a column each.

    Args:
        kind: Index of the curve.
        shape: Its parameters besides the height.
        x: Distances, in units of 1/k of the exponential.
    """
    if shape.shape[0] != parameters(kind):
        raise ValueError(f"curves: {shape.shape[0]} parameters of a curve that has {parameters(kind)}")
    curve, derivatives = np.empty(x.shape[0]), np.empty((x.shape[0], shape.shape[0]))
    cdef double[::1] heights = curve
    cdef double[:, ::1] slopes = derivatives
    if x.shape[0]:
        write_curve(kind, &shape[0], x, &heights[0], &slopes[0, 0])
    return curve, derivatives


def fit_curve(
    int kind,
    const double[::1] start,
    const double[::1] x,
    spans: tuple[NDArray[np.int64], NDArray[np.int64]],
    const double[:] exposure_s,
    const double[:] fills,
) -> tuple[NDArray[np.float64], float]:
    """Return the shape at a local maximum of the likelihood, and its height, by damped Fisher scoring.

    Args:
        kind: Index of the curve.
        start: The initial shape.
        x: The edges, as for `curve_at`.
        spans: int64[r] each, index of the edge at which each row begins and at which it ends; the number of edges for
            an open row.
        exposure_s: float64[r], above 0.
        fills: float64[r].
    """
    cdef _Ascent ascent = _Ascent(kind, start.shape[0], x, spans, exposure_s, fills)
    cdef double[MOST] shape
    cdef Py_ssize_t i
    for i in range(ascent.count):
        shape[i] = start[i]
    height = ascent.climb(shape)
    return np.array([shape[i] for i in range(ascent.count)]), height


cdef class _Ascent:
    """The likelihood of the distribution of a window's fills over its rows, as a function of a curve's shape."""

    cdef int kind
    cdef Py_ssize_t count, rows, edges
    cdef const double[::1] x
    cdef const double[:] exposure_s, fills
    cdef const int64_t[::1] begin, end
    cdef double total
    cdef double[::1] curve
    cdef double[:, ::1] derivatives
    cdef double[:, ::1] share  # of the fills by row, at the current and the trial shape
    cdef double[:, :, ::1] slope  # likewise, derivatives of the ln mass of a row by parameter

    def __cinit__(
        self,
        int kind,
        Py_ssize_t count,
        const double[::1] x,
        spans: tuple[NDArray[np.int64], NDArray[np.int64]],
        const double[:] exposure_s,
        const double[:] fills,
    ) -> None:
        cdef Py_ssize_t row
        self.begin, self.end = spans
        self.kind, self.count, self.edges, self.rows = kind, count, x.shape[0], exposure_s.shape[0]
        if not fills.shape[0] == self.begin.shape[0] == self.end.shape[0] == self.rows or count != parameters(kind):
            raise ValueError("curves: columns of unequal length")
        for row in range(self.rows):
            if not 0 <= self.begin[row] < self.end[row] <= self.edges or self.begin[row] >= self.edges:
                raise ValueError(f"curves: a row from {self.begin[row]} to {self.end[row]}, of {self.edges}")
            self.total += fills[row]
        self.x, self.exposure_s, self.fills = x, exposure_s, fills
        self.curve, self.derivatives = np.empty(self.edges), np.empty((self.edges, count))
        self.share, self.slope = np.empty((2, self.rows)), np.empty((2, self.rows, count))

    cdef double climb(self, double* shape) noexcept:
        """Move *shape* to its local maximum, and return the height."""
        cdef double[MOST] trial, score
        cdef double[MOST][MOST] information
        cdef double damping = 1e-3, gained, trial_height, height
        cdef Py_ssize_t slot = 0, i
        cdef int iteration, attempt
        height = self.evaluate(shape, slot)
        for iteration in range(MAX_ITERATIONS):
            self.compute_score(slot, score, information)
            gained = 0.0
            for attempt in range(MAX_ATTEMPTS):
                step(self.count, information, damping, 1e-9 * self.total, score, trial)
                for i in range(self.count):
                    trial[i] = clipped(shape[i] + trial[i])
                trial_height = self.evaluate(trial, 1 - slot)
                if trial_height > height:
                    gained, height, slot = trial_height - height, trial_height, 1 - slot
                    memcpy(shape, trial, self.count * sizeof(double))
                    damping /= 8
                    break
                damping *= 6
            if gained < MIN_GAIN:
                break
        return height

    cdef double evaluate(self, const double* shape, Py_ssize_t slot) noexcept:
        """Return the log-likelihood at a shape; store each row's share of the fills and its derivatives in *slot*."""
        cdef Py_ssize_t row, i, begin, end
        cdef double fall, left, taken, gain, top = -INFINITY, reached = 0.0, height = 0.0
        cdef double[:] share = self.share[slot]
        write_curve(self.kind, shape, self.x, &self.curve[0], &self.derivatives[0, 0])
        for row in range(self.rows):
            begin, end = self.begin[row], self.end[row]
            fall = self.curve[end] - self.curve[begin] if end < self.edges else -INFINITY
            left = -expm1(-1e-300 if fall > -1e-300 else fall)
            gain, taken = self.curve[begin] + log(left), exp(fall) / left
            if gain < MIN_LOG:
                gain = MIN_LOG
            share[row] = gain
            if not gain <= top:
                top = gain
            height += self.fills[row] * gain
            for i in range(self.count):
                self.slope[slot, row, i] = self.derivatives[begin, i] - taken * (
                    (self.derivatives[end, i] if end < self.edges else 0.0) - self.derivatives[begin, i]
                )
        for row in range(self.rows):
            share[row] = self.exposure_s[row] * exp(share[row] - top)
            reached += share[row]
        for row in range(self.rows):
            share[row] *= self.total / reached
        return height - (self.total * (log(reached) + top) if self.total > 0 else 0.0)

    cdef void compute_score(self, Py_ssize_t slot, double* score, double[MOST]* information) noexcept:
        """Compute score and Fisher information at the current shape."""
        cdef Py_ssize_t row, i, j
        cdef double expected
        cdef double[MOST] mean
        for i in range(self.count):
            score[i] = mean[i] = 0.0
            for j in range(self.count):
                information[i][j] = 0.0
        for row in range(self.rows):
            expected = self.share[slot, row]
            for i in range(self.count):
                score[i] += (self.fills[row] - expected) * self.slope[slot, row, i]
                mean[i] += expected * self.slope[slot, row, i]
        for row in range(self.rows):
            expected = self.share[slot, row]
            for i in range(self.count):
                for j in range(i + 1):
                    information[i][j] += expected * (
                        (self.slope[slot, row, i] - mean[i] / self.total)
                        * (self.slope[slot, row, j] - mean[j] / self.total)
                    )
        for i in range(self.count):
            for j in range(i):
                information[j][i] = information[i][j]


cdef Py_ssize_t parameters(int kind) noexcept:
    """Return the number of parameters of a curve besides its height."""
    return 1 if kind == EXPONENTIAL_KIND else 3 if kind == TWO_KIND else 2


cdef double clipped(double value) noexcept:
    """Return a parameter within its limits."""
    return -BOUND if value < -BOUND else BOUND if value > BOUND else value


cdef double log_of_sum(double a, double b) noexcept:
    """Return ln(exp(a) + exp(b))."""
    cdef double difference = a - b
    if a == b:
        return a + LN2
    return a + log1p(exp(-difference)) if difference > 0 else b + log1p(exp(difference))


cdef void write_curve(
    int kind, const double* shape, const double[::1] x, double* curve, double* derivatives
) noexcept:
    """Write the curve at each distance, and its derivatives by parameter, row by row."""
    cdef Py_ssize_t at
    cdef double first = exp(shape[0]), second, ratio, share
    if kind == EXPONENTIAL_KIND:
        for at in range(x.shape[0]):
            curve[at] = derivatives[at] = -first * x[at]
    elif kind == POWER_KIND:  # ln of the offset, ln of the power
        first, second = exp(-shape[0]), exp(shape[1])
        for at in range(x.shape[0]):
            ratio = x[at] * first
            curve[at] = -second * log1p(ratio)
            derivatives[2 * at], derivatives[2 * at + 1] = second * ratio / (1 + ratio), curve[at]
    elif kind == LOGISTIC_KIND:  # log-odds at the nearest distance, ln of their slope
        second = exp(shape[1])
        for at in range(x.shape[0]):
            ratio = shape[0] + second * x[at]
            curve[at] = -log_of_sum(0.0, ratio)
            share = exp(ratio + curve[at])
            derivatives[2 * at], derivatives[2 * at + 1] = -share, -share * (second * x[at])
    else:  # ln of the slow slope, ln of the fast slope relative to it, ln of the slow one's weight
        second = exp(shape[1])
        for at in range(x.shape[0]):
            ratio = shape[2] - first * x[at]
            curve[at] = log_of_sum(-(first + second) * x[at], ratio)
            share = exp(ratio - curve[at])
            derivatives[3 * at], derivatives[3 * at + 1] = -first * x[at], -second * x[at] * (1 - share)
            derivatives[3 * at + 2] = share


cdef void step(
    Py_ssize_t count, double[MOST]* information, double damping, double floor, const double* score, double* found
) noexcept:
    """Solve (information + damping · its diagonal) · found = score by elimination with the largest pivots."""
    cdef double[MOST][MOST] rows
    cdef double[MOST] right
    cdef Py_ssize_t i, j, at, pivot
    cdef double value
    for i in range(count):
        right[i] = score[i]
        for j in range(count):
            rows[i][j] = information[i][j]
        rows[i][i] += damping * (information[i][i] + floor)
    for at in range(count):
        pivot = at
        for i in range(at + 1, count):
            if fabs(rows[i][at]) > fabs(rows[pivot][at]):
                pivot = i
        for j in range(count):
            value = rows[at][j]
            rows[at][j], rows[pivot][j] = rows[pivot][j], value
        value = right[at]
        right[at], right[pivot] = right[pivot], value
        for i in range(at + 1, count):
            value = rows[i][at] / rows[at][at]
            for j in range(at, count):
                rows[i][j] -= value * rows[at][j]
            right[i] -= value * right[at]
    for at in range(count - 1, -1, -1):
        value = right[at]
        for j in range(at + 1, count):
            value -= rows[at][j] * found[j]
        found[at] = value / rows[at][at]


def climb(
    spans: tuple[NDArray[np.int64], NDArray[np.int64]],
    const double[::1] counts,
    const double[::1] waited,
    double[::1] steps,
    int turns,
    double enough,
) -> None:
    """Update steps in place (EM): multiply each by the mean ratio of counts to expectations of its rows.

    Args:
        spans: int64[r] each, the first step of each row and the first beyond it.
        counts: float64[r], count of each row.
        waited: float64[r], seconds of each row; a step without seconds is unchanged.
        steps: float64[n], 0 or more.
        turns: Maximum number of updates; the likelihood is evaluated after every tenth.
        enough: The iteration ends when ten updates gain less than this, in nats.
    """
    cdef const int64_t[::1] begin = spans[0], end = spans[1]
    cdef Py_ssize_t row, at, rows = begin.shape[0], size = steps.shape[0]
    cdef int iteration
    cdef double reached, share, moved, height, last = -INFINITY
    if not end.shape[0] == counts.shape[0] == waited.shape[0] == rows:
        raise ValueError("steps: columns of unequal length")
    for row in range(rows):
        if not 0 <= begin[row] <= end[row] <= size:
            raise ValueError(f"steps: a row from {begin[row]} to {end[row]}, of {size}")
    cdef double[::1] total = np.zeros(size + 1), first = np.zeros(size + 1), beyond = np.zeros(size + 1)
    cdef double[::1] seconds = np.zeros(size)  # total of the rows that contain each step
    cdef int64_t[::1] change = np.zeros(size + 1, np.int64)  # in the number of rows that contain a step
    cdef int64_t held = 0
    for row in range(rows):
        first[begin[row]] += waited[row]
        beyond[end[row]] += waited[row]
        change[begin[row]] += 1
        change[end[row]] -= 1
    moved = 0.0
    for at in range(size):
        moved += first[at] - beyond[at]
        held += change[at]
        seconds[at] = moved if held else 0.0  # without rounding residue
    for iteration in range(turns):
        moved = height = 0.0
        for at in range(size):
            moved += steps[at]
            total[at + 1] = moved
            first[at] = beyond[at] = 0.0
        first[size] = beyond[size] = 0.0
        for row in range(rows):
            reached = max(total[end[row]] - total[begin[row]], 1e-300)
            if iteration % CHECK_EVERY == 0:
                height += counts[row] * log(reached) - waited[row] * reached
            share = counts[row] / reached
            first[begin[row]] += share
            beyond[end[row]] += share
        if iteration % CHECK_EVERY == 0:
            if height - last < enough:
                break
            last = height
        moved = 0.0
        for at in range(size):
            moved += first[at] - beyond[at]
            if seconds[at] > 0:
                steps[at] = steps[at] * max(moved, 0.0) / seconds[at]


def tilted(const double[::1] offset, const double[::1] delta, const double[::1] fills, int degree) -> float:
    """Return the maximum log-likelihood of shares ∝ exp(offset + b·delta [+ c·delta²]), by damped Newton steps.

    Args:
        offset: Ln of the base shares, up to a constant.
        delta: Distances, of the order of 1.
        fills: Counts.
        degree: 1 for b alone, 2 for b and c.
    """
    cdef double b = 0, c = 0, up_b, up_c, height, higher, gained
    cdef double[5] moments  # of delta under the shares: powers 1 to 4; index 0 is unused
    cdef double first = 0, second = 0, total = 0, slope_b, slope_c, bb, bc, cc, ridge, det
    cdef Py_ssize_t row
    cdef int step, halving
    for row in range(delta.shape[0]):
        total += fills[row]
        first += fills[row] * delta[row]
        second += fills[row] * delta[row] * delta[row]
    height = tilt_height(offset, delta, fills, b, c, moments)
    for step in range(50):
        slope_b, slope_c = first - total * moments[1], second - total * moments[2]
        bb, bc = moments[2] - moments[1] * moments[1], moments[3] - moments[1] * moments[2]
        cc = moments[4] - moments[2] * moments[2]
        ridge = 1e-12 * (bb + cc) + 1e-300
        bb, cc = total * (bb + ridge), total * (cc + ridge)
        bc *= total
        det = bb * cc - bc * bc
        up_b = slope_b / bb if degree == 1 else (cc * slope_b - bc * slope_c) / det
        up_c = 0 if degree == 1 else (bb * slope_c - bc * slope_b) / det
        for halving in range(30):
            higher = tilt_height(offset, delta, fills, b + up_b, c + up_c, moments)
            if higher >= height:
                break
            up_b, up_c = up_b / 2, up_c / 2
        else:
            return height
        gained, height = higher - height, higher
        b, c = b + up_b, c + up_c
        if gained <= 1e-10:
            break
    return height


cdef double tilt_height(
    const double[::1] offset, const double[::1] delta, const double[::1] fills, double b, double c, double* moments
) noexcept:
    """Return the log-likelihood at b and c, and the *moments* of delta there."""
    cdef double top = -INFINITY, mass = 0, height = 0, total = 0, value, weight, d
    cdef Py_ssize_t row
    for row in range(delta.shape[0]):
        d = delta[row]
        value = offset[row] + (b + c * d) * d
        top = max(top, value)
        if fills[row]:
            height += fills[row] * value
            total += fills[row]
    moments[1] = moments[2] = moments[3] = moments[4] = 0
    for row in range(delta.shape[0]):
        d = delta[row]
        weight = exp(offset[row] + (b + c * d) * d - top)
        mass += weight
        weight *= d
        moments[1] += weight
        weight *= d
        moments[2] += weight
        weight *= d
        moments[3] += weight
        moments[4] += weight * d
    for row in range(1, 5):
        moments[row] /= mass
    return height - total * (top + log(mass))
