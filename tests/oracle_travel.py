"""The oracle's latencies of our messages and of the market feed (docs/specification/engine.md, *Latency*)."""

import math

from mm import Rules
from oracle_market import DEPTH, GAP, KEYFRAME, NEVER, TRADE, Event, Order, unit

SECOND_US = 1_000_000
WINDOW_US, STRAY_US = 600 * SECOND_US, 5 * SECOND_US
BEHIND = (GAP, KEYFRAME)
ORDER, CANCEL, AMENDMENT = range(3)


class Messages:
    """Latencies of our messages: constant, or drawn from a file of measurements."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.event_times: list[int] = []  # instants of the tape's events
        self.last_us = {ORDER: NEVER, CANCEL: NEVER}  # arrival of the previous message, which no message overtakes

    def arrives(self, us: int, order: Order, kind: int) -> int:
        """Return when a message about an order that is sent now arrives."""
        rules = self.rules
        if rules.latencies is None:
            there_us = us + (rules.cancel_latency_us if kind == CANCEL else rules.order_latency_us)
            return max(there_us, order.active_us)
        there_us = max(us + self.draw(us, order, kind), order.active_us, self.last_us.get(kind, us))
        if kind in self.last_us:
            self.last_us[kind] = there_us
        return there_us

    def draw(self, us: int, order: Order, kind: int) -> int:
        file = self.rules.latencies
        column = (file.cancel_us if kind == CANCEL else file.order_us).tolist()
        first, count = 0, len(column)
        if file.rate_per_s is not None:
            count = math.ceil(len(column) / 10)
            first = self.nearest(us, file.rate_per_s.tolist(), count)
        nth = order.moves if kind == AMENDMENT else 0
        return column[first + int(unit(self.rules.latency_seed, order.id, kind, nth) * count)]

    def nearest(self, us: int, rates: list[float], count: int) -> int:
        """Return the first of the *count* rows whose rates are nearest to the current rate."""
        now = sum(at > us - SECOND_US for at in self.event_times)
        first = 0
        while first + count < len(rates) and now - rates[first] > rates[first + count] - now:
            first += 1
        return first


def happened(events: list[Event], start_us: int, late_us: int | None = None) -> list[int]:
    """Return the time of each event at the exchange by our clock: from its stamps, or all *late_us* before receipt."""
    found = by_stamps(events) if late_us is None else [event.us - late_us for event in events]
    last: dict[bool, int] = {}  # of the book and of the trades
    instants = []
    for event, at in zip(events, found, strict=True):
        stream = event.kind == TRADE
        us = at if event.kind in (DEPTH, TRADE) else last.get(stream, event.us) if event.kind in BEHIND else event.us
        us = us if event.us < start_us else max(us, start_us)
        last[stream] = max(us, last.get(stream, us))
        instants.append(last[stream])
    return instants


def by_stamps(events: list[Event]) -> list[int]:
    """Return the exchange's stamp of each event by our clock, by those received by then; else its receipt."""
    stamped: list[tuple[int, int, int]] = []  # receipt, receipt less stamp, and the median of these at the receipt
    begun, level = 0, 0  # first of them from which the offset is taken, and the median there
    instants = []
    for event in events:
        instants.append(event.us)
        if event.kind not in (DEPTH, TRADE) or not event.exch_us:
            continue
        late = event.us - event.exch_us
        near = sorted([*(one[1] for one in stamped[-50:]), late])
        stamped.append((event.us, late, near[len(near) // 2]))
        if len(stamped) == 1 or abs(stamped[-1][2] - level) > STRAY_US:
            begun, level = len(stamped) - 1, stamped[-1][2]
        recent = [one for one in stamped[begun:] if one[0] > event.us - WINDOW_US]
        counted = [one for _, one, median in recent if abs(one - median) <= STRAY_US]
        if abs(late - stamped[-1][2]) <= STRAY_US:
            instants[-1] = min(event.exch_us + min(counted) - 500, event.us)
    return instants
