# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""Quote models around a fair value, by the expected value of a fill, in a grid of prices, and by a trained agent."""

from libc.math cimport INFINITY, NAN, ceil, exp, expm1, floor, fmax, fmin, isnan, log, pow, rint, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from mm.backtest.fills.base cimport NEEDS_OWN_ORDERS, NEEDS_PRINTS, SKIPS_DEPTH, SKIPS_LOTS, SKIPS_REPEATS, Top, Trade
from mm.backtest.fills.intensity cimport MICRO, MID, Intensity, Piece, mid_offset
from mm.backtest.engine._account cimport wide
from mm.backtest.quotes.base cimport QuoteModel, View, Want, clips_held, keep_within, lots_of_clips, want_level
from mm.signals.predictor cimport Network, Predictor

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mm.backtest import declarations
from mm.backtest.parameters import declares
from mm.backtest.quotes.agent_file import AGENT, OFFSETS, OWN_INPUTS, SIZES, AgentTerms, SavedAgent, read_agent
from mm.backtest.quotes.steps import InventoryBound, PostOnly
from mm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


cdef inline double mid_of(const Top* top) noexcept nogil:
    return 0.5 * <double> (top.bid_ticks + top.ask_ticks)


cdef inline double imbalance_of(const Top* top) noexcept nogil:
    """From -1 to 1, at the best prices."""
    return <double> (top.bid_lots - top.ask_lots) / <double> (top.bid_lots + top.ask_lots)


cdef class FixedSpread(QuoteModel):
    """Quote ``mid - delta_ticks`` and ``mid + delta_ticks``.
    """

    declared = declarations.FixedSpread
    cdef readonly double delta_ticks

    def __init__(self, **given: Any) -> None:
        self.delta_ticks = self.declared.settle(given)["delta_ticks"]
        self.skips = SKIPS_DEPTH | SKIPS_LOTS | SKIPS_REPEATS

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double mid = 0.5 * (view.top.bid_ticks + view.top.ask_ticks)
        want.bid_ticks = mid - self.delta_ticks
        want.ask_ticks = mid + self.delta_ticks
        return 0


cdef class Centred(QuoteModel):
    """Base of models that quote at the same distance on both sides of ``centre - skew_ticks·q``.
    """

    cdef readonly double skew_ticks, q_max

    cdef dict settle(self, given: dict):
        cdef dict values = self.declared.settle(given)
        self.skew_ticks = values["skew_ticks"]
        self.q_max = INFINITY if values["q_max"] is None else values["q_max"]
        return values

    cdef inline void around(self, double centre, double delta, const View* view, Want* want) noexcept nogil:
        cdef double q = clips_held(view)
        centre -= self.skew_ticks * q
        want.bid_ticks = centre - delta if q < self.q_max else NAN
        want.ask_ticks = centre + delta if q > -self.q_max else NAN


cdef class InventorySkew(Centred):
    """Quote at the same distance on both sides of ``mid - skew_ticks·q``, q the inventory in clips.
    """

    declared = declarations.InventorySkew
    cdef readonly double delta_ticks

    def __init__(self, **given: Any) -> None:
        self.delta_ticks = self.settle(given)["delta_ticks"]
        self.skips = SKIPS_DEPTH | SKIPS_LOTS | SKIPS_REPEATS

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        self.around(mid_of(&view.top), self.delta_ticks, view, want)
        return 0


cdef class Imbalance(Centred):
    """Quote around the mid shifted by ``shift_ticks·(B - A)/(B + A)``, towards the side with fewer lots.

    B and A are the lots at the best bid and the best ask.
    """

    declared = declarations.Imbalance
    cdef readonly double delta_ticks, shift_ticks

    def __init__(self, **given: Any) -> None:
        values = self.settle(given)
        self.delta_ticks, self.shift_ticks = values["delta_ticks"], values["shift_ticks"]
        self.skips = SKIPS_DEPTH

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        self.around(mid_of(&view.top) + self.shift_ticks * imbalance_of(&view.top), self.delta_ticks, view, want)
        return 0


