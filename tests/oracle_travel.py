"""The oracle's latencies of our messages and of the market feed (docs/engine.md, *Latency*)."""

import math
from fractions import Fraction
from itertools import pairwise

from mm.backtest.rules import Rules
from oracle_market import DEPTH, GAP, KEYFRAME, NEVER, TRADE, Event, Order, unit

SECOND_US = 1_000_000
BLOCK_US = 600 * SECOND_US
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
        there_us = max(us + self.draw(us, order.id, kind), order.active_us, self.last_us.get(kind, us))
        if kind in self.last_us:
            self.last_us[kind] = there_us
        return there_us

    def draw(self, us: int, number: int, kind: int) -> int:
        file = self.rules.latencies
        column = (file.cancel_us if kind == CANCEL else file.order_us).tolist()
        first, count = 0, len(column)
        if file.rate_per_s is not None:
            count = math.ceil(len(column) / 10)
            first = self.nearest(us, file.rate_per_s.tolist(), count)
        return column[first + int(unit(self.rules.latency_seed, number, kind, 0) * count)]

    def nearest(self, us: int, rates: list[float], count: int) -> int:
        """Return the first of the *count* rows whose rates are nearest to the current rate."""
        now = sum(at > us - SECOND_US for at in self.event_times)
        first = 0
        while first + count < len(rates) and now - rates[first] > rates[first + count] - now:
            first += 1
        return first


def happened(events: list[Event], start_us: int) -> list[int]:
    """Return the time of each event at the exchange by our clock, from the exchange's stamps."""
    stamped = [event for event in events if event.kind in (DEPTH, TRADE) and event.exch_us]
    begin = stamped[0].us if stamped else 0
    blocks: dict[int, int] = {}
    for event in stamped:
        block, late = (event.us - begin) // BLOCK_US, event.us - event.exch_us
        blocks[block] = min(blocks.get(block, late), late)
    middles = [(begin + block * BLOCK_US + BLOCK_US // 2, late) for block, late in blocks.items()]
    last: dict[bool, int] = {}  # of the book and of the trades
    instants = []
    for event in events:
        stream = event.kind == TRADE
        us = event.us
        if event.kind in (DEPTH, TRADE) and event.exch_us:
            us = min(event.exch_us + math.floor(between(middles, event.us)) - 500, event.us)
        elif event.kind in (GAP, KEYFRAME):
            us = last.get(stream, us)
        us = us if event.us < start_us else max(us, start_us)
        last[stream] = max(us, last.get(stream, us))
        instants.append(last[stream])
    return instants


def between(points: list[tuple[int, int]], at: int) -> Fraction:
    """Return the linear interpolation between the points at a place, constant beyond both ends."""
    if at <= points[0][0]:
        return Fraction(points[0][1])
    for (x0, y0), (x1, y1) in pairwise(points):
        if at <= x1:
            return y0 + Fraction((y1 - y0) * (at - x0), x1 - x0)
    return Fraction(points[-1][1])
