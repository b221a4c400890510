# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, auto_pickle=False
"""Quotes at distances of bid and ask from the mid by a formula: their base, and the closed forms.

- Avellaneda and Stoikov, Quantitative Finance 8(3), 217-224 (2008): plain, default, and symmetric
"""

from libc.math cimport INFINITY, M_LN2, NAN, ceil, exp, expm1, fabs, floor, isnan, llround, log, log1p, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc

from mm.backtest.fills.base cimport NEEDS_OWN_ORDERS, NEVER, SKIPS_DEPTH, SKIPS_LOTS, SKIPS_REPEATS
from mm.backtest.fills.intensity cimport MID, Intensity, mid_offset
from mm.backtest.quotes.base cimport QuoteModel, View, Want, clips_held
from mm.backtest.quotes.steps cimport Step

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm.backtest import declarations
from mm.backtest.parameters import AUTO, TOUCH, declares
from mm.backtest.quotes.steps import InventoryBound, PostOnly
from mm.errors import Mismatch, UsageError

cdef double FARTHEST_TICKS = 1e15   # maximum distance of a quote from the mid
cdef double LEAST_LOG = -700.0      # minimum ln gamma; below it the float underflows


cdef inline double number_or(object value, double default):
    return default if value is None else value


cdef inline double touch_k(int64_t spread_ticks, double reach) noexcept nogil:
    """Return the k of ``touch``: 1/k is at most 0.45 of the spread, not 0.5, because gamma adds to the distance.

    With a *reach* of 0 or more, quotes are wanted that far behind the best prices, whatever the spread.
    """
    spread_ticks = max(spread_ticks, 1)  # a live book may be locked or crossed
    if reach >= 0.0:
        return 1.0 / (0.45 * (<double> spread_ticks + 2.0 * reach))
    return max(1.0, 1.0 / (0.45 * <double> spread_ticks))


