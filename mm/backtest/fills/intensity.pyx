# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Fill intensity lambda(delta) over time and per side, exponential or any decreasing curve, and fills drawn from it."""

from libc.math cimport NAN, exp, isnan, log
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free, malloc

from mm.backtest._draws cimport uniform
from mm.backtest.fills.base cimport BEST_LOTS, BEST_PRICES, NEVER, FillModel, Order, Top

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mm.backtest.fills.intensity_piece import IntensityPiece
from mm.backtest import declarations
from mm.backtest.parameters import declares
from mm.errors import UsageError

if TYPE_CHECKING:
    from mm.backtest.metrics.fill_states import FillStates

REFERENCES = ("mid", "micro", "best", "sweep")  # in the order of MID, MICRO, BEST; sweep also uses the best price
FOREVER = 0x7FFFFFFFFFFFFFFF


cdef double mid_offset(int reference, const Top* top, int64_t side) noexcept nogil:
    """Return an order's distance from the mid minus its distance from the *reference* price of its *side*, in ticks."""
    cdef double half_spread = 0.5 * <double> (top.ask_ticks - top.bid_ticks)
    if reference == MICRO:
        return side * half_spread * <double> (top.ask_lots - top.bid_lots) / <double> (top.ask_lots + top.bid_lots)
    return half_spread if reference == BEST else 0.0


cdef double rate_from_mid(const Piece* piece, int reference) noexcept nogil:
    """Return A of both sides together for distances from the mid, with their common k.

    It gives the mean rate of both sides at the distance 1/k, where a risk-neutral maker quotes, at the mean spread.
    If the fit counts from the best price and 1/k lies within the half-spread, it gives the rate at the best price.
    """
    cdef double A = piece.A_bid
    if not (piece.A_bid == piece.A_ask and piece.k_bid == piece.k_ask == piece.k):
        A = 0.5 * (piece.A_bid * exp(1.0 - piece.k_bid / piece.k) + piece.A_ask * exp(1.0 - piece.k_ask / piece.k))
    if reference == BEST:
        return A * exp(min(piece.k * piece.half_spread, 1.0))
    return A

cdef double fill_rate(double A, double k, double delta) noexcept nogil:
    """Return A exp(-k delta), and A for negative delta, where nothing was measured."""
    return A * exp(-k * delta) if delta > 0.0 else A


cdef double curve_rate(const Piece* piece, double delta) noexcept nogil:
    """Return λ of a piece's curve: ln λ linear between points, constant before the first, extrapolated beyond."""
    cdef int64_t low = 0, high = piece.points - 1, middle
    if delta <= piece.deltas[0]:
        return exp(piece.logs[0])
    while high - low > 1:
        middle = (low + high) >> 1
        if piece.deltas[middle] <= delta:
            low = middle
        else:
            high = middle
    return exp(
        piece.logs[low]
        + (piece.logs[high] - piece.logs[low])
        * ((delta - piece.deltas[low]) / (piece.deltas[high] - piece.deltas[low]))
    )


def _check_curve(int64_t number, curve: Sequence[tuple[float, float]]) -> None:
    """Raise UsageError unless the points are a decreasing curve."""
    pairs = list(itertools.pairwise(curve))
    monotone = all(first[0] < second[0] and first[1] >= second[1] for first, second in pairs)
    bounded = all(math.isfinite(delta) and 0.0 < rate < math.inf for delta, rate in curve)
    falls = [second[1] < first[1] for first, second in pairs]
    if not pairs or not monotone or not bounded or not falls.pop():
        raise UsageError(
            f"intensity: piece {number} has a curve of {len(curve)} points that is not decreasing; give two points or "
            f"more (distance in ticks, fills per second above 0) with increasing distances and non-increasing rates, "
            f"the last rate lower than the one before it"
        )


