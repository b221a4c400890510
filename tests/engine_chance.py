"""Long random cases, unlike the small ones of hypothesis: full queues, many orders, many fills."""

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np

from engine_cases import Case, Several, one_level
from engine_draws import HOOKS, KINDS
from engine_tapes import BEGIN_US, TEST, Teller, append_operations, sewn, stamped
from mm import Rules, Tape
from mm.backtest.fills.intensity import FOREVER
from mm.backtest.latency import Latencies
from mm.backtest.risk import RiskLimits
from mm.instrument import NO_FILTERS, Filters


def case_of(seed):
    """Return the case that belongs to a seed."""
    chance = random.Random(seed)
    unit = chance.choice([1, 3, 50, 1_000, 100_000, 500_000])
    tapes = tapes_of(chance, unit)
    answers, fills, rules = answers_of(chance), fills_of(chance, unit), rules_of(chance, unit)
    manual, to_end = hands_of(chance, tapes) if chance.random() < 0.5 else (), chance.random() < 0.95
    apart = random.Random(f"several {seed}")
    if apart.random() < 0.3:
        answers = several_of(apart, unit)
    follows = apart.random() < 0.3
    bound = random.Random(f"bound {seed}").choice([None, None, 0.5, 1, 2, 5])
    return Case(tapes, answers, fills, one_level(rules, answers), manual, to_end, follows, bound)


def operations_of(chance):
    """Return operations for `engine_tapes.append_operations`."""
    kinds = ["depth", "trade", "snapshot", "gap", "keyframe"]
    return [
        (chance.choice([0, 0, 0, 1, 1, 2, 5]), chance.choice([0, 0, 0, -1, 1]), kind, levels_of(chance))
        for kind in chance.choices(kinds, [60, 40, 2, 2, 2], k=chance.choice([15, 40, 120]))
    ]


def levels_of(chance):
    return [
        (chance.choice([1, -1]), chance.choice([-1, 0, 1, 1, 2, 3]), chance.choice([0, 0, 1, 2, 4, 7]))
        for _ in range(chance.randint(1, 3))
    ]


def tapes_of(chance, unit):
    teller = Teller(chance.choice([100, 100, 100, 4]), BEGIN_US)
    teller.tell("snapshot", [(1, 0, 3), (1, 1, 7), (-1, 1, 5)])
    append_operations(teller, operations_of(chance), unit)
    shape = chance.choice(["one", "one", "windows", "joined", "seam"])
    first = Tape.of(TEST, teller.events)
    tapes = [first]
    if shape == "windows":
        marks = [first.start_us - 1, first.end_us + 1, *first.event_us.tolist()]
        a, b, c = sorted(chance.choices(marks, k=3))
        a, b = min(a, first.end_us), min(max(b, first.start_us), first.end_us)
        later_us = min(b + chance.choice([0, 0, unit]), first.end_us)
        tapes = [first.between(a, b), first.between(later_us, max(b + unit, c))]
    elif shape != "one":
        teller.events, teller.us = [], teller.us + chance.choice([0, 1, 3]) * unit
        joins = shape == "joined" and teller.valid
        if joins:
            teller.events.append((teller.us, "snapshot", *teller.book()))
        teller.valid = joins
        append_operations(teller, operations_of(chance), unit)
        second, shift = Tape.of(TEST, teller.events_or_snapshot()), len(first)
        numbers = {"recv_seq": second.recv_seq + shift, "event_id": second.event_id + shift * (second.event_id > 0)}
        tapes = list(sewn(first, replace(second, **numbers)) if joins else (first, replace(second, **numbers)))
    late = chance.choices([0, 0, 1, 499, 500, 501, unit, 3 * unit, 9 * unit], k=chance.randint(1, 9))
    return tuple(stamped(tape, late, chance.choice([0, 1_234, -777])) for tape in tapes)


def answers_of(chance):
    """Return the answers of a scripted model, with repeats, or the distance of fixed_spread."""
    if chance.random() < 0.15:
        return chance.choice([0.5, 1.0, 1.5, 2.0])
    answers = []
    for _ in range(chance.randint(1, 6)):
        distances = chance.choices([None, 0, 0, 0, 0, 1, 1, 2, -1, 1.5], k=2)
        lots = chance.choices([None, None, None, 1, 3, 6] * 9 + [2**61], k=2)
        kinds = chance.choices(["LIMIT_MAKER"] * 12 + list(KINDS), k=2)
        answers += [(*distances, *lots, *kinds)] * chance.choice([1, 1, 4, 12])
    return (*answers, None) if chance.random() < 0.2 else tuple(answers)


