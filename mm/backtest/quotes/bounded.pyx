# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""The base of quotes that follow from the values of inventory levels: exact, with a bound on the inventory."""

from libc.math cimport INFINITY, NAN, exp2, fabs, floor, isfinite, isnan, log2
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from mm.backtest.quotes.distances cimport Distances, Market
from mm.backtest.quotes.levels cimport Levels

from mm.backtest.quotes.levels import MOST_LEVELS
from mm.errors import UsageError

DEFAULT_BOUND = 30.0            # orders, as in the figures of Guéant, Lehalle and Fernandez-Tapia

cdef enum:
    NODES = 8                   # of each axis that one interpolation takes
    BLOCK = 4                   # steps that are solved for at once
    STRIDE = 256                # nodes that are remembered of one value of rho, where the time left changes too
    KEPT = 64 * STRIDE          # nodes that are remembered, a power of 2

cdef double RHO_PER_OCTAVE = 32.0, TIME_PER_OCTAVE = 16.0
cdef double[NODES] WEIGHT = [-1.0, 7.0, -21.0, 35.0, -35.0, 21.0, -7.0, 1.0]
cdef double[NODES] INNER_WEIGHT = [0.0, -1.0, 5.0, -10.0, 10.0, -5.0, 1.0, 0.0]
cdef double TOLERANCE = 1e-8    # of how far both may be apart; the wider one is off by far less