cdef class Microprice(Centred):
    """Quote around the micro-price ``(bid·A + ask·B)/(B + A)``, B and A the lots at the best bid and the best ask.

    It equals ``Imbalance`` with a shift of half the market's spread.
    """

    declared = declarations.Microprice
    cdef readonly double delta_ticks

    def __init__(self, **given: Any) -> None:
        self.delta_ticks = self.settle(given)["delta_ticks"]
        self.skips = SKIPS_DEPTH

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double half = 0.5 * <double> (view.top.ask_ticks - view.top.bid_ticks)
        self.around(mid_of(&view.top) + half * imbalance_of(&view.top), self.delta_ticks, view, want)
        return 0


cdef class AdaptiveSpread(Centred):
    """Quote ``least_ticks + per_sigma·sigma`` from the mid: the spread follows the volatility.
    """

    declared = declarations.AdaptiveSpread
    cdef readonly double least_ticks, per_sigma, sigma

    def __init__(self, **given: Any) -> None:
        values = self.settle(given)
        self.least_ticks, self.per_sigma = values["least_ticks"], values["per_sigma"]
        self.sigma = NAN if values["sigma"] is None else values["sigma"]
        self.skips = SKIPS_DEPTH | SKIPS_LOTS | (0 if isnan(self.sigma) else SKIPS_REPEATS)

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double sigma = view.sigma_ticks if isnan(self.sigma) else self.sigma
        if not isnan(sigma):
            self.around(mid_of(&view.top), self.least_ticks + self.per_sigma * sigma, view, want)
        return 0


cdef double best_markup(double a) noexcept nogil:
    """Return the u that maximises ``(1 - exp(-x))·u`` with ``x = exp(a - u)``.

    At the maximum u = (exp(x) - 1)/x. The difference of the two sides is concave and increasing in u, so Newton's
    method from a point left of the root converges monotonically; for large a the root has x below 2·ln(1 + a) + 1.
    """
    cdef double u = 1.0, x, mean, step
    cdef int _
    if a > 0.0:
        u = max(1.0, a - log(2.0 * log(1.0 + a) + 1.0))
    for _ in range(100):
        x = exp(a - u)
        mean = expm1(x) / x if x > 1e-12 else 1.0
        step = (mean - u) / (1.0 + exp(x) - mean)
        u += step
        if step <= 1e-14 * u:
            break
    return u