cdef class Intensity:
    """A and k, or a curve, constant or by segments; outside all segments the intensity is 0.

    Args:
        pieces: The segments in chronological order, not overlapping; A in 1/s per resting order, k in 1/tick.
        reference: Reference price of distances: ``mid``, ``micro``, ``best`` or ``sweep``.
        falling: Whether curves must decrease, as needed for quotes and fills.
        states: Fill rates by the state of an order, only for predictions; pieces refer to them by index. Empty if
            unknown.
        clustering: The block ``clustering`` of a fit or a schedule, as in ``poisson_fit.json``; None without.
    """

    def __cinit__(
        self,
        pieces: Iterable[IntensityPiece],
        reference: str = "mid",
        falling: bool = True,
        states: "Sequence[FillStates]" = (),
        clustering: Mapping[str, Any] | None = None,
    ) -> None:
        pieces = [IntensityPiece(*piece) for piece in pieces]
        if reference not in REFERENCES:
            raise UsageError(f"intensity: reference is {reference!r}; it must be one of {', '.join(REFERENCES)}")
        self.reference, self.states, self.clustering = reference, tuple(states), clustering
        self.counts_from = min(REFERENCES.index(reference), BEST)
        self.count = len(pieces)
        self.pieces = <Piece*> calloc(self.count + 1, sizeof(Piece))
        if self.pieces is NULL:
            raise MemoryError("no memory for the pieces of an intensity")
        last_us = -1
        for i, one in enumerate(pieces):
            if one.start_us < last_us or one.end_us <= one.start_us:
                raise UsageError(
                    f"intensity: piece {i + 1} covers {one.start_us} to {one.end_us}; pieces must be in order and not overlap"
                )
            if not (one.A_bid >= 0 and one.A_ask >= 0 and one.k_bid > 0 and one.k_ask > 0 and one.k > 0):
                raise UsageError(
                    f"intensity: piece {i + 1} has A {one.A_bid}, {one.A_ask} and k {one.k_bid}, {one.k_ask}; "
                    f"A must be 0 or more and k above 0"
                )
            self.pieces[i].start_us = one.start_us
            self.pieces[i].end_us = one.end_us
            self.pieces[i].A_bid = one.A_bid
            self.pieces[i].k_bid = one.k_bid
            self.pieces[i].A_ask = one.A_ask
            self.pieces[i].k_ask = one.k_ask
            self.pieces[i].k = one.k
            self.pieces[i].half_spread = NAN if one.half_spread_ticks is None else one.half_spread_ticks
            self.pieces[i].A_mid = rate_from_mid(&self.pieces[i], self.counts_from)
            self.pieces[i].sigma_ticks = NAN if one.sigma_ticks is None else one.sigma_ticks
            self.pieces[i].adverse_ticks = NAN if one.adverse_ticks is None else one.adverse_ticks
            if (one.mean_bid_per_s is None) != (one.mean_ask_per_s is None):
                raise UsageError(f"intensity: piece {i + 1} has the mean of one side; give mean_bid_per_s and mean_ask_per_s")
            self.pieces[i].mean_per_s[1] = one.mean_bid_per_s or 0.0
            self.pieces[i].mean_per_s[0] = one.mean_ask_per_s or 0.0
            if one.curve:
                if falling:
                    _check_curve(i + 1, one.curve)
                self.keep(i, list(one.curve))
            last_us = one.end_us
        self.given = pieces

    cdef keep(self, int64_t i, list curve):
        """Store the points of a piece's curve."""
        cdef Piece* piece = &self.pieces[i]
        piece.deltas = <double*> malloc(2 * len(curve) * sizeof(double))
        if piece.deltas is NULL:
            raise MemoryError("no memory for the curve of an intensity")
        piece.logs, piece.points = piece.deltas + len(curve), len(curve)
        for place, (delta, rate) in enumerate(curve):
            piece.deltas[place], piece.logs[place] = delta, log(rate)

    def __dealloc__(self) -> None:
        cdef int64_t i
        if self.pieces is not NULL:
            for i in range(self.count):
                free(self.pieces[i].deltas)
        free(self.pieces)

    @classmethod
    def constant(cls, double A, double k, str reference="mid", sigma_ticks: float | None = None) -> Intensity:
        """Return an intensity with one A and k for both sides at all times."""
        return cls([IntensityPiece(0, FOREVER, A, k, A, k, k, sigma_ticks)], reference)

    def at(self, int64_t us, int64_t side, double delta) -> float:
        """Return the intensity in 1/s at an instant for an order of *side* at *delta* ticks."""
        return self.rate(self.find(us), side, delta)

    def sigma_at(self, int64_t us) -> float | None:
        """Return the volatility in ticks/√s of the piece in force at an instant; None if unknown."""
        cdef int64_t piece = self.find(us)
        if piece >= self.count or self.pieces[piece].start_us > us or isnan(self.pieces[piece].sigma_ticks):
            return None
        return self.pieces[piece].sigma_ticks

    @property
    def from_best(self) -> bool:
        """Whether distances count from the best price of the order's side."""
        return self.counts_from == BEST

    @property
    def from_mid(self) -> bool:
        """Whether A for distances from the mid is known in every piece."""
        cdef int64_t i
        for i in range(self.count):
            if isnan(self.pieces[i].A_mid):
                return False
        return True

    def rows(self) -> list[IntensityPiece]:
        """Return the pieces as given."""
        return list(self.given)

    cdef int64_t find(self, int64_t us) noexcept nogil:
        """Return the index of the first piece that ends after *us*; ``count`` if there is none."""
        cdef int64_t low = 0, high = self.count, middle
        while low < high:
            middle = (low + high) >> 1
            if self.pieces[middle].end_us <= us:
                low = middle + 1
            else:
                high = middle
        return low

    cdef double rate(self, int64_t piece, int64_t side, double delta) noexcept nogil:
        """Return the intensity of a piece in 1/s."""
        if piece >= self.count:
            return 0.0
        if self.pieces[piece].points:
            return curve_rate(&self.pieces[piece], delta)
        if side > 0:
            return fill_rate(self.pieces[piece].A_bid, self.pieces[piece].k_bid, delta)
        return fill_rate(self.pieces[piece].A_ask, self.pieces[piece].k_ask, delta)