def several_of(chance, unit):
    """Return answers with several prices per side, with one and with none."""

    def side():
        aways = chance.choices([0, 0, 1, 1, 2, 3, 4, 6, -1, 0.5], k=chance.randint(0, 5))
        return tuple((away, chance.choice([None, None, None, 1, 2])) for away in aways)

    answers = []
    for _ in range(chance.randint(1, 6)):
        kinds = tuple(chance.choices(["LIMIT_MAKER"] * 5 + ["LIMIT"], k=2))
        again_us = chance.choice([0, 0, 0, max(unit // 5, 1), unit, 4 * unit])
        one = Several(side(), side(), kinds, again_us, chance.random() < 0.3, chance.random() < 0.2)
        answers += [one] * chance.choice([1, 1, 4, 12])
    return (*answers, None) if chance.random() < 0.2 else tuple(answers)


def fills_of(chance, unit, drawn=("trade_cross", "price_cross", "queue", "poisson", "users", "hybrid", "hybrid")):
    """Return a fill model as a name and its parameters."""
    match chance.choice(drawn):
        case "trade_cross":
            return ("trade_cross", chance.random() < 0.3, chance.choice([1.0, 0.5, 0.3]), chance.choice([0, 0, 1, 2]))
        case "price_cross":
            return ("price_cross", chance.choice([0, 0, 1, 2]))
        case "queue":
            power = ("queue_prob_power", chance.choice([1.0, 2.0, 3.0, 0.5]))
            return chance.choice([("queue_back",), ("queue_front",), ("queue_prob_log",), power, power])
        case "poisson":
            reference = chance.choice(["mid", "micro", "best"])
            return ("poisson", pieces_of(chance, unit), reference, chance.randint(0, 3))
        case "users":
            hooks = tuple(hook for hook in HOOKS if hook == "on_trade" or chance.random() < 0.6)
            return ("users", hooks, tuple(chance.choices([0, 0, 0, 0, 1, 2, 100], k=5)))
    parts = [fills_of(chance, unit, ["trade_cross", "price_cross", "users"]) for _ in range(chance.randint(1, 2))]
    parts += [fills_of(chance, unit, [name]) for name in ("queue", "poisson") if chance.random() < 0.5]
    chance.shuffle(parts)
    return ("hybrid", tuple(parts))


def pieces_of(chance, unit):
    """Return constant intensities, or pieces with holes."""
    marks = [0, BEGIN_US + 10 * unit, BEGIN_US + 13 * unit, BEGIN_US + 40 * unit, FOREVER]
    spans = [span for span in pairwise(marks) if chance.random() < 0.8] if chance.random() < 0.5 else []
    pieces = []
    for span in spans or [(0, FOREVER)]:
        bid, ask = ((chance.choice([0.0, 0.05, 0.3, 2.0]) * 1e6 / unit, chance.choice([0.01, 0.1, 0.7])) for _ in "ba")
        pieces.append((*span, *bid, *ask, 0.5))
    return tuple(pieces)


def latencies_of(chance, unit):
    count = chance.randint(1, 30)

    def took():
        return np.array(chance.choices([0, 1, unit, 2 * unit, 5 * unit], k=count)) / 1000

    rates = np.array(chance.choices([0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 20.0], k=count))
    return Latencies.of(took(), chance.choice([None, took()]), chance.choice([None, rates]))


def rules_of(chance, unit):
    def span(*units):
        return max(chance.choice(units) * unit + chance.choice([0, 0, 0, 1, -1]), 0)

    poor, apart = chance.random() < 0.3, random.Random(repr(chance.getstate()[1]))  # keeps earlier draws unchanged
    drawn = Rules(
        tick_e8=TEST.tick_e8,
        lot_e8=TEST.lot_e8,
        order_latency_us=span(0, 0, 1, 2, 5),
        cancel_latency_us=span(0, 0, 1, 2, 5),
        latencies=latencies_of(chance, unit) if chance.random() < 0.3 else None,
        latency_seed=chance.randint(0, 3),
        recorded_feed=chance.random() < 0.3,
        requote_us=span(1, 2, 3) or 1,
        ttl_us=span(0, 0, 0, 3, 9),
        refresh_us=span(0, 0, 0, 2, 4),
        state_us=span(1, 3, 10) or 1,
        maker_fee_e8=chance.choice([100_000, 0, 50_000, 49_999, -10_000, 30_000_000]),
        taker_fee_e8=chance.choice([100_000, 0, 50_001, 40_000_000]),
        enforce_balances=chance.random() < 0.7,
        start_cash_e8=chance.choice([0, 1_001, 5_000, 20_000, -500]) if poor else 10**9,
        start_lots=chance.choice([0, 1, 2, 6, -1]) if poor else 100,
        quote_lots=chance.choice([1, 2, 3, 5]),
        quote_levels=apart.choice([1, 1, 1, 2, 4]),
        level_step_ticks=apart.choice([1, 1, 2]),
        step_ticks=apart.choice([1, 1, 1, 2]),
        step_lots=chance.choice([1, 1, 1, 1, 2]),
        min_notional_e8=chance.choice([0, 0, 0, 0, 1_010, 2_050]),
        filters=filters_of(chance) if chance.random() < 0.15 else NO_FILTERS,
        risk=risk_of(apart, unit),
        order_amend=apart.random() < 0.5,
        sigma_method=chance.choice(["rolling", "rolling", "ewma", "two_scale"]),
        sigma_window_s=chance.choice([4, 5, 6, 90]),
        sigma_half_life_s=chance.choice([0.2, 1.0, 3.0, 60.0]),
    )
    return replace(drawn, order_modify=not drawn.enforce_balances and apart.random() < 0.7)


def risk_of(chance, unit):
    """Return some limits, loose enough for most of a run, in three of four cases, else None."""

    def some(*values):
        return chance.choice([None, None, None, *values])

    if chance.random() < 0.25:
        return None
    position = some(4_000, 7_000, 103_000, 110_000)
    return RiskLimits(
        max_position_e8=position,
        max_order_notional_e8=some(2_020, 3_030, 5_050),
        max_open_orders=some(1, 2, 3, 5),
        max_leverage_e8=some(101_000, 103_000, 50_000_000, 10**8),
        max_daily_loss_e8=some(1_000, 30_000, 300_000),
        max_drawdown_e8=some(1_000, 50_000, 5_000_000),
        price_band_e8=some(1_000_000, 1_500_000, 2_000_000),
        max_move_e8=some(1_000_000, 1_500_000, 2_000_000, 3_000_000),
        max_orders_per_s=some(1, 3, 10),
        feed_stale_us=some(unit, 2 * unit, 5 * unit),
        slow_ack_us=some(unit, 2 * unit, 5 * unit),
        widen_bands=((0, 1.0), (97_000_000, 1.5), (99_000_000, 2.5)) if position and chance.random() < 0.5 else (),
    )


def filters_of(chance):
    def some(*values):
        return chance.choice([0, 0, 0, *values])

    multiples = (98_000_000, 99_500_000, 100_500_000, 103_000_000)
    return Filters(
        min_price_e8=some(99 * TEST.tick_e8),
        max_price_e8=some(101 * TEST.tick_e8),
        min_qty_e8=some(2 * TEST.lot_e8),
        max_qty_e8=some(3 * TEST.lot_e8),
        max_notional_e8=some(3_030),
        bid_up_e8=some(*multiples),
        bid_down_e8=some(*multiples),
        ask_up_e8=some(*multiples),
        ask_down_e8=some(*multiples),
        average_mins=chance.choice([0, 1, 1, 5]),
    )


def hands_of(chance, tapes):
    """Return the actions by hand as (number of the attached tape, instant or None for at once, action)."""
    done, last_us = [], 0
    for number, tape in enumerate(tapes):
        around = [tape.start_us, tape.end_us, *tape.event_us.tolist()]
        marks = [us + beside for us in around for beside in (-1, 0, 1, 7) if us + beside >= last_us]
        last_us = tape.end_us
        top = max(tape.top_bid_ticks.tolist(), default=0) or 100
        for us in sorted(chance.choices(marks, k=chance.choice([2, 5, 15]))) if marks else []:
            done.append((number, us if chance.random() < 0.95 else None, hand_of(chance, top)))
    return tuple(done)


def hand_of(chance, top):
    if chance.random() < 0.02:
        trades = ("trade", chance.random() < 0.5)
        return chance.choice([("pull", "why"), ("resume",), ("resume",), ("kill", "so"), trades, trades])
    match chance.choice(["place", "place", "cancel", "amend", "look"]):
        case "place":
            ticks, lots = max(top + chance.randint(-2, 3), 0), chance.choice([1, 2, 3, 5, 9])
            if chance.random() < 0.03:
                ticks, lots = chance.choice([ticks, 3 * 10**6, 10**15]), chance.choice([lots, 10**13, 10**15])
            return ("place", chance.choice([1, -1]), ticks, lots, chance.choice(KINDS))
        case "cancel":
            return ("cancel", chance.choice([3, 10, 300]))
        case "amend":
            return ("amend", chance.choice([3, 10, 300]), chance.randint(0, 6))
    return ("look",)
