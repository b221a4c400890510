# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""Optimal quotes with a bounded inventory, for any decreasing fill intensity.

Howard, Dynamic Programming and Markov Processes (1960): policy iteration, which is Newton's method here.
"""

from libc.math cimport INFINITY, NAN, asinh, ceil, exp, expm1, fabs, floor, isfinite, isnan, log, sqrt
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

cdef double EXACT = 1e-13       # relative step at which Newton's method ends


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
        self.lines[0] = Line(-INFINITY, INFINITY, 0.0, log(A), k, markup(self.xi, k))
        self.count = 1

    cdef set_points(self, list points):
        """ln λ is linear between points, constant before the first, and extrapolated after the last."""
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
        """Maximum earnings of an order per second, in ticks.

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
        """Set the Newton updates of the steps as linear functions of the gain's update; return that."""
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
