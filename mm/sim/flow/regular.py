"""The order flow of the regular markets: a book with a level at every tick around a random-walk mid, and sweeps.

- At the opening a maker quotes every level with one order, of half to one and a half times the mean quantity. At the
  first depth message it replaces its orders at both touches, so that frames start with the flow.
- The mid moves only at depth messages, by a whole number of ticks: the difference of two Poisson draws, whose variance
  is exactly sigma² times the step; a follower also makes the moves of its lead. The maker cancels the levels outside
  its new book, then quotes the new ones; a user's order that the mid has passed trades with it.
- Orders of each aggressor side arrive spontaneously as a Poisson process of rate A. A share p of them would reach the
  touch of an undisturbed book; each of these excites own / p orders of its side and cross / p of the other, of which
  own and cross trade. So trades form a Hawkes process with the kernels own · beta · exp(-beta t) and cross · beta ·
  exp(-beta t), which begins at its mean rate.
- The reach of an order past the mid is exponential with rate k. It is an IOC order at the last price within its reach,
  for the whole quantity before that price and a part of the quantity at it, or for one level if that is more. So orders
  that trade at an on-grid distance d from the mid arrive at exactly the rate A·exp(-k·d); others expire.
- An order arrives in the middle of the next millisecond without an order of its side, so all prints of one side and
  millisecond belong to one order, and none arrives at the time of a depth message.
- The maker replaces levels taken by a sweep at once, and levels taken by a user at the next depth message.
"""

from collections.abc import Callable, Sequence
from math import ceil, exp, inf, log
from typing import TYPE_CHECKING

from mm.clock import US_PER_MS, US_PER_S
from mm.errors import UsageError
from mm.sim.flow._queues import Draws
from mm.sim.flow.order_flow import Law, Lead
from mm.sim.matching.order_log import IOC, LIMIT, STP_NONE

if TYPE_CHECKING:
    from mm.sim.matching._core import Matching

MAKER_ACCOUNT, TAKER_ACCOUNT = 1000, 1001
NEVER = 2**63 - 1


class _Arrivals:
    def __init__(self, side: int, key: Callable[[str], int], reaching: float) -> None:
        self.side, self.reaching = side, reaching
        self.times, self.reach = Draws(key(f"orders {side}")), Draws(key(f"reach {side}"))
        self.law = self.sent = self.sweeps = self.at_edge = self.next_us = 0
        self.own_s = self.since_s = self.excitation = 0.0
        self.excited_s = inf
        self.last_ms = -1
        self.reached = False