cdef class Predictions:
    """Predictors used by a quote model: for the move of the mid, adverse moves after fills, and fills.

    Attributes:
        signals: Names of their input signals and of their predictions.
    """

    cdef readonly tuple signals         # type: tuple[str, ...]
    cdef dict names                     # names of the predictions, by target
    cdef Predictor fills                # None if there is none
    cdef tuple inputs
    cdef double* row                    # inputs of the predictor of fills
    cdef int[64] places                 # indices of these inputs among the signals of the run
    cdef int move_place                 # index of the predicted move; -1 if there is none
    cdef int[2] adverse_places          # indices of the predictions for bids, asks; -1 if there is none
    cdef double[2][2] adverse_moves     # by bids, asks: mean move of fills without and with an adverse move
    cdef double least_ticks, most_ticks # range of distances of the predictor of fills

    def __init__(self, folders: Sequence[str]) -> None:
        from mm.signals.artefact import Artefact  # imported here: most runs have no predictor

        found = [Artefact.read(Path(folder)) for folder in folders]
        by_target = {one.about["target"]: one for one in found}
        if len(by_target) < len(found):
            raise UsageError(f"expected_value: two predictors have the same target; give one per target: {', '.join(folders)}")
        self.inputs, self.move_place = (), -1
        self.adverse_places[0] = self.adverse_places[1] = -1
        fill = by_target.get("fill")
        if fill is not None:
            if len(fill.signals) > 60:
                raise UsageError(f"expected_value: {fill.path} reads {len(fill.signals)} signals; the maximum is 60")
            self.fills, self.inputs = fill.predictor(), fill.signals
            self.least_ticks, self.most_ticks = min(fill.about["distances_ticks"]), max(fill.about["distances_ticks"])
            self.row = <double*> calloc(len(self.inputs) + 1, sizeof(double))
            if self.row is NULL:
                raise MemoryError("no memory for a row of signals")
        if "adverse" in by_target:
            self.adverse_moves = by_target["adverse"].about["adverse_moves_ticks"]
        self.names = {target: one.signal_names for target, one in by_target.items()}
        # A predictor of fills is evaluated at each distance; its name is listed so that symbol and tick are checked.
        self.signals = tuple(dict.fromkeys([*(name for names in self.names.values() for name in names), *self.inputs]))

    def __dealloc__(self) -> None:
        free(self.row)

    cdef int bind(self, tuple names) except -1:
        cdef int place
        for place, name in enumerate(self.inputs):
            self.places[place] = names.index(name)
        if "return" in self.names:
            self.move_place = names.index(self.names["return"][0])
        if "adverse" in self.names:
            for place, name in enumerate(self.names["adverse"]):
                self.adverse_places[place] = names.index(name)
        return 0

    cdef double move(self, const View* view) noexcept nogil:
        """The predicted move of the mid in ticks; 0 without a predictor, or while it is undefined."""
        cdef double found = 0.0 if self.move_place < 0 or view.signals is NULL else view.signals[self.move_place]
        return 0.0 if isnan(found) else found

    cdef double adverse_move(self, const View* view, int head, double otherwise) noexcept nogil:
        """The expected adverse move after a fill of a bid (0) or ask (1), in ticks; else *otherwise*."""
        cdef double p
        if self.adverse_places[head] < 0 or view.signals is NULL or isnan(view.signals[self.adverse_places[head]]):
            return otherwise
        p = view.signals[self.adverse_places[head]]
        return (1.0 - p) * self.adverse_moves[head][0] + p * self.adverse_moves[head][1]

    cdef double distance(self, const View* view, double mid, int head, double costs) noexcept nogil:
        """The distance, at a whole tick, that maximises fill probability times gain.

        Returns:
            NaN if no distance has a positive gain, INFINITY while a signal is undefined.
        """
        cdef int64_t sign = 1 - 2 * head, ticks, first, last
        cdef double best = 0.0, chosen = NAN, delta, p
        cdef int place, count = self.fills.inputs - 1
        if view.signals is NULL:
            return INFINITY
        for place in range(count):
            self.row[place] = view.signals[self.places[place]]
        # On the mirrored axis an ask is a bid: prices decrease away from the mid.
        first, last = <int64_t> floor(sign * mid - self.least_ticks), <int64_t> ceil(sign * mid - self.most_ticks)
        for ticks in range(first, min(first, last) - 1, -1):
            delta = sign * mid - <double> ticks
            self.row[count] = delta
            p = self.fills.compute(self.row, mid, head)
            if isnan(p):
                return INFINITY
            if p * (delta - costs) > best:
                best, chosen = p * (delta - costs), delta
        return chosen


