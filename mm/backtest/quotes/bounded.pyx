# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""Optimal quotes with a bounded inventory, for an exponential fill intensity.

- Guéant, Lehalle and Fernandez-Tapia, Mathematics and Financial Economics 7, 477-507 (2013)
- Guéant, Optimal market making, Applied Mathematical Finance 24(2), 112-154 (2017; arXiv 1605.01862)
- Cartea, Jaimungal and Penalva, Algorithmic and High-Frequency Trading (2015), chapter 10

The quotes follow from the values of the inventory levels, the solution of v' = -M v for a finite or an infinite horizon
(`InventoryLevels`).
"""

from libc.math cimport (
    INFINITY, NAN, acosh, ceil, exp, exp2, fabs, floor, fmax, isfinite, isnan, log, log1p, log2, sqrt,
)
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from mm.backtest.fills.intensity cimport Intensity  # in the stub
from mm.backtest.quotes.distances cimport Distances, Market

from typing import Any

from mm.backtest import declarations
from mm.errors import UsageError

MOST_LEVELS = 500               # of an inventory bound, in orders


cdef inline double whole(double orders) noexcept nogil:
    """A number that is whole but for the rounding of a quotient (0.3 / 0.1) becomes whole."""
    cdef double nearest = floor(orders + 0.5)
    return nearest if fabs(orders - nearest) <= 1e-9 * fmax(fabs(nearest), 1.0) else orders


cdef enum:
    ARRAYS = 11
    ROUNDS = 80                 # maximum iterations for the eigenvalue; usually six

cdef double STAGE = 100.0       # maximum time of one power series
cdef double FAR = 46.0          # levels with an influence below exp(-46) are ignored


cdef class InventoryLevels:
    """Solves for the steps between inventory levels; owns the work arrays."""

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
        """One entry per level, one before the first and one after the last."""
        return self.memory + which * (self.count + 2) + 1

    cdef void rise(self, double rho, double tilt) noexcept nogil:
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
        """Set all steps from the eigenvector of the smallest eigenvalue.

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
        """Whether no other eigenvalue is within *gap* of the smallest one."""
        cdef double pivot = INFINITY
        cdef int64_t i, below = 0
        for i in range(self.count):
            pivot = self.diagonal[i] - self.value - gap - 1.0 / pivot
            below += pivot < 0.0
        return below <= 1

    cdef double norm2(self, int64_t at) noexcept nogil:
        """The squared length of the vector that is 1 at level *at*, where the ends meet."""
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
        """Advance ln v by *length*, up to a constant common to all levels."""
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
        """Whether the steps equal the eigenvector's, to the precision of ln v."""
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
        """Up to *q_max* clips; infinite uses the default."""
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
        cdef double inside = min(max(place, 0.0), <double> (self.levels.count - 2))
        cdef int64_t below = <int64_t> inside
        cdef double share = inside - <double> below, step
        step = self.step(posed, below, between)
        return step + share * (self.step(posed, below + 1, between) - step) if share > 0.0 else step

    cdef inline double step(self, const Problem* posed, int64_t place, bint between) noexcept nogil:
        return self.between_nodes(posed, place) if between else self.known_step(&self.own, posed, place)

    cdef double between_nodes(self, const Problem* posed, int64_t place) noexcept nogil:
        """A step interpolated between the nodes around the problem, or solved if two interpolations differ."""
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
        """A step at one value of rho, interpolated in the time left."""
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
        """Solved again if its cache slot has another node."""
        cdef Node* node = &self.nodes[(rho_index * (STRIDE if self.by_time else 1) + time_index) & (KEPT - 1)]
        cdef Problem there = posed[0]
        there.rho, there.time = rho, time
        return self.known_step(node, &there, place)

    cdef double known_step(self, Node* node, const Problem* posed, int64_t place) noexcept nogil:
        """Solve a problem if the node has no solution of it.

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

    With a gamma of ``auto`` every mode has the skew and half-spread of ``closed_form``.
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