cdef double unit_exponential(uint64_t seed, uint64_t a, uint64_t b, uint64_t c) noexcept nogil:
    """Return the unit exponential draw of a key; equal keys give equal draws."""
    return -log(uniform(seed, a, b, c))


def py_unit_exponential(seed: int, a: int, b: int, c: int) -> float:
    """Return the draw of a key, for tests."""
    return unit_exponential(seed, a, b, c)


cdef class Poisson(FillModel):
    """An order fills completely, with intensity lambda(delta): A exp(-k delta) or the curve of a fit.

    - delta is the distance from the intensity's reference price in ticks, and may be negative
    - one unit exponential draw per side and stretch of constant intensity, keyed by the event that began it
    - the fill happens when the integrated intensity reaches the draw, if the stretch lasts that long

    Args:
        intensity: A and k or a curve, constant or by segments.
        seed: Seed of all draws.
    """

    declared = declarations.Poisson
    def __init__(self, intensity: Intensity, seed: int = 0) -> None:
        self.intensity = intensity
        self.seed = seed & 0xFFFFFFFFFFFFFFFF
        self.draws = True
        self.looks = BEST_LOTS if intensity.counts_from == MICRO else BEST_PRICES

    cdef void restart(self) noexcept:
        self.bid_ticks = self.ask_ticks = self.bid_lots = self.ask_lots = 0
        self.begin(0, 0)

    cdef int on_top(self, const Top* top) except -1 nogil:
        cdef bint same
        cdef int reference = self.intensity.counts_from
        if reference == MID:
            same = (
                top.bid_ticks + top.ask_ticks == self.bid_ticks + self.ask_ticks
                and (top.bid_ticks == 0) == (self.bid_ticks == 0)
                and (top.ask_ticks == 0) == (self.ask_ticks == 0)
            )
        else:
            same = top.bid_ticks == self.bid_ticks and top.ask_ticks == self.ask_ticks
            if reference == MICRO:
                same = same and top.bid_lots == self.bid_lots and top.ask_lots == self.ask_lots
        if same:
            return 0
        self.bid_ticks = top.bid_ticks
        self.ask_ticks = top.ask_ticks
        self.bid_lots = top.bid_lots
        self.ask_lots = top.ask_lots
        self.begin(top.us, top.recv_seq)
        return 3

    cdef void begin(self, int64_t us, int64_t recv_seq) noexcept nogil:
        """Store the event that begins stretches of both sides."""
        self.begun_us, self.begun_seq = us, recv_seq
        self.arrivals[0] = self.arrivals[1] = 0

    cdef int on_rest(self, Order* order, const Top* top) except -1 nogil:
        self.arrivals[1 if order.side > 0 else 0] += 1
        return 0

    cdef double distance(self, const Order* order) noexcept nogil:
        """Return the distance of the order from the reference price, in ticks, positive away from the market."""
        cdef int reference = self.intensity.counts_from
        if reference == MID:
            return order.side * (self.bid_ticks + self.ask_ticks - 2 * order.ticks) / 2.0
        if reference == BEST:
            return <double> (order.side * ((self.bid_ticks if order.side > 0 else self.ask_ticks) - order.ticks))
        return order.side * (
            (<double> self.bid_ticks * self.ask_lots + <double> self.ask_ticks * self.bid_lots)
            / <double> (self.bid_lots + self.ask_lots)
            - order.ticks
        )

    cdef double drawn(self, Order* order, const Top* top, int64_t now_us) noexcept nogil:
        """Begin a stretch without a fill, and return its draw; below 0 if a side is empty and nothing can fill."""
        cdef int buys = 1 if order.side > 0 else 0
        order.stretch_us = now_us
        order.due_us = NEVER
        if top.bid_ticks == 0 or top.ask_ticks == 0:
            order.delta = 0.0
            order.stretch_us = NEVER
            return -1.0
        order.delta = self.distance(order)
        return unit_exponential(self.seed, self.begun_us, self.begun_seq, 2 * self.arrivals[buys] + buys)

    cdef int draw(self, Order* order, const Top* top, int64_t now_us) except -1 nogil:
        cdef double left = self.drawn(order, top, now_us), rate, wait
        cdef int64_t from_us = now_us, piece
        if left < 0.0:
            return 0
        piece = self.intensity.find(now_us)
        while piece < self.intensity.count:
            from_us = max(from_us, self.intensity.pieces[piece].start_us)
            rate = self.intensity.rate(piece, order.side, order.delta) * 1e-6
            wait = left / rate if rate > 0.0 else 1e300
            if wait < <double> (self.intensity.pieces[piece].end_us - from_us):
                order.due_us = from_us + <int64_t> wait if wait < 9e18 else NEVER
                return 0
            left -= rate * <double> (self.intensity.pieces[piece].end_us - from_us)
            from_us = self.intensity.pieces[piece].end_us
            piece += 1
        return 0

    cdef double expected(self, const Order* order, int64_t until_us) except -1.0 nogil:
        cdef int64_t piece, from_us, to_us
        cdef double total = 0.0
        if order.stretch_us == NEVER:
            return 0.0
        piece = self.intensity.find(order.stretch_us)
        while piece < self.intensity.count and self.intensity.pieces[piece].start_us < until_us:
            from_us = max(order.stretch_us, self.intensity.pieces[piece].start_us)
            to_us = min(until_us, self.intensity.pieces[piece].end_us)
            total += self.intensity.rate(piece, order.side, order.delta) * 1e-6 * <double> (to_us - from_us)
            piece += 1
        return total