cdef class ExpectedValue(QuoteModel):
    """Maximise ``P(delta)·(delta - costs)`` on each side, with ``P = 1 - exp(-A·exp(-k·delta)·horizon_s)``.

    P is the probability that an order at distance delta from the mid is filled within the horizon. Costs are
    ``adverse_ticks + fee_ticks``, plus ``skew_ticks·q`` for a bid, minus it for an ask, q being the inventory in clips.
    For a short horizon delta tends to costs + 1/k.

    Fitted ``predictors`` replace the constants: one of ``fill`` replaces P, at the whole ticks between its fitted
    distances; one of ``adverse`` replaces ``adverse_ticks``, by side; the move predicted by one of ``return`` is a cost
    of asks and a gain of bids. While a signal is undefined, the constants are used.
    """

    declared = declarations.ExpectedValue
    cdef readonly double A, k, horizon_s, adverse_ticks, fee_ticks, skew_ticks, q_max
    cdef bint measured              # whether adverse_ticks follows the piece in force
    cdef Intensity intensity
    cdef Predictions predictions

    def __init__(self, **given: Any) -> None:
        values = self.declared.settle(given)
        self.intensity = values["intensity"]
        self.predictions = Predictions(values["predictors"] or [])
        self.signals = self.predictions.signals
        cdef str name
        for name in ("A", "k"):
            if values[name] is None and self.intensity is None and self.predictions.fills is None:
                way_out = "give it in {quote_params_json} or by {fill_params_file}"
                raise UsageError("{}: {} is missing; " + way_out, self.name, name)
        self.A = NAN if values["A"] is None else values["A"]
        self.k = NAN if values["k"] is None else values["k"]
        self.horizon_s, self.skew_ticks = values["horizon_s"], values["skew_ticks"]
        self.adverse_ticks, self.fee_ticks = values["adverse_ticks"], values["fee_ticks"]
        self.measured = "adverse_ticks" not in given and isnan(self.k) and isnan(self.A) and self.intensity is not None
        self.q_max = INFINITY if values["q_max"] is None else values["q_max"]
        self.skips = SKIPS_DEPTH | SKIPS_LOTS | (0 if isnan(self.A) or isnan(self.k) or self.signals else SKIPS_REPEATS)
        if isnan(self.A) and self.intensity is not None and self.intensity.counts_from == MICRO:
            self.skips &= ~SKIPS_LOTS

    def sources(self) -> dict[str, str | None]:
        """Return the source of k and A if they are not numbers: ``fit``, or None if a predictor replaces both."""
        return dict.fromkeys(("k", "A"), None if self.intensity is None else "fit")

    cdef int bind(self, tuple names) except -1:
        return self.predictions.bind(names)

    cdef inline double distance(self, double costs, double A, double k) noexcept nogil:
        """NaN if nothing is ever filled."""
        A, k = A if isnan(self.A) else self.A, k if isnan(self.k) else self.k
        return costs + best_markup(log(A * self.horizon_s) - k * costs) / k if A > 0.0 else NAN

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double mid = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks)
        cdef double q = clips_held(view)
        cdef double skew = self.skew_ticks * q, move = self.predictions.move(view), adverse = self.adverse(view)
        cdef double bid_costs = self.predictions.adverse_move(view, 0, adverse) + self.fee_ticks + skew - move
        cdef double ask_costs = self.predictions.adverse_move(view, 1, adverse) + self.fee_ticks - skew + move
        if q < self.q_max:
            want.bid_ticks = mid - self.side(view, mid, 0, bid_costs)
        if q > -self.q_max:
            want.ask_ticks = mid + self.side(view, mid, 1, ask_costs)
        return 0

    cdef inline double adverse(self, const View* view) noexcept nogil:
        """As given, else of the segment in force."""
        cdef int64_t place
        if self.measured:
            place = self.intensity.find(view.top.us)
            if place < self.intensity.count and not isnan(self.intensity.pieces[place].adverse_ticks):
                return self.intensity.pieces[place].adverse_ticks
        return self.adverse_ticks

    cdef double side(self, const View* view, double mid, int head, double costs) noexcept nogil:
        """Bids are 0, asks 1; NaN for no quote."""
        cdef double found, A = self.A, k = self.k, offset
        cdef Piece* piece
        cdef int64_t place
        if self.predictions.fills is not None:
            found = self.predictions.distance(view, mid, head, costs)
            if found != INFINITY:
                return found
        if isnan(self.A) or isnan(self.k):
            if self.intensity is None:
                return NAN
            place = self.intensity.find(view.top.us)
            if place >= self.intensity.count or self.intensity.pieces[place].start_us > view.top.us:
                return NAN
            piece = &self.intensity.pieces[place]
            A, k = (piece.A_bid, piece.k_bid) if head == 0 else (piece.A_ask, piece.k_ask)
            if isnan(self.A) and self.intensity.counts_from != MID:
                # The fit counts from another reference price; λ is constant nearer than that, so no quote is nearer.
                offset = mid_offset(self.intensity.counts_from, &view.top, 1 if head == 0 else -1)
                found = self.distance(costs - offset, A, k)
                return offset if found < 0.0 else found + offset
        return self.distance(costs, A, k)


# ---------------------------------------------------------------------- grids


