"""Slow oracle of DepthCounts: every probe is evaluated at every microsecond and every sweep."""

from collections import Counter
from fractions import Fraction

from mm.calibration.reference import PER_TICK
from small_tapes import slow_touch, top_before, tops

S = 1_000_000


def slow_sweeps(events, window, side, grouped):
    """Return ``[us, number of the first print's event, [(price, lots) per print]]`` per sweep in a window."""
    sweeps, trade_us = [], None
    for number, event in enumerate(events):
        if event[0] != "trade" or event[2] != -side or not window[0] <= event[1] < window[1]:
            continue
        if event[4] == trade_us != 0 and grouped:
            sweeps[-1][2].append((event[3], event[5]))
        else:
            sweeps.append([event[1], number, [(event[3], event[5])]])
        trade_us = event[4]
    return sweeps


def slow_marks(events, window, options):
    """Evaluate every probe: exposed seconds, sweeps that hit it, and sweeps that reached no further."""
    per_tick = PER_TICK[options.reference]
    rule, block_us = options.rule, round(options.block_s * S)
    needed = max(rule.order_e8 / 100_000, 1)
    seconds, ends, reached = Counter(), Counter(), Counter()
    for side in (1, -1):
        distances = [Fraction(n, per_tick) for n in range(int(options.max_delta_ticks * per_tick) + 1)]

        def on_grid_and_exposed(distance, place, side=side):
            price = place[0] - side * distance
            return price.denominator == 1 and side * (place[1] - price) >= 0

        def is_hit(distance, place, prints, top, side=side):
            price = place[0] - side * distance
            beyond = sum(lots for ticks, lots in prints if side * (price - ticks) > 0)
            at_price = sum(lots for ticks, lots in prints if price == ticks)
            shown = top[2 if side > 0 else 3] if price == place[1] else 0
            if beyond >= needed or rule.hit == "strict":
                return beyond >= needed
            return beyond + at_price >= needed + rule.queue_ahead * shown

        for since, until, top in tops(events):
            place = slow_touch(top, side, options.reference)
            for us in range(max(since, window[0]), min(until, window[1])):
                for distance in distances if place else ():
                    if on_grid_and_exposed(distance, place):
                        seconds[side, (us - window[0]) // block_us, distance] += 1
        for us, number, prints in slow_sweeps(events, window, side, rule.grouped):
            top = top_before(events, number)
            place, block = slow_touch(top, side, options.reference), (us - window[0]) // block_us
            hit_distances = [
                d for d in distances if place and on_grid_and_exposed(d, place) and is_hit(d, place, prints, top)
            ]
            ends.update([(side, block, max(hit_distances))] if hit_distances else [])
            reached.update((side, distance) for distance in hit_distances)
    fills = {key: (us / S, ends[key]) for key, us in seconds.items()}
    total = Counter()
    for (side, _, distance), us in seconds.items():
        total[side, distance] += us
    return fills, {(side, -1, distance): (us / S, reached[side, distance]) for (side, distance), us in total.items()}
