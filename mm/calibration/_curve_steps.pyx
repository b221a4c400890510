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
cdef double LEAST = NEVER
cdef double WIDEST = 25.0      # bound of a parameter, at which a curve has reached its limit
cdef double ENOUGH = 1e-8      # gain in nats of the last iteration
cdef int TURNS = 80            # maximum iterations; usually a dozen
cdef int TRIES = 12            # attempts per step, with increasing damping
cdef int LOOK = 10             # updates of steps between two evaluations of the likelihood
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
    curve, rises = np.empty(x.shape[0]), np.empty((x.shape[0], shape.shape[0]))
    cdef double[::1] heights = curve
    cdef double[:, ::1] slopes = rises
    if x.shape[0]:
        follow(kind, &shape[0], x, &heights[0], &slopes[0, 0])
    return curve, rises


def climb_curve(
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
    cdef _Ascent hill = _Ascent(kind, start.shape[0], x, spans, exposure_s, fills)
    cdef double[MOST] shape
    cdef Py_ssize_t one
    for one in range(hill.count):
        shape[one] = start[one]
    height = hill.climb(shape)
    return np.array([shape[one] for one in range(hill.count)]), height


cdef class _Ascent:
    """The likelihood of the distribution of a window's fills over its rows, as a function of a curve's shape."""

    cdef int kind
    cdef Py_ssize_t count, rows, edges
    cdef const double[::1] x
    cdef const double[:] exposure_s, fills
    cdef const int64_t[::1] begin, end
    cdef double total
    cdef double[::1] curve
    cdef double[:, ::1] rises
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
        self.curve, self.rises = np.empty(self.edges), np.empty((self.edges, count))
        self.share, self.slope = np.empty((2, self.rows)), np.empty((2, self.rows, count))

    cdef double climb(self, double* shape) noexcept:
        """Move *shape* to its local maximum, and return the height."""
        cdef double[MOST] ahead, score
        cdef double[MOST][MOST] information
        cdef double damping = 1e-3, rise, there, height
        cdef Py_ssize_t here = 0, one
        cdef int turn, attempt
        height = self.look(shape, here)
        for turn in range(TURNS):
            self.inform(here, score, information)
            rise = 0.0
            for attempt in range(TRIES):
                step(self.count, information, damping, 1e-9 * self.total, score, ahead)
                for one in range(self.count):
                    ahead[one] = clipped(shape[one] + ahead[one])
                there = self.look(ahead, 1 - here)
                if there > height:
                    rise, height, here = there - height, there, 1 - here
                    memcpy(shape, ahead, self.count * sizeof(double))
                    damping /= 8
                    break
                damping *= 6
            if rise < ENOUGH:
                break
        return height

    cdef double look(self, const double* shape, Py_ssize_t place) noexcept:
        """Return the log-likelihood at a shape; store each row's share of the fills and its derivatives in slot *place*."""
        cdef Py_ssize_t row, one, begin, end
        cdef double fall, left, taken, gain, top = -INFINITY, reached = 0.0, height = 0.0
        cdef double[:] share = self.share[place]
        follow(self.kind, shape, self.x, &self.curve[0], &self.rises[0, 0])
        for row in range(self.rows):
            begin, end = self.begin[row], self.end[row]
            fall = self.curve[end] - self.curve[begin] if end < self.edges else -INFINITY
            left = -expm1(-1e-300 if fall > -1e-300 else fall)
            gain, taken = self.curve[begin] + log(left), exp(fall) / left
            if gain < LEAST:
                gain = LEAST
            share[row] = gain
            if not gain <= top:
                top = gain
            height += self.fills[row] * gain
            for one in range(self.count):
                self.slope[place, row, one] = self.rises[begin, one] - taken * (
                    (self.rises[end, one] if end < self.edges else 0.0) - self.rises[begin, one]
                )
        for row in range(self.rows):
            share[row] = self.exposure_s[row] * exp(share[row] - top)
            reached += share[row]
        for row in range(self.rows):
            share[row] *= self.total / reached
        return height - (self.total * (log(reached) + top) if self.total > 0 else 0.0)

    cdef void inform(self, Py_ssize_t place, double* score, double[MOST]* information) noexcept:
        """Compute score and Fisher information at the current shape."""
        cdef Py_ssize_t row, one, two
        cdef double expected
        cdef double[MOST] mean
        for one in range(self.count):
            score[one] = mean[one] = 0.0
            for two in range(self.count):
                information[one][two] = 0.0
        for row in range(self.rows):
            expected = self.share[place, row]
            for one in range(self.count):
                score[one] += (self.fills[row] - expected) * self.slope[place, row, one]
                mean[one] += expected * self.slope[place, row, one]
        for row in range(self.rows):
            expected = self.share[place, row]
            for one in range(self.count):
                for two in range(one + 1):
                    information[one][two] += expected * (
                        (self.slope[place, row, one] - mean[one] / self.total)
                        * (self.slope[place, row, two] - mean[two] / self.total)
                    )
        for one in range(self.count):
            for two in range(one):
                information[two][one] = information[one][two]


cdef Py_ssize_t parameters(int kind) noexcept:
    """Return the number of parameters of a curve besides its height."""
    return 1 if kind == EXPONENTIAL_KIND else 3 if kind == TWO_KIND else 2


cdef double clipped(double value) noexcept:
    """Return a parameter within its limits."""
    return -WIDEST if value < -WIDEST else WIDEST if value > WIDEST else value


cdef double log_of_sum(double one, double other) noexcept:
    """Return ln of the sum of two exponentials."""
    cdef double apart = one - other
    if one == other:
        return one + LN2
    return one + log1p(exp(-apart)) if apart > 0 else other + log1p(exp(apart))


cdef void follow(
    int kind, const double* shape, const double[::1] x, double* curve, double* rises
) noexcept:
    """Write the curve at each distance, and its derivatives by parameter, row by row."""
    cdef Py_ssize_t at
    cdef double first = exp(shape[0]), second, ratio, share
    if kind == EXPONENTIAL_KIND:
        for at in range(x.shape[0]):
            curve[at] = rises[at] = -first * x[at]
    elif kind == POWER_KIND:  # ln of the offset, ln of the power
        first, second = exp(-shape[0]), exp(shape[1])
        for at in range(x.shape[0]):
            ratio = x[at] * first
            curve[at] = -second * log1p(ratio)
            rises[2 * at], rises[2 * at + 1] = second * ratio / (1 + ratio), curve[at]
    elif kind == LOGISTIC_KIND:  # the odds at the nearest, ln of their slope
        second = exp(shape[1])
        for at in range(x.shape[0]):
            ratio = shape[0] + second * x[at]
            curve[at] = -log_of_sum(0.0, ratio)
            share = exp(ratio + curve[at])
            rises[2 * at], rises[2 * at + 1] = -share, -share * (second * x[at])
    else:  # ln of the slow slope, ln of the fast slope relative to it, ln of the slow one's weight
        second = exp(shape[1])
        for at in range(x.shape[0]):
            ratio = shape[2] - first * x[at]
            curve[at] = log_of_sum(-(first + second) * x[at], ratio)
            share = exp(ratio - curve[at])
            rises[3 * at], rises[3 * at + 1] = -first * x[at], -second * x[at] * (1 - share)
            rises[3 * at + 2] = share


cdef void step(
    Py_ssize_t count, double[MOST]* information, double damping, double least, const double* score, double* found
) noexcept:
    """Solve (information + damping · its diagonal) · found = score by elimination with the largest pivots."""
    cdef double[MOST][MOST] rows
    cdef double[MOST] right
    cdef Py_ssize_t one, two, at, most
    cdef double held
    for one in range(count):
        right[one] = score[one]
        for two in range(count):
            rows[one][two] = information[one][two]
        rows[one][one] += damping * (information[one][one] + least)
    for at in range(count):
        most = at
        for one in range(at + 1, count):
            if fabs(rows[one][at]) > fabs(rows[most][at]):
                most = one
        for two in range(count):
            held = rows[at][two]
            rows[at][two], rows[most][two] = rows[most][two], held
        held = right[at]
        right[at], right[most] = right[most], held
        for one in range(at + 1, count):
            held = rows[one][at] / rows[at][at]
            for two in range(at, count):
                rows[one][two] -= held * rows[at][two]
            right[one] -= held * right[at]
    for at in range(count - 1, -1, -1):
        held = right[at]
        for two in range(at + 1, count):
            held -= rows[at][two] * found[two]
        found[at] = held / rows[at][at]


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
        waited: float64[r], seconds of each row; a step without any is unchanged.
        steps: float64[n], 0 or more.
        turns: Maximum number of updates; the likelihood is evaluated after every tenth.
        enough: The iteration ends when ten updates gain less than this, in nats.
    """
    cdef const int64_t[::1] begin = spans[0], end = spans[1]
    cdef Py_ssize_t row, at, rows = begin.shape[0], size = steps.shape[0]
    cdef int turn
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
    for turn in range(turns):
        moved = height = 0.0
        for at in range(size):
            moved += steps[at]
            total[at + 1] = moved
            first[at] = beyond[at] = 0.0
        first[size] = beyond[size] = 0.0
        for row in range(rows):
            reached = max(total[end[row]] - total[begin[row]], 1e-300)
            if turn % LOOK == 0:
                height += counts[row] * log(reached) - waited[row] * reached
            share = counts[row] / reached
            first[begin[row]] += share
            beyond[end[row]] += share
        if turn % LOOK == 0:
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
    cdef double[5] moments  # of delta under the shares: powers 1 to 4; [0] is the height
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
