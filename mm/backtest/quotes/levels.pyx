# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Values of the inventory levels: the solution of v' = -M v, for a finite and an infinite horizon.

M is the matrix of Guéant, Lehalle and Fernandez-Tapia (2013) over the levels n = -Q .. Q of an inventory bound, in
units of its off-diagonal rate: rho·n² - tilt·n on the diagonal, -1 next to it. Quotes need the steps
ln v(n+1) - ln v(n). Neighbouring values may differ by hundreds of powers of ten, so every method keeps the relative
precision of each value: sums of positive terms, and logarithms against overflow.
"""

from libc.math cimport INFINITY, NAN, acosh, ceil, exp, fabs, fmax, log, log1p
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from mm.errors import UsageError

MOST_LEVELS = 500               # of an inventory bound, in orders

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