cdef class BoundedGrid(QuoteModel):
    """Base of grids: ``levels`` prices per side, a clip at each, within an inventory bound."""

    cdef readonly int64_t levels
    cdef readonly double q_max
    cdef readonly bint soft_bound

    cdef int settle(self, dict values) except -1:
        self.levels, self.soft_bound = values["levels"], values["soft_bound"]
        self.q_max = INFINITY if values["q_max"] is None else values["q_max"]
        return 0

    cdef int set_sides(self, const View* view, Want* want, double bid, double ask, int64_t step_ticks) except -1 nogil:
        cdef int64_t bound_lots = lots_of_clips(self.q_max, view.quote_lots)
        cdef int64_t held = view.inventory_lots - view.target_lots
        want.laddered = True
        if not self.soft_bound:
            keep_within(want, view, bound_lots)
        self.fill_side(want, 1, bid, step_ticks, bound_lots - held, view.quote_lots)
        self.fill_side(want, -1, ask, step_ticks, bound_lots + held, view.quote_lots)
        return 0

    cdef int fill_side(
        self, Want* want, int64_t side, double ticks, int64_t step_ticks, int64_t room, int64_t clip
    ) except -1 nogil:
        """Add the prices of a side, from *ticks* outwards, until *room* lots are used."""
        cdef int64_t i
        for i in range(self.levels):
            if room <= 0:
                break
            want_level(want, side, ticks - <double> (side * i * step_ticks), clip if self.soft_bound else min(clip, room))
            room -= 0 if self.soft_bound else clip
        return 0


cdef class PriceGrid(BoundedGrid):
    """Quote ``levels`` prices per side, multiples of ``step_ticks``, from ``delta_ticks`` off the centre outwards.

    The centre is ``mid - skew_ticks·q``, q the inventory in clips. No bid is above the best bid, no ask below the
    best ask. Each price has one clip; within an inventory bound, the prices nearest to the mid get the remaining lots.
    """

    declared = declarations.Grid
    cdef readonly double delta_ticks, skew_ticks
    cdef readonly int64_t step_ticks
    cdef readonly bint on_best

    def __init__(self, **given: Any) -> None:
        cdef dict values = self.declared.settle(given)
        self.settle(values)
        self.delta_ticks, self.skew_ticks = values["delta_ticks"], values["skew_ticks"]
        self.step_ticks, self.on_best = values["step_ticks"], values["on_best"]
        self.skips = SKIPS_DEPTH | SKIPS_LOTS | (0 if self.on_best else SKIPS_REPEATS)

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double centre = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks) - self.skew_ticks * clips_held(view)
        cdef double step = <double> self.step_ticks
        cdef double bid = floor(min(centre - self.delta_ticks, <double> view.top.bid_ticks) / step) * step
        cdef double ask = ceil(max(centre + self.delta_ticks, <double> view.top.ask_ticks) / step) * step
        want.on_best = self.on_best
        return self.set_sides(view, want, bid, ask, self.step_ticks)


cdef int64_t FEWEST = 3                 # minimum number of distances for a line
_MOST_SAMPLES = 10_000_000
cdef int64_t NO_REACH = 0, NO_CHANGE = 1 << 62
cdef double WIDEST_TICKS = 1e9


# Prints and change of the mid between two samples.
cdef struct Sample:
    int64_t reach       # largest distance of a print from the previous mid, in half ticks; NO_REACH for none
    int64_t change      # change of twice the mid; NO_CHANGE if unknown


