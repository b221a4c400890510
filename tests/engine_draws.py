"""Strategies for models, rules and orders by hand that interact often; *unit* is a unit of time in µs."""

import numpy as np
from hypothesis import strategies as st

from engine_tapes import BEGIN_US, TEST
from mm import Rules
from mm.backtest.fills.intensity import FOREVER
from mm.backtest.latency import Latencies
from mm.backtest.risk import RiskLimits
from mm.instrument import NO_FILTERS, Filters

HOOKS = ("on_rest", "on_trade", "on_level", "on_book")

# Quotes

DISTANCE = st.one_of(st.none(), st.sampled_from([0, 0, 1, 1, 2, -1, -2, 0.5, 1.5]))
LOTS = st.sampled_from([None, None, None, 1, 2, 3, 0])
KINDS = ("LIMIT_MAKER", "LIMIT", "IOC", "FOK", "MARKET")
KIND = st.sampled_from(["LIMIT_MAKER"] * 6 + list(KINDS))
ANSWER = st.tuples(DISTANCE, DISTANCE, LOTS, LOTS, KIND, KIND)
ANSWERS = st.lists(st.one_of(st.none(), *[ANSWER] * 9), min_size=1, max_size=6)
QUOTES = st.one_of(ANSWERS.map(tuple), ANSWERS.map(tuple), st.sampled_from([0.5, 1.0, 1.5, 2.0]))

# Fills

CURVES = (((0.5, 1.0), (1.5, 0.2), (2.0, 0.2), (6.0, 0.01)), ((-1.0, 5.0), (3.0, 0.05)))  # fills per unit of time


@st.composite
def poisson_pieces(draw, unit):
    """Draw intensities of about one fill in a few units of time, constant or in pieces with holes."""
    a = st.sampled_from([0.0, 0.05, 0.2, 1.0, 5.0]).map(lambda per_unit: per_unit * 1e6 / unit)
    k = st.sampled_from([0.01, 0.1, 0.7])
    if draw(st.booleans()):
        bend = draw(st.sampled_from([(), *CURVES]))
        more = (None, None, None, tuple((at, rate * 1e6 / unit) for at, rate in bend)) if bend else ()
        return ((0, FOREVER, draw(a), draw(k), draw(a), draw(k), 0.5, *more),)
    pieces, us = [], BEGIN_US - unit
    for hole, length in draw(st.lists(st.tuples(st.sampled_from([0, 0, 0, 3]), st.integers(1, 20)), max_size=5)):
        us += hole * unit
        pieces.append((us, us + length * unit, draw(a), draw(k), draw(a), draw(k), 0.5))
        us += length * unit
    return tuple(pieces) or ((0, FOREVER, draw(a), draw(k), draw(a), draw(k), 0.5),)


def trade_crosses(unit):
    share, penetration_ticks = st.sampled_from([1.0, 1.0, 0.5, 0.3]), st.sampled_from([0, 0, 0, 1, 2])
    return st.tuples(st.just("trade_cross"), st.booleans(), share, penetration_ticks)


def price_crosses(unit):
    return st.tuples(st.just("price_cross"), st.sampled_from([0, 0, 1, 2]))


def poissons(unit):
    reference = st.sampled_from(["mid", "micro", "best"])
    return st.tuples(st.just("poisson"), poisson_pieces(unit), reference, st.integers(0, 3))


@st.composite
def hawkeses(draw, unit):
    """Draw self-exciting orders with zero to two kernels that last for about a unit of time, much less or much more."""
    share = st.sampled_from([0.0, 0.0, 0.1, 0.45])

    def by_side(values):
        return {"bid": draw(values), "ask": draw(values)}

    kernels = [
        {
            "beta_per_s": draw(st.sampled_from([0.02, 1.0, 40.0])) * 1e6 / unit,
            "branching": {side: by_side(share) for side in ("bid", "ask")},
        }
        for _ in range(draw(st.sampled_from([0, 1, 1, 2])))
    ]
    rate = st.sampled_from([0.1, 1.0]).map(lambda per_unit: per_unit * 1e6 / unit)
    block = {"mu_per_s": by_side(rate), "kernels": kernels, "sweeps": draw(st.sampled_from([True, True, False]))}
    most = max([sum(row.values()) for row in _branching(kernels).values()])
    if most > 0.95 or draw(st.booleans()):
        block |= {"mean_per_s": by_side(rate), "mu_per_s": by_side(st.sampled_from([0.0, 0.3e6 / unit]))}
    reference = st.sampled_from(["mid", "micro", "best"])
    pieces = draw(poisson_pieces(unit))
    if draw(st.booleans()):  # separate means per segment
        pieces = tuple((*one, *(None, None, None, (), None)[len(one) - 7 :], draw(rate), draw(rate)) for one in pieces)
    return "hawkes", pieces, draw(reference), draw(st.integers(0, 3)), block


def _branching(kernels):
    """Return the total branching of all kernels."""
    sides = ("bid", "ask")
    return {i: {j: sum(one["branching"][i][j] for one in kernels) for j in sides} for i in sides}


