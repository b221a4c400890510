# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""Optimal quotes with a bounded inventory, for any decreasing fill intensity.

Howard, Dynamic Programming and Markov Processes (1960): policy iteration, which is Newton's method here.
"""

from cython cimport final
from libc.math cimport INFINITY, NAN, asinh, ceil, exp, exp2, expm1, fabs, floor, isfinite, isnan, log, log2, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from mm.backtest.fills.base cimport SKIPS_LOTS
from mm.backtest.fills.intensity cimport BEST, MICRO, Intensity, Piece  # Intensity: in the stub
from mm.backtest.quotes.base cimport QuoteModel
from mm.backtest.quotes.distances cimport Distances, Market, markup

from typing import Any

from mm.backtest import declarations
from mm.backtest.fills.intensity import is_falling
from mm.backtest.parameters import LARGEST_TICKS, declares
from mm.backtest.quotes.bounded import MOST_LEVELS
from mm.backtest.quotes.distances import behind
from mm.errors import UsageError

MOST_POINTS = 1_000             # of a curve


cdef enum:
    NEWTON_ROUNDS = 200         # usually a dozen
    MOST_LINES = 1_000          # equals MOST_POINTS
    HALVINGS = 30
    STARTS = 1_024              # kept starting points
    STARTS_PER_OCTAVE = 16      # of the risk

cdef double EXACT = 1e-13       # relative step at which Newton's method ends
cdef double NEARLY = 1.0 - 1e-9  # far more than rounding
cdef double BORDER = 1e-3       # share of the distance to the next cell


def _is_curve(value: object) -> bool:
    """Points (delta, rate) with rising deltas and falling rates."""
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
    double begin_rate       # λ at begin, per second
    double end_rate
    int64_t place           # among the lines that can be optimal; -1: it never is


# Lines that can be optimal from a price up to the next cell's; that of the cell after the last one is NAN.
cdef struct Cell:
    double price
    int64_t first
    int64_t last


# The steps at a risk of 2^(place / STARTS_PER_OCTAVE), from which Newton's method starts at the risks beside it.
cdef struct Start:
    int64_t place
    bint known
    bint converged


cdef inline double rate_at(const Line* line, double at) noexcept nogil:
    return exp(line.log_rate - line.k * (at - line.at))


@final
cdef class CurveLevels:
    """Solves for the values of the inventory levels -Q .. Q of a maker with any decreasing fill intensity λ(δ).

    With Δ(q) the value of level q, a fill at distance δ that leads from q to r earns
    u = δ - costs + Δ(r) - Δ(q). With an infinite horizon the maker solves, for all q at once,

        c = drift·q - risk·q² / 2 + Σ over both sides  max over δ of λ(δ)·(1 - exp(-xi·u)) / xi

    for Δ and the gain c per second (xi = 0: λ(δ)·u). Newton's method on the steps Δ(q+1) - Δ(q) is Howard's policy
    iteration: quotes for given values, then values for given quotes. Each linear system is solved from both ends
    towards the cheapest level, so that no term is a difference of two large ones. Without drift the steps mirror
    each other, and only those from level 0 up are solved. On a curve the method starts between the steps of two
    fixed risks, so that the answer does not depend on the risks asked for before.

    Args:
        bound: Q, in clips.
        xi: Aversion to the risk of fills, 1/(tick·clip).
        costs: Costs of a fill, in ticks.
    """

    cdef readonly int64_t bound
    cdef Line* lines
    cdef Cell* cells            # ascending by price
    cdef Cell* cell             # of the last price: the next one is near
    cdef int64_t count
    cdef double xi, costs
    cdef double* memory
    cdef double* residual       # arrays of one entry per level; residual of the equation
    cdef double* bid_rate       # derivative of the equation by the step above, and by the step below
    cdef double* ask_rate
    cdef double* fixed          # Newton update of a step: fixed + slope · (update of c)
    cdef double* slope
    cdef Start* starts
    cdef double* start_steps    # from level 0 up, of each start
    cdef double start_costs

    def __cinit__(self, bound: int, xi: float, costs: float) -> None:
        self.bound, self.xi, self.costs = bound, xi, costs
        cdef int64_t levels = 2 * bound + 1
        self.memory = <double*> calloc(5 * levels, sizeof(double))
        self.lines = <Line*> calloc(MOST_LINES + 1, sizeof(Line))
        self.cells = <Cell*> calloc(2 * MOST_LINES + 2, sizeof(Cell))
        self.starts = <Start*> calloc(STARTS, sizeof(Start))
        self.start_steps, self.start_costs = <double*> calloc(STARTS * bound, sizeof(double)), costs
        if (
            self.memory is NULL or self.lines is NULL or self.cells is NULL or self.starts is NULL or self.start_steps is NULL
        ):
            raise MemoryError("no memory for the inventory levels")
        self.residual, self.bid_rate, self.ask_rate = self.memory, self.memory + levels, self.memory + 2 * levels
        self.fixed, self.slope = self.memory + 3 * levels, self.memory + 4 * levels

    def __dealloc__(self) -> None:
        free(self.memory)
        free(self.lines)
        free(self.cells)
        free(self.starts)
        free(self.start_steps)

    cdef void set_exponential(self, double A, double k) noexcept nogil:
        self.lines[0] = Line(-INFINITY, INFINITY, 0.0, log(A), k, markup(self.xi, k), NAN, NAN, 0)
        self.count, self.cell = 1, self.cells
        self.cells[0], self.cells[1].price = Cell(-INFINITY, 0, 0), NAN

    cdef set_points(self, list points):
        """ln λ is linear between points, constant before the first, and extrapolated after the last."""
        cdef int64_t i
        cdef double delta, rate, next_delta, next_rate
        self.begin_lines(points[0][0], log(points[0][1]))
        for i in range(len(points) - 1):
            delta, rate = points[i]
            next_delta, next_rate = points[i + 1]
            self.add_line(delta, next_delta, log(rate), log(rate / next_rate) / (next_delta - delta))
        self.end_lines()

    cdef void set_piece(self, const Piece* piece) noexcept nogil:
        cdef int64_t i
        cdef double k
        self.begin_lines(piece.deltas[0], piece.logs[0])
        for i in range(piece.points - 1):
            k = (piece.logs[i] - piece.logs[i + 1]) / (piece.deltas[i + 1] - piece.deltas[i])
            self.add_line(piece.deltas[i], piece.deltas[i + 1], piece.logs[i], k)
        self.end_lines()

    cdef void begin_lines(self, double delta, double log_rate) noexcept nogil:
        self.count = 0
        self.add_line(-INFINITY, delta, log_rate, 0.0)
        self.lines[0].at = delta

    cdef void add_line(self, double begin, double end, double log_rate, double k) noexcept nogil:
        cdef Line* line = &self.lines[self.count]
        cdef double begin_rate = exp(log_rate)
        line[0] = Line(begin, end, begin, log_rate, k, markup(self.xi, k) if k > 0.0 else INFINITY, begin_rate, begin_rate, -1)
        if k != 0.0:
            line.end_rate = rate_at(line, end)
        self.count += 1

    cdef void end_lines(self) noexcept nogil:
        """Let the last line go on, set the cells, and drop lines that are never optimal.

        A higher price never has a nearer optimum: a line that earns less than one beyond it does so at all higher
        prices. So a line is optimal in one interval of prices at most.
        """
        cdef int64_t i, count = 1
        cdef double price
        self.lines[self.count - 1].end, self.lines[self.count - 1].end_rate = INFINITY, 0.0
        self.cell = self.cells
        self.forget_starts()
        self.cells[0] = Cell(-INFINITY, 0, 0)
        for i in range(1, self.count):  # of the lines so far; each cell has its optimal one
            price = self.price_between(self.cells[count - 1].first, i)
            while count > 1 and price <= self.cells[count - 1].price:
                count -= 1
                price = self.price_between(self.cells[count - 1].first, i)
            self.cells[count] = Cell(price, i, i)
            count += 1
        count = self.with_borders(count)
        for i in range(count):
            self.add_nearly_optimal(&self.cells[i])
        self.drop_others(count)

    cdef int64_t with_borders(self, int64_t count) noexcept nogil:
        """Put a narrow cell around each price between two cells, so that the others need one line; return the number."""
        cdef int64_t i, own
        cdef double width, price, above = INFINITY
        self.cells[2 * count - 1].price = NAN
        for i in range(count - 1, 0, -1):
            price, own = self.cells[i].price, self.cells[i].first
            width = BORDER * min(above - price, price - self.cells[i - 1].price, 1.0)
            self.cells[2 * i] = Cell(price + width, own, own)
            own, above = self.cells[i - 1].first, price
            self.cells[2 * i - 1] = Cell(price - width, own, own)
        return 2 * count - 1

    cdef void add_nearly_optimal(self, Cell* cell) noexcept nogil:
        """Add lines that could earn as much as the cell's own: those before it at its price, the others at the next's.

        In the rest of the cell these earn less, and any other line does by far more than rounding.
        """
        cdef int64_t i, own = cell.first
        cdef double price, rate, at
        for i in range(self.count):
            price = cell.price if i < own else cell[1].price
            if i == own or self.earnings(&self.lines[i], price, &rate, &at) >= (
                NEARLY * self.earnings(&self.lines[own], price, &rate, &at)
            ):
                self.lines[i].place = 0
                cell.first, cell.last = min(cell.first, i), max(cell.last, i)

    cdef void drop_others(self, int64_t cell_count) noexcept nogil:
        cdef int64_t i, kept = 0
        for i in range(self.count):
            if self.lines[i].place == 0:
                self.lines[i].place = kept
                kept += 1
        for i in range(cell_count):
            self.cells[i].first = self.lines[self.cells[i].first].place
            self.cells[i].last = self.lines[self.cells[i].last].place
        for i in range(self.count):
            if self.lines[i].place >= 0:
                self.lines[self.lines[i].place] = self.lines[i]
        self.count = kept

    cdef double price_between(self, int64_t line, int64_t beyond) noexcept nogil:
        """The price from which on the second line earns more than the first, roughly."""
        cdef double high = self.lines[line].end, width = 1.0, middle
        cdef int64_t round
        for round in range(HALVINGS):
            if not self.earns_more(beyond, line, high - width):
                break
            high -= width
            width *= 2.0
        for round in range(HALVINGS):
            width *= 0.5
            middle = high - width
            if self.earns_more(beyond, line, middle):
                high = middle
        return high

    cdef inline bint earns_more(self, int64_t line, int64_t other, double price) noexcept nogil:
        cdef double rate, at
        return self.earnings(&self.lines[line], price, &rate, &at) > self.earnings(&self.lines[other], price, &rate, &at)

    cdef inline double earnings(self, const Line* line, double price, double* rate, double* at) noexcept nogil:
        cdef double wanted = price + line.markup, earned
        if wanted <= line.begin:
            at[0], rate[0] = line.begin, line.begin_rate
        elif wanted >= line.end:
            at[0], rate[0] = line.end, line.end_rate
        else:
            at[0], rate[0] = wanted, rate_at(line, wanted)
        earned = at[0] - price
        return rate[0] * (-expm1(-self.xi * earned) / self.xi if self.xi > 0.0 else earned)

    cdef inline double best(self, double price, double* rate, double* distance) noexcept nogil:
        """Maximum earnings of an order per second, in ticks.

        Args:
            price: Costs of a fill, including the change in value of the inventory.
            rate: Set to the decrease of the earnings per tick of *price*; for xi = 0 the fills per second.
            distance: Set to the order's distance.
        """
        cdef double gain, most = -INFINITY, at, fills_per_s
        cdef int64_t i
        cdef Cell* cell = self.cell
        while price >= cell[1].price:
            cell += 1
        while price < cell.price:
            cell -= 1
        self.cell = cell
        for i in range(cell.first, cell.last + 1):
            gain = self.earnings(&self.lines[i], price, &fills_per_s, &at)
            if gain > most:
                most, rate[0], distance[0] = gain, fills_per_s, at
        if self.xi > 0.0:
            rate[0] *= exp(-self.xi * (distance[0] - price))
        return most

    cdef double bid_price(self, const double* steps, int64_t level) noexcept nogil:
        return self.costs - steps[level]

    cdef double ask_price(self, const double* steps, int64_t level) noexcept nogil:
        return self.costs + steps[level - 1]

    cdef bint solve(self, double risk, double drift, double* steps) noexcept nogil:
        """Set the steps from each level to the next; return whether the method converged."""
        cdef int64_t last = 2 * self.bound, i
        cdef bint mirrored = drift == 0.0, converged
        if not (mirrored and self.start_between(risk, steps)):
            self.begin(risk, drift, steps)
        converged = self.converge(risk, drift, steps)
        if mirrored:
            for i in range(self.bound):
                steps[i] = -steps[last - 1 - i]
        return converged

    cdef bint start_between(self, double risk, double* steps) noexcept nogil:
        """Set the steps from level 0 up by those of two fixed risks; return whether there are any."""
        cdef double place, share
        cdef int64_t i, below
        cdef const double* low
        cdef const double* high
        if self.lines[0].k > 0.0 or not 1e-200 < risk < 1e200:
            return False
        place = STARTS_PER_OCTAVE * log2(risk)
        below = <int64_t> floor(place)
        share = place - <double> below
        low, high = self.start(below), self.start(below + 1)
        if low is NULL or high is NULL:
            return False
        for i in range(self.bound):
            steps[self.bound + i] = (1.0 - share) * low[i] + share * high[i]
        return True

    cdef const double* start(self, int64_t place) noexcept nogil:
        """The steps from level 0 up; NULL if the method does not converge."""
        cdef Start* start = &self.starts[place & (STARTS - 1)]
        cdef double* steps = self.start_steps + (place & (STARTS - 1)) * self.bound
        cdef double risk
        if self.start_costs != self.costs:
            self.forget_starts()
        if not start.known or start.place != place:
            risk = exp2(<double> place / STARTS_PER_OCTAVE)
            self.begin(risk, 0.0, steps - self.bound)
            start[0] = Start(place, True, self.converge(risk, 0.0, steps - self.bound))
        return steps if start.converged else NULL

    cdef void forget_starts(self) noexcept nogil:
        cdef int64_t i
        self.start_costs = self.costs
        for i in range(STARTS):
            self.starts[i].known = False

    cdef bint converge(self, double risk, double drift, double* steps) noexcept nogil:
        """Improve the steps; without drift those from level 0 up alone are read and set."""
        cdef int64_t first = self.bound if drift == 0.0 else 0, last = 2 * self.bound, pivot = self.bound, i, round
        cdef double gain = 0.0, change, widest, longest, edge, cap, rate, distance
        if drift != 0.0:
            pivot = self.bound + <int64_t> min(max(drift / max(risk, 1e-300), -<double> self.bound), <double> self.bound)
        self.best(self.costs, &rate, &distance)
        edge = distance - self.costs  # gain of a fill without inventory risk, in ticks
        # Policy iteration converges for bounded rates. An exponential rate is not bounded, and full steps overflow.
        cap = 4.0 * edge if self.lines[0].k > 0.0 else INFINITY
        for round in range(NEWTON_ROUNDS):
            self.linearise(risk, drift, gain, steps, first)
            change = self.newton(pivot, first)
            widest = longest = 0.0
            for i in range(first, last):
                widest = max(widest, fabs(self.step_change(i, pivot, change)))
                longest = max(longest, fabs(steps[i]))
            if not isfinite(widest):
                return False
            for i in range(first, last):
                steps[i] += min(max(self.step_change(i, pivot, change), -cap), cap)
            gain += change
            if widest <= EXACT * (edge + longest):
                return True
        return False

    cdef void begin(self, double risk, double drift, double* steps) noexcept nogil:
        """Set the initial steps, which are exact near the cheapest level and far away from it."""
        cdef double rate, distance, k, bend
        cdef int64_t i
        self.best(self.costs, &rate, &distance)
        k = self.lines[0].k if self.lines[0].k > 0.0 else 1.0 / (distance - self.costs)
        bend = sqrt(0.125 * risk * k / rate)
        for i in range(self.bound if drift == 0.0 else 0, 2 * self.bound):
            steps[i] = 0.0 if risk == 0.0 else -2.0 / k * asinh((<double> (i - self.bound) + 0.5 - drift / risk) * bend)

    cdef inline double step_change(self, int64_t i, int64_t pivot, double change) noexcept nogil:
        return self.fixed[i] + self.slope[i] * change

    cdef void linearise(self, double risk, double drift, double gain, const double* steps, int64_t first) noexcept nogil:
        cdef int64_t last = 2 * self.bound, level
        cdef double q, distance
        self.ask_rate[0] = self.bid_rate[last] = 0.0
        for level in range(first, last + 1):
            q = <double> (level - self.bound)
            self.residual[level] = q * (drift - 0.5 * risk * q) - gain
            if level < last:
                self.residual[level] += self.best(self.bid_price(steps, level), &self.bid_rate[level], &distance)
        for level in range(last, first, -1):  # prices rise with the level for bids, and fall for asks
            self.residual[level] += self.best(self.ask_price(steps, level), &self.ask_rate[level], &distance)
        if first > 0:  # the ask of level 0 is its bid, mirrored
            self.residual[first] = 2.0 * self.residual[first] + gain
            self.ask_rate[first] = self.bid_rate[first]

    cdef double newton(self, int64_t pivot, int64_t first) noexcept nogil:
        """Set the Newton updates of the steps as linear functions of the gain's update; return that."""
        cdef int64_t last = 2 * self.bound, level
        cdef double above = 0.0, above_slope = 0.0, below = 0.0, below_slope = 0.0
        for level in range(first, pivot):
            below = (self.ask_rate[level] * below - self.residual[level]) / self.bid_rate[level]
            below_slope = (self.ask_rate[level] * below_slope + 1.0) / self.bid_rate[level]
            self.fixed[level], self.slope[level] = below, below_slope
        for level in range(last, pivot, -1):
            above = (self.bid_rate[level] * above + self.residual[level]) / self.ask_rate[level]
            above_slope = (self.bid_rate[level] * above_slope - 1.0) / self.ask_rate[level]
            self.fixed[level - 1], self.slope[level - 1] = above, above_slope
        if first > 0:
            below, below_slope = -above, -above_slope
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

    Without *curve*, k and A, and with xi 0, the curve comes from the fit or the segment in force, if its chosen
    shape is not the exponential. If k and A are a segment's, so are the moves after fills,
    unless *adverse_ticks* is given.

    A gamma of ``auto`` is ``gueant``'s for the exponential that touches the curve where a maker without
    inventory risk quotes; ``k`` and ``A`` are this exponential's.
    """

    declared = declarations.OptimalCurve
    cdef readonly double drift
    cdef double costs               # of a fill; if *measured*, without the adverse move of the piece in force
    cdef bint measured
    cdef double offset              # mean distance of the mid from the curve's reference price, in ticks
    cdef bint exponential           # A·exp(-k·δ), not the fit's curve, which may change
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
            self.skips &= ~SKIPS_LOTS

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
        """k and A of the exponential tangent to *curve* at the quotes of a maker without inventory risk."""
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
        cdef double inside = min(max(place, 0.0), <double> (2 * self.levels.bound - 1))
        cdef int64_t low = <int64_t> inside, high = min(low + 1, 2 * self.levels.bound - 1)
        cdef double past = inside - <double> low
        return (1.0 - past) * self.own.steps[low] + past * self.own.steps[high]


@declares(declarations.AvellanedaStoikov)
def avellaneda_stoikov_of_curve(**given: Any) -> QuoteModel:
    """Return the default strategy with the distances of ``OptimalCurve``, for a fit whose A and k miss its rates."""
    cdef dict values = declarations.AvellanedaStoikov.settle(given)
    cdef double q_max = values.pop("q_max")
    shared = {name: values[name] for name in ("gamma", "skew_share", "sigma", "horizon_s", "intensity")}
    return behind(OptimalCurve(q_max=max(ceil(q_max), 1.0), **shared), None, values["intensity"], q_max)
