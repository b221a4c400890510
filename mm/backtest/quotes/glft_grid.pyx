# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""A grid around the quotes of Guéant, Lehalle and Fernandez-Tapia, calibrated on a rolling window during the run.

Guéant, Optimal market making, Applied Mathematical Finance 24(2), 112-154 (2017; arXiv 1605.01862), equations 4.6 and
4.7 with xi = gamma and orders of one clip.
"""

from libc.math cimport NAN, ceil, exp, floor, fmax, fmin, isnan, log, pow, rint, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free

from mm.backtest.fills.base cimport BEST_PRICES, Trade
from mm.backtest.quotes.base cimport View, Want, clips_held
from mm.backtest.quotes.price_grid cimport BoundedGrid

from typing import Any

from mm.backtest import declarations
from mm.errors import UsageError

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
    cdef int64_t place, known, changes, total, squares
    cdef int64_t begun_us, mid2, highest_buy, lowest_sell  # mid of the last sample, prints since then; 0: none

    def __init__(self, **given: Any) -> None:
        cdef dict values = self.declared.settle(given)
        self.settle(values)
        self.gamma, self.sample_s = values["gamma"], values["sample_s"]
        self.spread_factor, self.skew_factor = values["spread_factor"], values["skew_factor"]
        self.sample_us, self.bins = round(1e6 * self.sample_s), int(2.0 * values["reach_ticks"])
        if not 1 <= self.sample_us:
            raise UsageError(f"{self.name}: sample_s is {self.sample_s}; it must be 1 µs or more")
        self.window, self.refit = (
            _samples(self.name, name, values[name], self.sample_s) for name in ("window_s", "refit_s")
        )
        self.samples = <Sample*> calloc(self.window, sizeof(Sample))
        self.passed = <int64_t*> calloc(self.bins + 2, sizeof(int64_t))
        if self.samples is NULL or self.passed is NULL:
            raise MemoryError(f"no memory for {self.window} samples")
        self.looks, self.follows_prints = BEST_PRICES, True
        self.begin(-1)

    def __dealloc__(self) -> None:
        free(self.samples)
        free(self.passed)

    cdef void begin(self, int64_t begun_us) noexcept nogil:
        """Reset all state for a run that begins at *begun_us*."""
        cdef int64_t i
        for i in range(self.window):
            self.samples[i] = Sample(NO_REACH, NO_CHANGE)
        for i in range(self.bins + 2):
            self.passed[i] = 0
        self.begun_us, self.place = begun_us, -1
        self.known = self.changes = self.total = self.squares = 0
        self.mid2 = self.highest_buy = self.lowest_sell = 0
        self.A = self.k = self.sigma = self.half = self.skew = NAN

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
        """Replace the oldest sample of the window."""
        cdef Sample* sample = &self.samples[place % self.window]
        self.count(sample, -1)
        sample[0] = Sample(min(reach, self.bins + 1), change)
        self.count(sample, 1)

    cdef inline void count(self, const Sample* sample, int64_t sign) noexcept nogil:
        self.passed[sample.reach] += sign
        if sample.change != NO_CHANGE:
            self.changes += sign
            self.total += sign * sample.change
            self.squares += sign * sample.change * sample.change

    cdef void calibrate(self) noexcept nogil:
        """Fit A, k and sigma to the window; values that cannot be fitted stay unchanged."""
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
    """Return the number of samples in a duration."""
    found = seconds / sample_s
    if not 1 <= round(found) <= _MOST_SAMPLES or abs(found - round(found)) > 1e-6:
        raise UsageError(
            f"{owner}: {name} is {seconds}; it must be a multiple of sample_s, {sample_s}, and at most "
            f"{_MOST_SAMPLES:,} times that"
        )
    return round(found)