cdef class GlftGrid(BoundedGrid):
    """Quote a grid whose first prices are optimal for the fill rate and the volatility of the last ``window_s``.

    Every ``sample_s`` the mid is sampled, with the largest distance from the previous mid at which a print in
    between would have filled an order. Every ``refit_s``, once the window is full, A·exp(-k·δ) is fitted to the rate at
    which prints pass a distance, by linear regression of its logarithm up to ``reach_ticks``; sigma is the standard
    deviation of the changes. With c = sqrt(gamma/(2·A·k)·(1 + gamma/k)^(1 + k/gamma)) the half-spread is
    spread_factor·(ln(1 + gamma/k)/gamma + c·sigma/2), and a clip of inventory moves the centre by skew_factor·c·sigma.
    Prices are multiples of the half-spread in whole ticks; no bid is above the best bid, no ask below the best ask.
    """

    declared = declarations.GlftGrid
    cdef readonly double gamma, spread_factor, skew_factor, sample_s
    cdef readonly double A, k, sigma            # of the last calibration: per second, per tick, ticks per root second
    cdef readonly double half, skew             # derived from these: ticks, ticks per clip
    cdef int64_t sample_us, window, refit, bins
    cdef Sample* samples                        # ring buffer of the last *window* samples
    cdef int64_t* passed                        # number of samples by reach in half ticks; the last bin has all beyond
    cdef int64_t place, known, changes, total
    cdef wide squares                           # of a tick of 1e-8 they do not fit into 64 bits
    cdef int64_t begun_us, mid2, highest_buy, lowest_sell  # mid of the last sample, prints since then; 0: none

    def __init__(self, **given: Any) -> None:
        cdef dict values = self.declared.settle(given)
        self.settle(values)
        self.gamma, self.sample_s = values["gamma"], values["sample_s"]
        self.spread_factor, self.skew_factor = values["spread_factor"], values["skew_factor"]
        self.sample_us, self.bins = round(1e6 * self.sample_s), int(2.0 * values["reach_ticks"])
        self.window, self.refit = (
            _samples(self.name, name, values[name], self.sample_s) for name in ("window_s", "refit_s")
        )
        self.samples = <Sample*> calloc(self.window, sizeof(Sample))
        self.passed = <int64_t*> calloc(self.bins + 2, sizeof(int64_t))
        if self.samples is NULL or self.passed is NULL:
            raise MemoryError(f"no memory for {self.window} samples")
        self.needs, self.skips = NEEDS_PRINTS, SKIPS_DEPTH | SKIPS_LOTS
        self.begin(-1)

    def __dealloc__(self) -> None:
        free(self.samples)
        free(self.passed)

    cdef void begin(self, int64_t begun_us) noexcept nogil:
        cdef int64_t i
        for i in range(self.window):
            self.samples[i] = Sample(NO_REACH, NO_CHANGE)
        for i in range(self.bins + 2):
            self.passed[i] = 0
        self.begun_us, self.place = begun_us, -1
        self.known = self.changes = self.total = 0
        self.squares = 0
        self.mid2 = self.highest_buy = self.lowest_sell = 0
        self.A = self.k = self.sigma = self.half = self.skew = NAN

    cdef int bind(self, tuple names) except -1:
        self.begin(-1)  # a run begins
        return 0

    cdef int on_print(self, const Trade* trade) except -1 nogil:
        if trade.side > 0:
            self.highest_buy = max(self.highest_buy, trade.ticks)
        elif self.lowest_sell == 0 or trade.ticks < self.lowest_sell:
            self.lowest_sell = trade.ticks
        return 0

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double centre, step
        if view.begun_us != self.begun_us:
            self.begin(view.begun_us)
        if view.top.us - view.begun_us >= (self.place + 1) * self.sample_us:
            self.sample(view)
        want.again_us = view.begun_us + (self.place + 1) * self.sample_us
        if not self.half < WIDEST_TICKS or isnan(self.skew):
            return 0
        centre = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks) - self.skew * clips_held(view)
        step = fmax(rint(self.half), 1.0)
        return self.set_sides(
            view,
            want,
            floor(fmin(rint(centre - self.half), <double> view.top.bid_ticks) / step) * step,
            ceil(fmax(rint(centre + self.half), <double> view.top.ask_ticks) / step) * step,
            <int64_t> step,
        )

    cdef void sample(self, const View* view) noexcept nogil:
        """Take the due sample; a period without calls adds empty samples, and resets mid and prints."""
        cdef int64_t place = (view.top.us - view.begun_us) // self.sample_us, mid2 = view.top.bid_ticks + view.top.ask_ticks
        cdef int64_t reach = NO_REACH, change = NO_CHANGE, missed = place - self.place - 1
        if missed:
            self.mid2 = 0
        for missed in range(max(place - self.window, self.place + 1), place):
            self.put(missed, NO_REACH, NO_CHANGE)
        if self.mid2:
            change = mid2 - self.mid2
            if self.highest_buy:
                reach = max(reach, 2 * self.highest_buy - self.mid2)
            if self.lowest_sell:
                reach = max(reach, self.mid2 - 2 * self.lowest_sell)
        self.put(place, reach, change)
        self.place, self.mid2 = place, mid2
        self.highest_buy = self.lowest_sell = 0
        if place % self.refit == 0 and place >= self.window - 1:
            self.calibrate()

    cdef void put(self, int64_t place, int64_t reach, int64_t change) noexcept nogil:
        cdef Sample* sample = &self.samples[place % self.window]
        self.count(sample, -1)
        sample[0] = Sample(min(reach, self.bins + 1), change)
        self.count(sample, 1)

    cdef inline void count(self, const Sample* sample, int64_t sign) noexcept nogil:
        self.passed[sample.reach] += sign
        if sample.change != NO_CHANGE:
            self.changes += sign
            self.total += sign * sample.change
            self.squares += sign * (<wide> sample.change * sample.change)

    cdef void calibrate(self) noexcept nogil:
        """Fit A, k and sigma to the window; what cannot be fitted stays unchanged."""
        cdef int64_t i, deepest = 0, beyond = 0
        cdef double seconds = self.sample_s * <double> self.changes, mean, x, y, xs = 0.0, ys = 0.0, xx = 0.0, xy = 0.0, slope, c
        if self.changes == 0:
            return
        mean = <double> self.total / <double> self.changes
        self.sigma = 0.5 * sqrt((<double> self.squares / <double> self.changes - mean * mean) / self.sample_s)
        for i in range(self.bins + 1, 1, -1):  # prints of i half ticks or more pass a distance of i - 1
            beyond += self.passed[i]
            if beyond == 0:
                continue
            deepest = max(deepest, i - 1)
            x, y = 0.5 * <double> (i - 1), log(<double> beyond / seconds)
            xs, ys, xx, xy = xs + x, ys + y, xx + x * x, xy + x * y
        if deepest >= FEWEST:
            slope = (<double> deepest * xy - xs * ys) / (<double> deepest * xx - xs * xs)
            if slope < 0.0:
                self.A, self.k = exp((ys - slope * xs) / <double> deepest), -slope
        c = self.gamma / self.k
        self.skew = sqrt(self.gamma / (2.0 * self.A * self.k) * pow(1.0 + c, 1.0 + self.k / self.gamma)) * self.sigma
        self.half = self.spread_factor * (log(1.0 + c) / self.gamma + 0.5 * self.skew)
        self.skew *= self.skew_factor