class RegularFlow:
    """One session of a regular market.

    Args:
        clock: Times of the opening, of the first depth message, and between two depth messages (µs).
        book: Best bid and spread (ticks), levels per side, and their mean quantity (lots).
        laws: In the order of their start; one law if there is an excitation.
        excitation: Orders that an order excites on its own and on the other side, and beta (1/s).
    """

    def __init__(
        self,
        matching: "Matching",
        clock: tuple[int, int, int],
        book: tuple[int, int, int, int],
        laws: Sequence[Law],
        excitation: tuple[float, float, float],
        key: Callable[[str], int],
    ) -> None:
        self._core, self._laws = matching, laws
        self._open_us, self._start_us, self._step_us = clock
        self._next_step_us = self._start_us
        self._best_bid, self._spread, self._levels, mean_lots = book
        self._least_lots, self._most_lots = (mean_lots + 1) // 2, mean_lots + mean_lots // 2
        self._own, self._cross, self._beta = excitation
        self._opened, self._lead = False, Lead(0, 0, 0.0)
        self._law_until_us = self._start_us - 1  # the last instant of the law of the mid
        self._half_variance = 0.0
        self._quotes: dict[tuple[int, int], tuple[int, int]] = {}  # by side and price: id, and lots when it was sent
        self._intact_id = -1  # the book's last change for which every quote was known to be as it was sent
        self._mid, self._quantities = Draws(key("mid")), Draws(key("quantities"))
        half_spread = self._spread / 2.0
        self._arrivals = {side: _Arrivals(side, key, exp(-laws[0].hit_by(side)[1] * half_spread)) for side in (-1, 1)}
        branching = self._own + self._cross
        for arrivals in self._arrivals.values():
            arrivals.excitation = laws[0].hit_by(arrivals.side)[0] * branching / (1.0 - branching)
            self._draw_own(arrivals)
            self._draw_excited(arrivals)
            self._set_next(arrivals)

    def follow(self, lead: Lead) -> None:
        self._lead, self._lead_moves = lead, Draws(lead.key)

    def advance(self, until_us: int) -> None:
        """Raises UsageError if the book would need prices below one tick."""
        if not self._opened:
            if until_us < self._open_us:
                return
            self._opened = True
            self._fill(self._open_us)
        sellers, buyers = self._arrivals[-1], self._arrivals[1]
        while True:
            first = buyers if buyers.next_us <= sellers.next_us else sellers
            if first.next_us > until_us < self._next_step_us:
                return
            if self._next_step_us < first.next_us:
                self._step(self._next_step_us)
                self._next_step_us += self._step_us
            else:
                self._send(first)
                self._draw_next(first)

    def counts(self) -> dict[str, object]:
        sellers, buyers = self._arrivals[-1], self._arrivals[1]
        return {
            "orders": {"bid": sellers.sent, "ask": buyers.sent},
            "sweeps": {"bid": sellers.sweeps, "ask": buyers.sweeps},
            "sweeps_at_edge": sellers.at_edge + buyers.at_edge,
        }

    # the mid and the maker's book

    def _best(self, side: int) -> int:
        return self._best_bid if side > 0 else self._best_bid + self._spread

    def _quote(self, us: int, side: int, ticks: int) -> None:
        lots = self._least_lots + self._quantities.below(self._most_lots - self._least_lots + 1)
        order_id = self._core.submit(us, MAKER_ACCOUNT, side, ticks, lots, LIMIT, STP_NONE)
        self._quotes[side, ticks] = order_id, lots

    def _requote(self, us: int, side: int, ticks: int) -> None:
        self._core.cancel(us, self._quotes[side, ticks][0])
        self._quote(us, side, ticks)

    def _fill(self, us: int) -> None:
        self._check_floor()
        for side in (1, -1):
            for depth in range(self._levels):
                self._quote(us, side, self._best(side) - side * depth)

    def _step(self, us: int) -> None:
        if us > self._law_until_us:
            self._begin_law(us)
        shift = self._mid.move(self._half_variance)
        if self._lead.sigma and us >= self._start_us + self._lead.lag_us:
            shift += self._lead_moves.move(self._lead.sigma**2 * self._step_us / US_PER_S / 2)
        if shift:
            self._move(us, shift)
        if us == self._start_us:
            for side in (1, -1):
                self._requote(us, side, self._best(side))
        if self._core.update_id != self._intact_id:
            before_id = self._core.update_id
            for side in (1, -1):
                self._restore(us, side)
            self._intact_id = before_id if self._core.update_id == before_id else -1

    def _begin_law(self, us: int) -> None:
        starts_us = [self._start_us + int(law.start_s * US_PER_S + 0.5) for law in self._laws]
        law = max(0, sum(start_us < us for start_us in starts_us) - 1)
        self._law_until_us = [*starts_us, NEVER][law + 1]
        self._half_variance = self._laws[law].sigma ** 2 * self._step_us / US_PER_S / 2

    def _move(self, us: int, shift: int) -> None:
        count, toward = min(abs(shift), self._levels), 1 if shift > 0 else -1
        for side in (1, -1):
            for depth in range(count):
                self._core.cancel(us, self._quotes.pop((side, self._from_end(side, side != toward, depth)))[0])
        self._best_bid += shift
        self._check_floor()
        for side in (1, -1):
            for depth in range(count):
                self._quote(us, side, self._from_end(side, side == toward, depth))

    def _from_end(self, side: int, best: bool, depth: int) -> int:
        return self._best(side) - side * (depth if best else self._levels - 1 - depth)

    def _check_floor(self) -> None:
        if self._best_bid - self._levels + 1 < 1:
            raise UsageError(
                "{start_price} is too close to zero: the best bid falls to {} ticks, and the book is {} levels deep; "
                "raise it, or lower {tick_size} or the volatility",
                self._best_bid,
                self._levels,
            )

    def _restore(self, us: int, side: int) -> None:
        for depth in range(self._levels):
            ticks = self._best(side) - side * depth
            order_id, lots = self._quotes[side, ticks]
            order = self._core.order(order_id)
            if order is not None and order[3] == lots:
                return
            self._requote(us, side, ticks)

    # the sweeping orders

    def _draw_own(self, arrivals: _Arrivals) -> None:
        """Draw the next spontaneous order, where the integrated rate reaches a unit exponential draw."""
        left, laws = arrivals.times.exponential(), self._laws
        while True:
            rate = laws[arrivals.law].hit_by(arrivals.side)[0]
            end_s = laws[arrivals.law + 1].start_s if arrivals.law + 1 < len(laws) else inf
            if rate > 0.0 and arrivals.own_s + left / rate < end_s:
                arrivals.own_s += left / rate
                return
            if end_s == inf:
                arrivals.own_s = inf
                return
            left -= rate * (end_s - arrivals.own_s)
            arrivals.own_s = end_s
            arrivals.law += 1

    def _draw_excited(self, arrivals: _Arrivals) -> None:
        """Draw the next excited order; the rate decays, so there may be none."""
        arrivals.excited_s = inf
        if arrivals.excitation > 0.0:
            left = 1.0 - arrivals.times.exponential() * self._beta / arrivals.excitation
            if left > 0.0:
                arrivals.excited_s = arrivals.since_s - log(left) / self._beta

    def _set_next(self, arrivals: _Arrivals) -> None:
        at_s = min(arrivals.own_s, arrivals.excited_s)
        at_ms = NEVER if at_s == inf else max(arrivals.last_ms + 1, int(at_s * 1000.0))
        arrivals.next_us = NEVER if at_s == inf else self._start_us + at_ms * US_PER_MS + US_PER_MS // 2

    def _draw_next(self, arrivals: _Arrivals) -> None:
        at_s, is_own = min(arrivals.own_s, arrivals.excited_s), arrivals.own_s <= arrivals.excited_s
        arrivals.last_ms = (arrivals.next_us - self._start_us) // US_PER_MS
        if self._own > 0.0 or self._cross > 0.0:
            self._decay(arrivals, at_s)
            if arrivals.reached:
                arrivals.excitation += self._own * self._beta / arrivals.reaching
            self._draw_excited(arrivals)
        if is_own:
            self._draw_own(arrivals)
        self._set_next(arrivals)
        if self._cross > 0.0 and arrivals.reached:
            self._excite_other(self._arrivals[-arrivals.side], at_s)

    def _decay(self, arrivals: _Arrivals, at_s: float) -> None:
        arrivals.excitation *= exp(-self._beta * (at_s - arrivals.since_s))
        arrivals.since_s = at_s

    def _excite_other(self, other: _Arrivals, at_s: float) -> None:
        """Excite the other side, without redrawing an order that is due and only waits for a free millisecond."""
        excitation = self._cross * self._beta / other.reaching
        if other.excited_s <= at_s:
            other.excitation += excitation * exp(self._beta * (at_s - other.since_s))
            return
        self._decay(other, max(at_s, other.since_s))
        other.excitation += excitation
        self._draw_excited(other)
        self._set_next(other)

    def _send(self, arrivals: _Arrivals) -> None:
        us, side, spread = arrivals.next_us, arrivals.side, self._spread
        decay = self._laws[arrivals.law].hit_by(side)[1]
        reach = int(arrivals.reach.exponential() / decay + spread / 2.0)
        part = 0.1 + 0.9 * arrivals.reach.unit()
        arrivals.reached = reach >= spread
        edge = spread + self._levels - 1
        if reach > edge:
            arrivals.at_edge += 1
            reach = edge
        limit = self._best(side) + side * reach
        met = self._met(side, limit, reach)
        last = met[-1] if met else 0
        arrivals.sent += 1
        arrivals.sweeps += last > 0
        lots = sum(met) - last + ceil(part * (min(last, self._most_lots) if last else self._most_lots))
        self._core.submit(us, TAKER_ACCOUNT, side, limit, lots, IOC, STP_NONE)
        ticks = self._best(-side)
        while side * (limit - ticks) >= 0:
            self._requote(us, -side, ticks)
            ticks += side

    def _met(self, side: int, limit: int, most: int) -> list[int]:
        levels = self._core.depth(-side, most + 1)
        if len(levels) > most and side * (limit - levels[-1][0]) >= 0:
            levels = self._core.depth(-side, None)
        return [lots for ticks, lots in levels if side * (limit - ticks) >= 0]