cdef class Bounded(Distances):
    """Base of models whose quotes are an edge and the steps of ln v between inventory levels: override ``problem``.

    With u the inventory in orders, the bid's distance is edge - ticks·(ln v(u + 1) - ln v(u)) and the ask's is
    edge + ticks·(ln v(u) - ln v(u - 1)). Levels are whole orders; between two of them, after a partial fill, distances
    lie on a straight line, and beyond the last that a side has they stay as they are.

    Where sigma comes from the tape, it changes with every second, and in a session the time left changes with every
    requote. Then the steps at a requote are interpolated, in ln rho and ln time, from those at the 8 values of each
    around the ones asked for (32 and 16 to an octave, solved for when first needed). Where the inner 6 say anything
    that differs by more than 1e-8 of a step, the very problem is solved; so the relative error stays below 1e-7, and is
    usually below 1e-12. ``distances`` and constant parameters are solved for by themselves.
    """

    cdef void begin(self, double q_max) except *:
        """Make room for the levels up to *q_max* clips; infinite takes the default."""
        cdef double orders = DEFAULT_BOUND if q_max == INFINITY else q_max / self.clips
        if floor(orders) != orders or orders > MOST_LEVELS:
            raise UsageError(
                f"{self.name}: q_max is {q_max} clips, {orders:g} orders; mode {self.mode} needs whole orders, "
                f"1 to {MOST_LEVELS}"
            )
        self.q_max = orders * self.clips
        self.levels = Levels(int(orders))
        self.by_rho, self.by_time = self.needs_sigma and isnan(self.sigma), self.session
        self.varies = self.by_rho or self.by_time
        cdef int64_t steps = self.levels.count - 1, i, kept = KEPT if self.varies else 0
        self.memory = <double*> calloc((kept + 1) * steps, sizeof(double))
        self.nodes = <Node*> calloc(kept + 1, sizeof(Node))
        if self.memory is NULL or self.nodes is NULL:
            raise MemoryError("no memory for the steps between inventory levels")
        self.own.steps = self.memory
        self.own.posed.rho = self.asked_q = NAN
        for i in range(kept):
            self.nodes[i].steps = self.memory + (i + 1) * steps

    def __dealloc__(self) -> None:
        free(self.memory)
        free(self.nodes)

    cdef void problem(self, const Market* market, Problem* posed) noexcept nogil:
        """Pose the problem that a market makes."""
        posed[0] = Problem(INFINITY, 0.0, INFINITY, 0.0, 0.0, 0.0)

    cdef void formula(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        cdef Problem posed
        self.problem(market, &posed)
        self.set_distances(q, &posed, False, bid, ask)

    cdef void often(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        cdef Problem posed
        self.problem(market, &posed)
        if q != self.asked_q or not same(&posed, &self.asked) or posed.edge != self.asked.edge:
            self.asked_q, self.asked = q, posed
            self.set_distances(q, &posed, self.varies and posed.rho > 0.0 and posed.time > 0.0, &self.bid, &self.ask)
        bid[0], ask[0] = self.bid, self.ask

    cdef void set_distances(
        self, double q, const Problem* posed, bint between, double* bid, double* ask
    ) noexcept nogil:
        cdef double place = q / self.clips + <double> self.levels.bound
        bid[0] = ask[0] = INFINITY
        if not (isfinite(posed.rho) and isfinite(posed.tilt)):
            return
        if q < self.q_max:
            bid[0] = posed.edge - posed.ticks * self.step_at(posed, place, between)
        if q > -self.q_max:
            ask[0] = posed.edge + posed.ticks * self.step_at(posed, place - 1.0, between)

    cdef double step_at(self, const Problem* posed, double place, bint between) noexcept nogil:
        """Return the step that begins at a place, on the line between those of whole places."""
        cdef double inside = min(max(place, 0.0), <double> (self.levels.count - 2))
        cdef int64_t below = <int64_t> inside
        cdef double share = inside - <double> below, step
        step = self.step(posed, below, between)
        return step + share * (self.step(posed, below + 1, between) - step) if share > 0.0 else step

    cdef inline double step(self, const Problem* posed, int64_t place, bint between) noexcept nogil:
        return self.between_nodes(posed, place) if between else self.known_step(&self.own, posed, place)

    cdef double between_nodes(self, const Problem* posed, int64_t place) noexcept nogil:
        """Return a step from those at the nodes around the problem, or its own where they do not agree."""
        cdef double at = RHO_PER_OCTAVE * log2(posed.rho), step
        cdef double[NODES] steps
        cdef int64_t name = <int64_t> floor(at) - (NODES // 2 - 1), i
        self.rough = False
        if self.by_rho:
            for i in range(NODES):
                steps[i] = self.along_time(posed, exp2(<double> (name + i) / RHO_PER_OCTAVE), name + i, place)
            step = self.between(steps, at - <double> name)
        else:
            step = self.along_time(posed, posed.rho, 0, place)
        return self.known_step(&self.own, posed, place) if self.rough else step

    cdef double along_time(self, const Problem* posed, double rho, int64_t rho_name, int64_t place) noexcept nogil:
        """Return a step at one value of rho, from those at the times around the one left."""
        cdef double at = TIME_PER_OCTAVE * log2(posed.time), time
        cdef double[NODES] steps
        cdef int64_t name = <int64_t> floor(at) - (NODES // 2 - 1), i
        if not self.by_time:
            return self.node_step(posed, rho, posed.time, rho_name, 0, place)
        for i in range(NODES):
            time = exp2(<double> (name + i) / TIME_PER_OCTAVE)
            steps[i] = self.node_step(posed, rho, time, rho_name, name + i, place)
        return self.between(steps, at - <double> name)

    cdef double between(self, const double* steps, double at) noexcept nogil:
        """Interpolate at a place from 3 to 4 between the 8 of the nodes; note where the inner 6 say another thing."""
        cdef double above = 0.0, beneath = 0.0, inner_above = 0.0, inner_beneath = 0.0, weight, answer
        cdef int64_t i
        if at == floor(at):
            return steps[<int64_t> at]
        for i in range(NODES):
            weight = WEIGHT[i] / (at - <double> i)
            above += weight * steps[i]
            beneath += weight
            weight = INNER_WEIGHT[i] / (at - <double> i)
            inner_above += weight * steps[i]
            inner_beneath += weight
        answer = above / beneath
        self.rough = self.rough or not fabs(inner_above / inner_beneath - answer) <= TOLERANCE * (1.0 + fabs(answer))
        return answer

    cdef double node_step(
        self, const Problem* posed, double rho, double time, int64_t rho_name, int64_t time_name, int64_t place
    ) noexcept nogil:
        """Return a step at one node, solved for anew where the slot held another."""
        cdef Node* node = &self.nodes[(rho_name * (STRIDE if self.by_time else 1) + time_name) & (KEPT - 1)]
        cdef Problem there = posed[0]
        there.rho, there.time = rho, time
        return self.known_step(node, &there, place)

    cdef double known_step(self, Node* node, const Problem* posed, int64_t place) noexcept nogil:
        """Return a step of a problem, solved for anew where the node held another or did not know it.

        Steps are solved for in blocks, so that what was asked before makes no difference to the last digit.
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
    """Tell whether two problems have the same steps."""
    return one.rho == other.rho and one.time == other.time and one.tilt == other.tilt and one.bend == other.bend
