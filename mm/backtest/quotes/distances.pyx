# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Base of quote models whose formula gives the distances of bid and ask from the mid."""

from libc.math cimport INFINITY, NAN, exp, fabs, isnan, llround, log, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport free, realloc

from mm.backtest.fills.base cimport BEST_PRICES
from mm.backtest.fills.intensity cimport MID, Intensity, mid_offset
from mm.backtest.quotes.base cimport QuoteModel, View, Want, clips_held

import numpy as np
from numpy.typing import NDArray

from mm.backtest import declarations
from mm.backtest.parameters import AUTO, TOUCH
from mm.errors import Mismatch, UsageError


cdef double FARTHEST_TICKS = 1e15   # maximum distance of a quote from the mid
cdef double LEAST_LOG = -700.0      # minimum ln gamma; below it the float underflows


cdef inline double number_or(object value, double default):
    """Return *value* as a float, or the default for None."""
    return default if value is None else value


cdef inline double touch_k(int64_t spread_ticks, double reach) noexcept nogil:
    """Return the k of ``touch``: 1/k is at most 0.45 of the spread, not 0.5, because gamma adds to the distance.

    With a *reach* of 0 or more, quotes are wanted that far behind the best prices, whatever the spread.
    """
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
    (*sigma*, else that of the fit or the segment, else that of the whole run so far; before that is known, the one at
    which the mid moves by 1/k within the horizon). It is at most k: when the mid hardly moves, a larger gamma would
    reduce the spread to zero. With ``auto`` that sigma is also used while the current one is unknown, so quotes begin
    at once.

    In mode ``session`` the time left runs from *horizon_s* down to 0, repeatedly; in all others it is constant.
    """

    declared = declarations.Distances

    cdef dict settle(self, dict given, tuple needs):
        """Set the shared parameters, and return the values of all.

        Args:
            given: The arguments of a constructor.
            needs: Inputs of the formula besides q, the time left and k: ``A``, ``sigma``.
        """
        cdef dict values = self.declared.settle(given, self.name)
        self.needs_A, self.needs_sigma = "A" in needs, "sigma" in needs
        self.intensity = values["intensity"]
        missing = "k" if values["k"] is None else "A" if self.needs_A and values["A"] is None else ""
        if missing and self.intensity is None:
            raise UsageError(f"{self.name}: {missing} is missing; give it in QUOTE_PARAMS_JSON or by FILL_PARAMS_FILE")
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
        self.looks = BEST_PRICES
        self.timeless = not (self.fitted or self.session or (self.needs_sigma and isnan(self.sigma)))
        return values

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
        """Return the move of the reservation price per filled order, over the half-spread less half of that move."""
        return INFINITY

    cdef double auto_gamma(self, const Market* market) noexcept nogil:
        """Return the gamma of ``auto`` in a market; the gamma in *market* is ignored.

        The logarithm of ``skew_of`` increases with that of gamma, with a slope of at least 1/2. This brackets the root,
        which false position (Illinois) then finds.
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
        """Set the gamma of a quote to that of ``auto``, solved again if the market has changed since the last call."""
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
        """Set further parameters of the model, besides k and A, from the piece in force."""

    cdef int note_gamma(self, double gamma) except -1 nogil:
        """Append a gamma that differs from the last one, with one quote."""
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
        """As ``formula``, but called at each requote."""
        self.formula(q, market, bid, ask)

    cdef int quote(self, const View* view, Want* want) except -1 nogil:
        cdef Market market
        cdef double mid, bid, ask, reference_sigma = view.run_sigma_ticks
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
            want.bid_lots = want.ask_lots = max(llround(self.clips * <double> view.quote_lots), 1)
        return 0