@declares(Poisson.declared)
def poisson(**given: Any) -> Poisson:
    """Return the ``Poisson`` model for one A and k, an A and k per side, or the intensity of a fit.

    Raises:
        UsageError: If the intensity is missing (it has no default) or given in more than one form.
    """
    cdef dict values = Poisson.declared.settle(given)
    return Poisson(given_intensity("poisson", "output of mm calibrate or mm schedule", values), values["seed"])


def given_intensity(model: str, file: str, values: Mapping[str, Any]) -> Intensity:
    """Return the intensity given by the parameters of a *model*.

    Args:
        model: Its name, for messages.
        file: Description of FILL_PARAMS_FILE, for messages.
        values: ``A``, ``k``, ``bid``, ``ask`` and ``intensity``; None if not given.

    Raises:
        UsageError: If the intensity is missing (it has no default) or given in more than one form.
    """
    both, intensity = {"A": values["A"], "k": values["k"]}, values["intensity"]
    bid, ask = values["bid"], values["ask"]
    one_pair = values["A"] is not None or values["k"] is not None
    by_side = bid is not None or ask is not None
    if one_pair + by_side + (intensity is not None) != 1:
        raise UsageError(
            f"{model} needs A and k in one form: FILL_PARAMS_FILE=<{file}>, "
            'FILL_PARAMS_JSON=\'{"A": .., "k": ..}\' or \'{"bid": {"A": .., "k": ..}, "ask": {"A": .., "k": ..}}\''
        )
    if intensity is not None:
        return intensity
    bid, ask = (bid or {}, ask or {}) if by_side else (both, both)
    A_bid, k_bid = side_numbers(model, "bid", bid)
    A_ask, k_ask = side_numbers(model, "ask", ask)
    return Intensity([IntensityPiece(0, FOREVER, A_bid, k_bid, A_ask, k_ask, (k_bid + k_ask) / 2)])


cdef tuple side_numbers(str model, str side, object params):
    """Return the A and k of a side."""
    if set(params) != {"A", "k"} or not all(isinstance(value, int | float) for value in params.values()):
        raise UsageError(f"{model}: the {side}'s parameters are {dict(params)}; they must be numbers A and k")
    return float(params["A"]), float(params["k"])