def queues(unit):
    power = st.tuples(st.just("queue_prob_power"), st.sampled_from([1.0, 2.0, 3.0, 0.5]))
    return st.one_of(st.sampled_from([("queue_back",), ("queue_front",), ("queue_prob_log",)]), power)


def users(unit):
    """Draw a Python model with some of the hooks and fixed answers in lots."""
    hooks = st.lists(st.sampled_from(HOOKS), min_size=1, max_size=4, unique=True).map(
        lambda drawn: tuple(hook for hook in HOOKS if hook in {*drawn, "on_trade"})
    )
    answers = st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 100]), min_size=1, max_size=5).map(tuple)
    return st.tuples(st.just("users"), hooks, answers)


@st.composite
def hybrids(draw, unit):
    """Draw a hybrid with at most one drawing model and at most one queue model."""
    parts = [draw(st.one_of(trade_crosses(unit), price_crosses(unit), users(unit)))]
    parts += draw(st.lists(st.one_of(trade_crosses(unit), price_crosses(unit), users(unit)), max_size=1))
    parts += [draw(queues(unit))] if draw(st.booleans()) else []
    parts += [draw(st.one_of(poissons(unit), hawkeses(unit)))] if draw(st.booleans()) else []
    return ("hybrid", tuple(draw(st.permutations(parts))))


def fill_models(unit):
    kinds = (trade_crosses, poissons, hawkeses, price_crosses, queues, users, hybrids, hybrids)
    return st.one_of([kind(unit) for kind in kinds])


# Rules


@st.composite
def latencies(draw, unit):
    """Draw a file of measured latencies, with or without event rates near those of the tape."""
    count = draw(st.integers(1, 12))
    took = st.sampled_from([0, 0, 1, unit, 2 * unit, 5 * unit])
    order_us, cancel_us = draw(st.tuples(*[st.lists(took, min_size=count, max_size=count)] * 2))
    rates = st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 20.0]), min_size=count, max_size=count)
    return Latencies.of(
        np.array(order_us) / 1000,
        draw(st.sampled_from([None, np.array(cancel_us) / 1000])),
        draw(st.one_of(st.none(), rates.map(np.array))),
    )


@st.composite
def rules(draw, unit):
    """Draw rules with interacting latencies, timers and balances."""

    def span(*units):
        return max(draw(st.sampled_from(units)) * unit + draw(st.sampled_from([0, 0, 0, 1, -1])), 0)

    rich = draw(st.booleans())
    fees = st.sampled_from([100_000, 0, 50_000, 49_999, -10_000, 30_000_000])
    recorded = draw(st.sampled_from([False, False, True]))
    enforced = draw(st.sampled_from([True, True, False]))
    return Rules(
        tick_e8=TEST.tick_e8,
        lot_e8=TEST.lot_e8,
        order_latency_us=span(0, 0, 1, 2, 5),
        cancel_latency_us=span(0, 0, 1, 2, 5),
        latencies=draw(st.one_of(st.none(), st.none(), latencies(unit))),
        latency_seed=draw(st.integers(0, 3)),
        recorded_feed=recorded,
        feed_us=0 if recorded else draw(st.sampled_from([0, 0, 0, 1, unit, 3 * unit])),
        requote_us=span(1, 2, 3) or 1,
        requote_on_fill=draw(st.sampled_from([True, True, False])),
        ttl_us=span(0, 0, 0, 1, 3, 7),
        refresh_us=span(0, 0, 0, 2, 4),
        order_amend=draw(st.booleans()),
        state_us=span(1, 3, 10) or 1,
        maker_fee_e8=draw(fees),
        taker_fee_e8=draw(fees),
        enforce_balances=enforced,
        order_modify=not enforced and draw(st.booleans()),
        start_cash_e8=10**9 if rich else draw(st.sampled_from([0, 99, 1_001, 2_002, 3_500, -500])),
        start_lots=draw(st.sampled_from([5, 100] if rich else [0, 0, 1, 2, -1])),
        target_lots=draw(st.sampled_from([None, None, 0, 3, -1])),
        orders_per_10s=draw(st.sampled_from([100, 100, 0, 3, 7])),
        orders_per_day=draw(st.sampled_from([200_000, 200_000, 0, 12])),
        quote_lots=draw(st.sampled_from([1, 2, 3, 5])),
        quote_levels=draw(st.sampled_from([1, 1, 1, 2, 3])),
        level_step_ticks=draw(st.sampled_from([1, 1, 2])),
        step_lots=draw(st.sampled_from([1, 1, 1, 2, 3])),
        step_ticks=draw(st.sampled_from([1, 1, 1, 2, 5])),
        min_notional_e8=draw(st.sampled_from([0, 0, 0, 1_010, 2_050])),
        filters=draw(st.one_of(st.just(NO_FILTERS), st.just(NO_FILTERS), filters())),
        risk=draw(st.one_of(st.none(), risks(unit))),
        **draw(sigmas()),
    )