def _samples(owner: str, name: str, seconds: float, sample_s: float) -> int:
    found = seconds / sample_s
    if not 0.5 < found <= _MOST_SAMPLES or abs(found - round(found)) > 1e-6:
        raise UsageError(
            f"{owner}: {name} is {seconds}; it must be a multiple of sample_s, {sample_s}, and at most "
            f"{_MOST_SAMPLES:,} times that"
        )
    return round(found)


# ---------------------------------------------------------------------- a trained agent


cdef double INPUT_BOUND = 5.0           # bound of the absolute value of an input
cdef double[5] OFFSET
cdef double[3] SIZE
OFFSET, SIZE = OFFSETS, SIZES
assert len(OWN_INPUTS) == OWN


cdef inline double bounded(double value) noexcept nogil:
    """0 if unknown."""
    return 0.0 if isnan(value) else min(max(value, -INPUT_BOUND), INPUT_BOUND)


cdef class Agent(QuoteModel):
    """Quotes set by the action of the last decision.

    Args:
        terms: Its observations and the meaning of its actions.
        saved: The agent whose network decides; None if actions are set from outside.
    """

    def __init__(self, terms: AgentTerms, saved: SavedAgent | None = None) -> None:
        if self.seen is not NULL:
            raise ValueError("an agent cannot be initialised twice")
        self.name, self.terms, self.sha256 = AGENT, terms, "" if saved is None else saved.sha256
        self.network = None if saved is None else saved.network()
        self.trained_on = frozenset() if saved is None else frozenset((terms.symbol, day) for day in saved.days)
        self.signals, self.needs, self.discrete = terms.signals, NEEDS_OWN_ORDERS, terms.discrete
        self.inputs, self.count = terms.inputs, len(terms.signals)
        self.places = <int64_t*> calloc(self.count + 1, sizeof(int64_t))
        self.scales = <Scale*> calloc(self.count + 1, sizeof(Scale))
        self.seen = <double*> calloc(self.inputs, sizeof(double))
        self.answer = <double*> calloc(terms.outputs, sizeof(double))
        if self.places is NULL or self.scales is NULL or self.seen is NULL or self.answer is NULL:
            raise MemoryError(f"no memory for an agent of {self.inputs} inputs")
        for place in range(self.count):
            self.scales[place] = Scale(terms.means[place], terms.scales[place])
        self.tick, self.max_offset_ticks, self.q_max = 1e-8 * terms.tick_e8, terms.max_offset_ticks, terms.q_max
        self.distance_ticks = NAN if terms.distance_ticks is None else terms.distance_ticks
        self.usual_distance_ticks, self.usual_queue = terms.usual_distance_ticks, terms.usual_queue
        self.step_us = round(1e6 * terms.step_s)
        self.episode = max(round(terms.episode_s / terms.step_s), 1)
        self.last_us = -1

    def __dealloc__(self) -> None:
        free(self.places)
        free(self.scales)
        free(self.seen)
        free(self.answer)

    cdef int bind(self, tuple names) except -1:
        for place, name in enumerate(self.signals):
            self.places[place] = names.index(name)
        self.last_us = -1  # a run begins
        return 0

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef double bid, ask, mid = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks)
        cdef int64_t clips
        if self.is_due(view):
            self.observe(view)
            if self.network is not None:
                self.network.forward(self.seen, self.answer)
                self.choose(self.answer)
            self.decide(view)
        self.last_us = view.top.us
        if isnan(self.distance_ticks):
            bid, ask = <double> (view.top.bid_ticks - 1), <double> (view.top.ask_ticks + 1)
        else:
            bid, ask = mid - self.distance_ticks, mid + self.distance_ticks
        clips = 1 + (self.action[2] >= 0.5) - (self.action[2] < -0.5)
        want.bid_lots = want.ask_lots = clips * view.quote_lots
        if clips > 0:
            want.bid_ticks = bid - self.max_offset_ticks * self.action[0]
            want.ask_ticks = ask + self.max_offset_ticks * self.action[1]
        return 0

    cdef bint is_due(self, const View* view) noexcept nogil:
        """Return whether a decision is due; a new run begins with a decision."""
        if view.top.us < self.last_us or self.last_us < 0:
            self.next_us, self.decided = view.begun_us, 0
            self.last_us = view.top.us
            memset(self.action, 0, sizeof(self.action))
        return view.top.us >= self.next_us

    cdef int observe(self, const View* view) except -1 nogil:
        cdef double mid = 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks), ahead, lot = view.tick_lot / view.tick * <double> view.step_lots
        cdef double* own = self.seen + self.count
        cdef int place
        if not -1e-9 < view.tick / self.tick - 1.0 < 1e-9:
            with gil:
                self.terms.check_tick(round(1e8 * view.tick))
        for place in range(self.count):
            self.seen[place] = bounded((view.signals[self.places[place]] - self.scales[place].mean) / self.scales[place].scale)
        own[0] = bounded(clips_held(view) / self.q_max)
        own[1] = 1.0 - <double> (self.decided % self.episode) / <double> self.episode
        own[2] = bounded((mid - view.own_ticks[1]) / self.usual_distance_ticks)
        own[3] = bounded((view.own_ticks[0] - mid) / self.usual_distance_ticks)
        for place in range(2):
            ahead = view.own_ahead_lots[1 - place] * lot
            own[4 + place] = 0.0 if isnan(ahead) else self.usual_queue / (self.usual_queue + ahead)
        return 0

    cdef void decide(self, const View* view) noexcept nogil:
        self.decided += 1
        self.next_us = view.top.us + self.step_us - (view.top.us - view.begun_us) % self.step_us

    cdef void choose(self, const double* answer) noexcept nogil:
        cdef int place, best = 0
        if not self.discrete:
            for place in range(3):
                self.action[place] = min(max(answer[place], -1.0), 1.0)
            return
        for place in range(1, 75):
            if answer[place] > answer[best]:
                best = place
        self.pick(best)

    cdef void pick(self, int choice) noexcept nogil:
        self.action[0], self.action[1] = OFFSET[choice % 5], OFFSET[choice // 5 % 5]
        self.action[2] = SIZE[choice // 25]


@declares(declarations.Rl)
def rl(**given: Any) -> QuoteModel:
    """Return the strategy of the agent in a file: post-only, within its inventory bound."""
    saved = read_agent(Path(rl.declared.settle(given)["model_path"]))
    return strategy_of(Agent(saved.terms, saved))


def strategy_of(agent: Agent) -> QuoteModel:
    """`PostOnly`, within an `InventoryBound`."""
    return InventoryBound(PostOnly(agent), q_max=agent.terms.q_max, name=agent.name)