cdef class Distances(QuoteModel):
    """Base of models that quote at distances from the mid: override ``formula``.

    A formula takes the inventory q in clips, and the current time left, sigma, k and A. This class supplies them: k and
    A from the parameters or from the fit or schedule, sigma from the parameters or estimated from the tape, the time
    left by the mode. While a value that the formula needs is unknown, nothing is quoted.

    A gamma of ``auto`` is the one at which a clip of inventory moves the reservation price by *skew_share* of the
    half-spread, over *horizon_s*: the root of one equation, for the current k and A and a slowly varying sigma
    (*sigma*, else of the fit or the segment, else of the whole run so far; before that is known, the sigma at
    which the mid moves by 1/k within the horizon). It is at most k: when the mid hardly moves, a larger gamma would
    reduce the spread to zero. With ``auto`` that sigma is also used while the current one is unknown, so quotes begin
    at once.

    In mode ``session`` the time left runs from *horizon_s* down to 0, repeatedly; in all others it is constant.
    """

    declared = declarations.Distances
    cdef dict settle(self, dict given, tuple needs):
        """Set the shared parameters, and return the values of all.

        Args:
            needs: Inputs of the formula besides q, the time left and k: ``A``, ``sigma``.
        """
        cdef dict values = self.declared.settle(given, self.name)
        self.needs_A, self.needs_sigma = "A" in needs, "sigma" in needs
        self.intensity = values["intensity"]
        missing = "k" if values["k"] is None else "A" if self.needs_A and values["A"] is None else ""
        if missing and self.intensity is None:
            way_out = "give it in {quote_params_json} or by {fill_params_file}"
            raise UsageError("{}: {} is missing; " + way_out, self.name, missing)
        if missing and self.needs_A and isnan(number_or(values["A"], NAN)) and not self.intensity.from_mid:
            raise Mismatch(
                f"{self.name}: the distances of its fit are measured from {self.intensity.reference!r}, and the fit "
                f"has no half_spread_ticks, the mean distance of the mid from there; calibrate again, or give A"
            )
        gamma = values.get("gamma")
        self.auto = gamma == AUTO
        self.gamma = NAN if self.auto else number_or(gamma, NAN)
        self.skew_share = number_or(values.get("skew_share"), NAN)
        self.solved.k = self.solved.sigma = self.solved.A = NAN
        self.joins = values["k"] == TOUCH
        self.k = NAN if self.joins else number_or(values["k"], NAN)
        self.A = number_or(values.get("A"), NAN)
        self.sigma, self.q_max = number_or(values.get("sigma"), NAN), number_or(values.get("q_max"), INFINITY)
        self.horizon_s = values["horizon_s"]
        self.mode = values.get("mode", "rolling")
        self.session = self.mode == "session"
        self.fitted = missing != ""
        self.clips, self.reach = 1.0, -1.0
        self.skips = SKIPS_DEPTH | SKIPS_LOTS
        if not (self.fitted or self.session or (self.needs_sigma and isnan(self.sigma))):
            self.skips |= SKIPS_REPEATS
        return values

    cdef int bind(self, tuple names) except -1:
        self.used_count = 0  # a run begins
        return 0

    def __dealloc__(self) -> None:
        free(self.used)

    def gammas(self) -> NDArray[np.float64]:
        """Return the gammas used, with the number of quotes of each, in chronological order: float64[gammas, 2]."""
        cdef int64_t i
        found = np.empty((self.used_count, 2))
        cdef double[:, ::1] rows = found
        for i in range(self.used_count):
            rows[i, 0], rows[i, 1] = self.used[i].gamma, <double> self.used[i].quotes
        return found

    def sources(self) -> dict[str, str | None]:
        """Return the sources of k and A if they are not numbers: ``touch`` or ``fit``; None if A is not used."""
        return {"k": "touch" if self.joins else "fit", "A": "fit" if self.needs_A else None}

    def distances(
        self,
        q: float,
        tau_s: float | None = None,
        sigma: float | None = None,
        k: float | None = None,
        A: float | None = None,
    ) -> tuple[float, float]:
        """Return the distances of bid and ask from the mid by the plain formula, in ticks; infinite is no quote.

        Args:
            q: Inventory in clips.
            tau_s: Time left in seconds; None is the model's ``horizon_s``.
            sigma: Volatility in ticks/√s; None is the model's own, as with *k* (1/tick) and *A* (1/s). A
                gamma of ``auto`` is computed from it as well.

        Raises:
            UsageError: If a value is out of range, or given neither here nor to the model.
        """
        cdef Market market
        cdef double bid, ask
        declarations.Inputs.settle({"k": k, "A": A, "sigma": sigma, "tau_s": tau_s}, self.name)
        market.tau_s = self.horizon_s if tau_s is None else tau_s
        market.sigma = self.sigma if sigma is None else sigma
        market.k = self.k if k is None else k
        market.A = self.A if A is None else A
        for name, value, needed in (
            ("k", market.k, True), ("A", market.A, self.needs_A), ("sigma", market.sigma, self.needs_sigma)
        ):
            if needed and isnan(value):
                raise UsageError(f"{self.name}: {name} is not known; give it to the model or to distances()")
        market.gamma = self.gamma
        market.piece = -1
        market.bid_offset = market.ask_offset = 0.0
        if self.auto:
            self.solved = market
            self.solved.tau_s = self.horizon_s
            market.gamma = self.auto_gamma(&self.solved)
            self.solved.k = NAN
        self.formula(q, &market, &bid, &ask)
        return bid, ask

    cdef double skew_of(self, const Market* market) noexcept nogil:
        """The move of the reservation price per filled order, over the half-spread less half of that move."""
        return INFINITY

    cdef double auto_gamma(self, const Market* market) noexcept nogil:
        """The gamma of ``auto`` in a market; the gamma in *market* is ignored.

        The logarithm of ``skew_of`` increases with the logarithm of gamma, with a slope of at least 1/2. This brackets
        the root, which false position (Illinois) then finds.
        """
        cdef Market trial = market[0]
        cdef double share = self.skew_share * self.clips
        cdef double target = log(share / (1.0 - 0.5 * share)) if share < 2.0 else INFINITY
        cdef double high = log(market.k), low, middle, high_error, low_error, error
        cdef int last = 0, step
        trial.gamma = market.k
        high_error = log(self.skew_of(&trial)) - target
        if not high_error > 0.0:
            return market.k
        low = max(high - 2.0 * high_error, LEAST_LOG)
        trial.gamma = exp(low)
        low_error = log(self.skew_of(&trial)) - target
        if not low_error < 0.0:
            return trial.gamma
        for step in range(100):
            middle = (low * high_error - high * low_error) / (high_error - low_error)
            trial.gamma = exp(middle)
            error = log(self.skew_of(&trial)) - target
            if fabs(error) < 1e-14 or high - low < 1e-14:
                break
            if error > 0.0:
                high, high_error = middle, error
                low_error *= 0.5 if last > 0 else 1.0
                last = 1
            else:
                low, low_error = middle, error
                high_error *= 0.5 if last < 0 else 1.0
                last = -1
        return trial.gamma

    cdef void solve_gamma(self, double reference_sigma, Market* market) noexcept nogil:
        cdef double reference = self.sigma
        if isnan(reference):
            reference = reference_sigma
        if isnan(reference):
            reference = 1.0 / (market.k * sqrt(self.horizon_s))
        if isnan(market.sigma):
            market.sigma = reference
        if self.solved.k != market.k or self.solved.sigma != reference or (self.needs_A and self.solved.A != market.A):
            self.solved = market[0]
            self.solved.tau_s, self.solved.sigma = self.horizon_s, reference
            self.solved.gamma = self.auto_gamma(&self.solved)
        market.gamma = self.solved.gamma

    cdef void bend(self, Market* market) noexcept nogil:
        pass

    cdef int note_gamma(self, double gamma) except -1 nogil:
        """With one quote, if it differs from the last one."""
        if self.used_count == self.used_room:
            self.used_room = 2 * self.used_room + 64
            self.used = <UsedGamma*> realloc(self.used, self.used_room * sizeof(UsedGamma))
            if self.used is NULL:
                with gil:
                    raise MemoryError("no memory for the gammas of a run")
        self.used[self.used_count] = UsedGamma(gamma, 1)
        self.used_count += 1
        return 0

    cdef void formula(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        """Set the distances of bid and ask from the mid in ticks; infinite or NaN is no quote."""
        bid[0] = ask[0] = INFINITY

    cdef void often(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        """``formula``, called at each requote."""
        self.formula(q, market, bid, ask)

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef Market market
        cdef double mid, bid, ask, reference_sigma = view.run_sigma_ticks
        cdef int64_t steps
        cdef int64_t piece
        market.sigma = view.sigma_ticks if isnan(self.sigma) else self.sigma
        market.k, market.A, market.tau_s = self.k, self.A, self.horizon_s
        market.piece = -1
        market.bid_offset = market.ask_offset = 0.0
        if self.joins:
            market.k = touch_k(view.top.ask_ticks - view.top.bid_ticks, self.reach)
        if self.fitted:
            piece = self.intensity.find(view.top.us)
            if piece >= self.intensity.count or self.intensity.pieces[piece].start_us > view.top.us:
                return 0
            if isnan(market.k):
                market.k = self.intensity.pieces[piece].k
                if self.reach > 0.0:  # a clip moves the quotes' half-spread by its share
                    market.k = min(market.k, touch_k(view.top.ask_ticks - view.top.bid_ticks, self.reach))
            if isnan(market.A):
                market.A = self.intensity.pieces[piece].A_mid
            if not isnan(self.intensity.pieces[piece].sigma_ticks):
                reference_sigma = self.intensity.pieces[piece].sigma_ticks
            market.piece = piece
            if self.intensity.counts_from != MID:
                market.bid_offset = mid_offset(self.intensity.counts_from, &view.top, 1)
                market.ask_offset = mid_offset(self.intensity.counts_from, &view.top, -1)
            self.bend(&market)
        if self.auto:
            self.solve_gamma(reference_sigma, &market)
        else:
            market.gamma = self.gamma
        if self.used_count and self.used[self.used_count - 1].gamma == market.gamma:
            self.used[self.used_count - 1].quotes += 1
        elif not isnan(market.gamma):
            self.note_gamma(market.gamma)
        if self.needs_sigma and isnan(market.sigma):
            return 0
        if self.session:
            market.tau_s -= 1e-6 * <double> ((view.top.us - view.begun_us) % <int64_t> (self.horizon_s * 1e6))
        mid = 0.5 * (view.top.bid_ticks + view.top.ask_ticks)
        self.often(clips_held(view), &market, &bid, &ask)
        want.bid_ticks = mid - bid if fabs(bid) < FARTHEST_TICKS else NAN
        want.ask_ticks = mid + ask if fabs(ask) < FARTHEST_TICKS else NAN
        if self.clips != 1.0:
            steps = llround(self.clips * <double> view.quote_lots / <double> self.step_lots)
            want.bid_lots = want.ask_lots = max(steps, 1) * self.step_lots
        return 0


# ---------------------------------------------------------------------- Avellaneda and Stoikov

cdef double LEAST = 1e-150          # minimum gamma/k; below it its square underflows


cdef inline double gamma_over_k(const Market* market, double share) noexcept nogil:
    """x = gamma/k, at most 1, at which a clip moves the price by *share* of the half-spread.

    The root of x² - r·ln(1 + x), a convex function, by Newton's method: three steps at most for usual values.
    """
    cdef double target = share / (1.0 - 0.5 * share), scale = market.k * market.sigma
    cdef double most = scale * scale * market.tau_s, r, x, change
    cdef int step
    if not most > target * M_LN2:  # or unknown
        return 1.0
    r = target / most
    x = max(2.0 * r / (1.0 + sqrt(1.0 + 2.0 * r)), LEAST)
    for step in range(20):
        change = (x * x - r * log1p(x)) / (2.0 * x - r / (1.0 + x))
        x = max(x - change, LEAST)
        if fabs(change) < 1e-8 * x:  # the error is its square
            break
    return min(x, 1.0)


cdef class AvellanedaStoikov(Distances):
    """Reservation price and optimal spread for an exponential utility.

    With q the inventory in clips (multiples of the quoted quantity) and tau the time left,
    reservation r = mid - q·gamma·sigma²·tau and half spread gamma·sigma²·tau/2 + (1/gamma)·ln(1 + gamma/k)
    (equations 29 and 30); the bid is r - half spread, the ask r + half spread. In mode ``infinite`` each
    side has its own reservation price, by section 2.3 with w = gamma²·sigma²·(q_max + 1)²/2: the bid's
    is mid + ln(1 - (1 + 2q)/((q_max + 1)² - q²))/gamma, the ask's its mirror image in q. (The paper prints
    the ask's with another sign inside the logarithm, inconsistent with its own value function.) In this mode a gamma of
    ``auto`` uses the slope of the reservation price at q = 0.
    """

    declared = declarations.AvellanedaStoikovBare
    cdef bint infinite

    def __init__(self, *, name: str | None = None, **given: Any) -> None:
        if name is not None:
            self.name = name
        self.infinite = given.get("mode") == "infinite"
        self.settle(given, () if self.infinite else ("sigma",))
        if self.infinite and self.q_max == INFINITY:
            raise UsageError(f"{self.name}: mode infinite needs q_max, the inventory bound in clips")

    cdef void formula(self, double q, const Market* market, double* bid, double* ask) noexcept nogil:
        cdef double risk = market.gamma * market.sigma * market.sigma * market.tau_s, room
        cdef double edge = markup(market.gamma, market.k)
        if self.infinite:
            room = (self.q_max + 1.0) * (self.q_max + 1.0) - q * q
            bid[0] = edge - log(1.0 - (1.0 + 2.0 * q) / room) / market.gamma if q < self.q_max else INFINITY
            ask[0] = edge - log(1.0 - (1.0 - 2.0 * q) / room) / market.gamma if q > -self.q_max else INFINITY
            return
        bid[0] = q * risk + 0.5 * risk + edge if q < self.q_max else INFINITY
        ask[0] = -q * risk + 0.5 * risk + edge if q > -self.q_max else INFINITY

    cdef double auto_gamma(self, const Market* market) noexcept nogil:
        cdef double room = (self.q_max + 1.0) * (self.q_max + 1.0)
        if not self.infinite:
            return market.k * gamma_over_k(market, self.skew_share)
        # At q = 0 a clip moves the price by 2/(gamma (room - 1)), and the half-spread is markup - ln(1 - 1/room)/gamma.
        return market.k * min(expm1(min(2.0 / (self.skew_share * (room - 1.0)) + log1p(-1.0 / room), 1.0)), 1.0)


cdef class Symmetric(QuoteModel):
    """Quote the spread of ``AvellanedaStoikov`` around the mid, independent of the inventory.

    In mode ``rolling`` the spread equals that model's with tau = *horizon_s*; in mode ``session`` it is the benchmark
    of section 3.3, the mean over a session: the half-spread is gamma·sigma²·horizon_s/4 plus the markup.
    """

    declared = declarations.Symmetric
    cdef readonly QuoteModel inner

    def __init__(self, **given: Any) -> None:
        values = self.declared.settle(given)
        if values.pop("mode") == "session":
            values["horizon_s"] *= 0.5
        self.inner = AvellanedaStoikov(name=self.name, **values)
        self.skips = self.inner.skips

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef View flat = view[0]
        flat.most_lots -= view.inventory_lots - view.target_lots
        flat.least_lots -= view.inventory_lots - view.target_lots
        flat.inventory_lots = view.target_lots
        return self.inner.quote(&flat, want)


# ---------------------------------------------------------------------- the default strategy

cdef double REACH_S = 1.5
cdef double MEMORY_S = 10.0
cdef double NEWS_S = 0.3            # an order's travel, what a recorded feed is late, and one update of the book
cdef double KEPT_SHARE = 0.1        # of the reach
cdef double MET_SHARE = 0.5         # of the reach, behind a price at which an order was met
cdef double COMES_REACHES = 10.0  # farther than the other side moves in that time
cdef double MOST_TIMES = 32.0       # as many of these steps behind it, after several


cdef class Behind(Step):
    """Join the best prices or quote behind them, by what the mid moves while an order travels and rests unchanged.

    That is ``reach``: one standard deviation of the mid over `REACH_S`, from its moves between requotes of the last
    `MEMORY_S`, in whole ticks. An order within `KEPT_SHARE` of it from the wanted price stays. Quotes remain within the
    distances at which the intensity was measured, except that they are never ahead of the best prices.

    A fill, or a rejection of an order that would have crossed, is news of the market, and newer than the book that we
    know: the other side has come to that price. For `NEWS_S` the side's best price is taken to be a tick and
    `MET_SHARE` of the reach behind it; with each further one in that time, twice as far as before. Across a spread of
    more than `COMES_REACHES` reaches it has not come: that was an order that took ours, and no news of the other side.
    """

    cdef Distances told             # is told the reach, which its k follows; None if its distances have no k
    cdef Intensity intensity
    cdef double[::1] far            # largest distance measured, by piece of the intensity; NaN if unknown
    cdef double squares, seconds, last_mid, reach
    cdef int64_t last_us
    cdef double[2] times            # sells, buys: steps behind the price at which an order was met
    cdef int64_t[2] met_us          # when it was; NEVER if that is over

    def __init__(self, inner: object, told: Distances | None, intensity: Intensity | None) -> None:
        Step.__init__(self, inner)
        self.told, self.intensity = told, intensity
        self.begin()
        if intensity is not None:
            self.far = np.array([NAN if one.max_delta_ticks is None else one.max_delta_ticks for one in intensity.rows()])
        self.needs |= NEEDS_OWN_ORDERS
        self.skips &= ~SKIPS_REPEATS

    cdef int bind(self, tuple names) except -1:
        self.begin()
        return Step.bind(self, names)

    cdef void begin(self) noexcept nogil:
        """Moves and fills of an earlier run do not count."""
        self.last_us = -1
        self.met_us[0] = self.met_us[1] = NEVER

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        self.measure(view.top.us, 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks))
        if self.told is not None:
            self.told.reach = self.reach
        return Step.quote(self, view, want)

    cdef void measure(self, int64_t us, double mid) noexcept nogil:
        cdef double lasts_s = 1e-6 * <double> (us - self.last_us), left
        if self.last_us < 0:
            self.squares = self.seconds = 0.0
        else:
            left = exp(-lasts_s / MEMORY_S)
            self.squares = self.squares * left + (mid - self.last_mid) * (mid - self.last_mid)
            self.seconds = self.seconds * left + lasts_s
        self.last_mid, self.last_us = mid, us
        self.reach = floor(sqrt(self.squares / self.seconds * REACH_S)) if self.seconds > 0.0 else 0.0

    cdef void adjust(self, const View* view, Want* want) noexcept nogil:
        want.bid_ticks = self.placed(view, want.bid_ticks, 1)
        want.ask_ticks = self.placed(view, want.ask_ticks, -1)

    cdef double placed(self, const View* view, double price, int64_t side) noexcept nogil:
        """NaN for none."""
        cdef double best = self.best_of(view, side), own, farthest
        cdef double across = <double> (view.top.ask_ticks if side > 0 else view.top.bid_ticks)
        if isnan(price):
            return NAN
        price = <double> side * floor(min(<double> side * price, <double> side * best - self.reach))
        farthest = self.farthest(view, side)
        if not isnan(farthest):
            price = <double> side * min(max(<double> side * price, ceil(<double> side * farthest)), <double> side * best)
        own = view.own_ticks[1 if side > 0 else 0]
        if fabs(own - price) <= KEPT_SHARE * self.reach and <double> side * (across - own) > 0.0:
            return own
        return price

    cdef double best_of(self, const View* view, int64_t side) noexcept nogil:
        """The known best price of a side, or one behind a price at which an order of ours was just met."""
        cdef int slot = 1 if side > 0 else 0
        cdef double best = <double> (view.top.bid_ticks if side > 0 else view.top.ask_ticks)
        cdef double across = <double> (view.top.ask_ticks if side > 0 else view.top.bid_ticks)
        if (
            isnan(view.met_ticks[slot])
            or 1e-6 * <double> (view.top.us - view.met_us[slot]) > NEWS_S
            or <double> side * (across - view.met_ticks[slot]) > COMES_REACHES * max(self.reach, 1.0)
        ):
            self.met_us[slot] = NEVER
            return best
        if view.met_us[slot] != self.met_us[slot]:
            self.times[slot] = 1.0 if self.met_us[slot] == NEVER else min(2.0 * self.times[slot], MOST_TIMES)
            self.met_us[slot] = view.met_us[slot]
        return <double> side * min(
            <double> side * best,
            <double> side * view.met_ticks[slot] - floor(self.times[slot] * (1.0 + MET_SHARE * self.reach)),
        )

    cdef double farthest(self, const View* view, int64_t side) noexcept nogil:
        """The price at the largest measured distance; NaN if unknown."""
        cdef int64_t piece
        if self.intensity is None:
            return NAN
        piece = self.intensity.find(view.top.us)
        if piece >= self.intensity.count:
            return NAN
        return 0.5 * <double> (view.top.bid_ticks + view.top.ask_ticks) - <double> side * (
            self.far[piece] + mid_offset(self.intensity.counts_from, &view.top, side)
        )


@declares(declarations.AvellanedaStoikov)
def avellaneda_stoikov(**given: Any) -> QuoteModel:
    """Return the default strategy of a run: ``AvellanedaStoikov``, ``Behind``, ``InventoryBound``."""
    declared = avellaneda_stoikov.declared
    cdef dict values = declared.settle(given)
    cdef double q_max = values.pop("q_max")
    cdef AvellanedaStoikov bare
    # Only mode infinite has the bound in its formula; elsewhere the step around it limits the lots.
    bare = AvellanedaStoikov(name=declared.name, q_max=q_max if values["mode"] == "infinite" else None, **values)
    return behind(bare, bare, values["intensity"] if bare.fitted else None, q_max)


def behind(Distances inner, Distances told, Intensity intensity, double q_max) -> QuoteModel:
    name = avellaneda_stoikov.declared.name
    quotes = Behind(PostOnly(inner), told, intensity)
    return InventoryBound(quotes, q_max=q_max, name=name)