@st.composite
def risks(draw, unit):
    """Draw some risk limits near the positions, prices and times of the cases."""

    def some(*values):
        return draw(st.sampled_from([None, None, *values]))

    bands = (((0, 1.5),), ((0, 1.0), (50_000_000, 3.0)), ((1_000_000, 1.25), (90_000_000, 2.0), (100_000_000, 4.0)))
    position = some(0, 1_000, 3_000, 6_000, 103_000)
    return RiskLimits(
        max_position_e8=position,
        max_order_notional_e8=some(1_000, 1_010, 2_020, 3_030),
        max_open_orders=some(1, 1, 2, 3),
        max_leverage_e8=some(0, 100_000, 102_000, 50_000_000, 10**8),
        max_daily_loss_e8=some(0, 10, 1_000, 30_000),
        max_drawdown_e8=some(0, 10, 1_000, 500_000),
        price_band_e8=some(0, 500_000, 1_000_000, 1_500_000, 2_000_000),
        max_move_e8=some(0, 500_000, 1_000_000, 2_000_000),
        max_orders_per_s=some(1, 2, 5),
        feed_stale_us=some(0, unit, 2 * unit, 5 * unit),
        slow_ack_us=some(0, unit, 2 * unit, 5 * unit),
        widen_bands=draw(st.sampled_from([(), *bands])) if position else (),
        added_equity_e8=draw(st.sampled_from([0, 0, 1_000, -(10**9)])),
        day_equity_e8=some(0, 10**9),
        peak_equity_e8=some(0, 10**9, 10**9 + 10**6),
    )


def sigmas():
    """Return volatility settings; windows and half-lives are reached after a few samples."""
    windows, half_lives = st.sampled_from([4, 5, 60, 90]), st.sampled_from([0.2, 1.0, 2.5, 40.0])
    return st.one_of(
        st.fixed_dictionaries({"sigma_window_s": st.sampled_from([1, 2, 3, 40])}),
        st.fixed_dictionaries({"sigma_method": st.just("two_scale"), "sigma_window_s": windows}),
        st.fixed_dictionaries({"sigma_method": st.just("ewma"), "sigma_half_life_s": half_lives}),
    )


@st.composite
def filters(draw):
    """Draw some exchange filters near the prices and sizes of the cases."""
    multiples = st.sampled_from([0, 0, 0, 98_000_000, 99_500_000, 100_000_000, 100_500_000, 103_000_000])
    return Filters(
        min_price_e8=draw(st.sampled_from([0, 0, 99 * TEST.tick_e8])),
        max_price_e8=draw(st.sampled_from([0, 0, 101 * TEST.tick_e8])),
        min_qty_e8=draw(st.sampled_from([0, 0, 2 * TEST.lot_e8])),
        max_qty_e8=draw(st.sampled_from([0, 0, 3 * TEST.lot_e8])),
        max_notional_e8=draw(st.sampled_from([0, 0, 3_030])),
        bid_up_e8=draw(multiples),
        bid_down_e8=draw(multiples),
        ask_up_e8=draw(multiples),
        ask_down_e8=draw(multiples),
        average_mins=draw(st.sampled_from([0, 1, 1, 5])),
        max_amends=draw(st.sampled_from([0, 0, 1, 2])),
        amend_allowed=draw(st.sampled_from([True, True, True, False])),
    )


# Orders by hand

BY_HAND = st.one_of(
    st.tuples(
        st.just("place"),
        st.sampled_from([1, -1]),
        st.sampled_from([-3, -2, -1, -1, 0, 0, 1, 1, 2, 3]),
        st.sampled_from([0, 1, 2, 2, 3, 5, 7]),
        st.sampled_from(KINDS),
    ),
    st.tuples(st.just("cancel"), st.integers(1, 9)),
    st.tuples(st.just("amend"), st.integers(1, 9), st.integers(0, 6)),
    st.just(("look",)),
    st.sampled_from([("pull", "a word"), ("resume",), ("resume",), ("kill", "MAX_MOVE")]),
    st.tuples(st.just("trade"), st.booleans()),
)


@st.composite
def hands(draw, tapes):
    """Draw the actions by hand as (number of the attached tape, instant or None for at once, action)."""
    done, last_us = [], 0
    for number, tape in enumerate(tapes):
        around = [tape.start_us, tape.end_us, *tape.event_us.tolist()]
        marks = sorted({us + beside for us in around for beside in (-1, 0, 1, 7) if us + beside >= last_us})
        last_us = tape.end_us
        top = max(tape.top_bid_ticks.tolist(), default=0) or 100
        at = st.one_of(st.none(), *[st.sampled_from(marks)] * 9) if marks else st.none()
        acts = draw(st.lists(st.tuples(at, BY_HAND), max_size=8))
        for us, act in sorted(acts, key=lambda one: one[0] or 0):
            action = (act[0], act[1], max(top + act[2], 0), *act[3:]) if act[0] == "place" else act
            done.append((number, us, action))
    return tuple(done)
