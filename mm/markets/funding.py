"""The funding payments of perpetuals, from responses and from mark prices."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from mm.clock import US_PER_MS, iso
from mm.markets.messages import Funding, MarkPrice

NEAR_S = 60
"""Maximum age, in s, of the last mark price before a payment: the rate is updated every minute."""
_HOUR_MS = 3_600_000
_INTERVALS_H = (1, 2, 4, 8)
_EARLY_MS = 5_000  # a mark price may name the next payment so long before its own time
_NO_MARKS = "the day has no mark prices before it"
FUNDING_HOURS = 8
"""Hours between payments, from midnight UTC on, of a symbol whose mark prices say nothing else."""


class FundingDoubt(NamedTuple):
    """A payment (ms) whose rate and price did not arrive at its time, and why."""

    paid_ms: int
    why: str


class FundingState:
    """Reports each funding payment of a perpetual once, from REST responses or from mark prices.

    A payment without a mark price in the minute before it gets the last rate and the next price, with a doubt. Other
    payments due while mark prices paused are only doubts: contracts pay every 1, 2, 4 or 8 hours.

    Args:
        since_us: Earlier payments are ignored.
    """

    def __init__(self, since_us: int = 0) -> None:
        self._last_ms = since_us // US_PER_MS
        self._before: MarkPrice | None = None
        self._in_time: MarkPrice | None = None  # the last one up to the second of the payment it names
        self._passed_us: int | None = None
        self._first_us: int | None = None
        self._interval_ms = 0  # of the last two payments without a pause; 0: not seen, or changed since

    def marked(self, now: MarkPrice) -> list[Funding | FundingDoubt]:
        before, self._before, in_time = self._before, now, self._in_time
        if now.E // 1_000 <= now.T // 1_000:
            self._in_time = now
        if before is None:
            return [*self._since_start(now)]
        if not before.T or not now.T:
            return []
        paused = now.E - before.E > NEAR_S * 1_000
        is_due = now.T > before.T and (paused or now.E > before.T - _EARLY_MS)
        late = before.T - before.E > NEAR_S * 1_000
        at_due = before
        if in_time and in_time.T == before.T and in_time.T - in_time.E <= NEAR_S * 1_000:
            at_due = in_time  # messages may name a payment for a while after it was due
        paid = self.new([Funding(before.T, at_due.r, now.p if late else at_due.p)]) if is_due else []
        why = f"no mark price from {iso(before.E * US_PER_MS)} to {iso(now.E * US_PER_MS)}"
        doubtful = {payment.paid_ms for payment in paid if late}
        if paused:
            both = _intervals_ms(before) & _intervals_ms(now)
            if not both:  # it changed meanwhile
                self._interval_ms = 0
            step_ms = self._least_ms(both or _intervals_ms(before) | _intervals_ms(now))
            doubtful |= {
                ms for ms in _multiples(step_ms, before.T if is_due else before.E, now.E) if ms > self._last_ms
            }
        elif now.T != before.T:
            self._interval_ms = now.T - before.T if is_due else 0
        return [*paid, *(FundingDoubt(ms, why) for ms in sorted(doubtful))]

    def passed(self, us: int) -> list[FundingDoubt]:
        """Doubt the payments before *us*, the time of a message, that no mark price reported."""
        first, self._passed_us = self._passed_us, us
        if first is None:
            self._first_us = us
        period = FUNDING_HOURS * _HOUR_MS * US_PER_MS
        if self._before is not None or first is None or us // period == first // period:
            return []
        due_us = us - us % period
        self._last_ms = max(self._last_ms, due_us // US_PER_MS)
        return [FundingDoubt(due_us // US_PER_MS, _NO_MARKS)]

    def ended(self, us: int) -> list[FundingDoubt]:
        before = self._before
        if before is None or not before.T or us <= before.T * US_PER_MS:
            return []
        why = f"the last mark price was received at {iso(before.E * US_PER_MS)}"
        later = _multiples(self._least_ms(_intervals_ms(before)), before.T, us // US_PER_MS)
        return [FundingDoubt(ms, why) for ms in (before.T - before.T % 1_000, *later)]

    def unanswered(self, from_us: int, to_us: int) -> list[FundingDoubt]:
        step_ms = self._interval_ms or FUNDING_HOURS * _HOUR_MS
        why = f"the exchange did not answer from {iso(from_us)} on"
        return [FundingDoubt(ms, why) for ms in _multiples(step_ms, from_us // US_PER_MS, to_us // US_PER_MS)]

    def _since_start(self, now: MarkPrice) -> list[FundingDoubt]:
        if self._first_us is None or not now.T:
            return []
        due = _multiples(self._least_ms(_intervals_ms(now)), self._first_us // US_PER_MS, now.E)
        period = FUNDING_HOURS * _HOUR_MS  # these were doubted when they passed
        return [FundingDoubt(ms, _NO_MARKS) for ms in due if ms % period]

    def _least_ms(self, possible: Collection[int]) -> int:
        return self._interval_ms if self._interval_ms in possible else min(possible, default=_HOUR_MS)

    def new(self, payments: Sequence[Funding]) -> list[Funding]:
        new = []
        if len(payments) > 1:
            self._interval_ms = (payments[-1].paid_ms - payments[-2].paid_ms) // 1_000 * 1_000 or self._interval_ms
        for payment in payments:
            paid_ms = payment.paid_ms - payment.paid_ms % 1_000
            if paid_ms > self._last_ms:
                self._last_ms = paid_ms
                new.append(payment._replace(paid_ms=paid_ms))
        return new


def _intervals_ms(mark: MarkPrice) -> set[int]:
    lengths = (hours * _HOUR_MS for hours in _INTERVALS_H)
    return {length for length in lengths if (mark.E // length + 1) * length == mark.T - mark.T % 1_000}


def _multiples(step_ms: int, after_ms: int, up_to_ms: int) -> range:
    return range((after_ms // step_ms + 1) * step_ms, up_to_ms + 1, step_ms)
