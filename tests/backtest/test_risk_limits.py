"""The limits as a pure function, each at its edge, and their settings."""

import dataclasses
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_tapes import TEST
from mm import Rules
from mm.backtest.engine._engine import Engine
from mm.backtest.engine._risk import check
from mm.backtest.risk import (
    LIMITS,
    LIVE_DEFAULTS,
    Risk,
    RiskLimits,
    RiskOrder,
    RiskStanding,
    day_end_us,
    limits_of,
    ramped_lots,
)
from mm.base.knobs import knobs
from mm.errors import UsageError
from named import model_of
from oracle_lab import RULES, SNAPSHOT, tape_of, until

UNIT = TEST.tick_e8 * TEST.lot_e8  # one tick·lot, in 1e-16 of the quote asset
COUNT, SIDE = st.integers(0, 40), st.sampled_from([1, -1])
LOTS, TICKS, US = st.integers(1, 10**9), st.integers(1, 10**7), st.integers(0, 10**8)
E8 = st.integers(0, 10**8)


@dataclasses.dataclass
class Edge:
    """A limit's name, the field of its bound, the measured value in the bound's unit, and the state that causes it."""

    limit: str
    field: str
    value: Fraction
    standing: RiskStanding
    order: RiskOrder | None = None


@st.composite
def positions(draw):
    order = RiskOrder(draw(SIDE), draw(TICKS), draw(LOTS))
    held, pending = draw(st.integers(-(10**9), 10**9)), (draw(LOTS), draw(LOTS))
    standing = RiskStanding(inventory_lots=held, open_buy_lots=pending[0], open_sell_lots=pending[1])
    after = order.side * held + pending[order.side < 0] + order.lots
    return Edge("MAX_POSITION", "max_position_e8", Fraction(after * TEST.lot_e8), standing, order)


@st.composite
def leverages(draw):
    order = RiskOrder(draw(SIDE), draw(TICKS), draw(st.integers(1, 10**4)))
    held, mid2, equity_e8 = (
        draw(st.integers(-(10**4), 10**4)),
        draw(st.integers(2, 10**6)),
        draw(st.integers(1, 10**18)),
    )
    standing = RiskStanding(inventory_lots=held, mid2_ticks=mid2, equity_e8=equity_e8)
    after = order.side * held + order.lots
    return Edge("MAX_LEVERAGE", "max_leverage_e8", Fraction(after * mid2 * UNIT, 2 * equity_e8), standing, order)


@st.composite
def counts(draw):
    order, buys, sells = RiskOrder(draw(SIDE), draw(TICKS), draw(LOTS)), draw(COUNT), draw(COUNT)
    value = (buys if order.side > 0 else sells) + 1
    return Edge(
        "MAX_OPEN_ORDERS", "max_open_orders", Fraction(value), RiskStanding(open_buys=buys, open_sells=sells), order
    )


@st.composite
def notionals(draw):
    order = RiskOrder(draw(SIDE), draw(TICKS), draw(LOTS))
    value = Fraction(order.ticks * order.lots * UNIT, 10**8)
    return Edge("MAX_ORDER_NOTIONAL", "max_order_notional_e8", value, RiskStanding(), order)


@st.composite
def bands(draw):
    order, mid2 = RiskOrder(draw(SIDE), draw(TICKS), draw(LOTS)), draw(st.integers(2, 2 * 10**7))
    value = Fraction(abs(2 * order.ticks - mid2) * 10**8, mid2)
    return Edge("PRICE_BAND", "price_band_e8", value, RiskStanding(mid2_ticks=mid2), order)


@st.composite
def rates(draw):
    sent = draw(COUNT)
    order = RiskOrder(draw(SIDE), draw(TICKS), draw(LOTS))
    return Edge("MAX_ORDERS_PER_S", "max_orders_per_s", Fraction(sent + 1), RiskStanding(sent=sent), order)


@st.composite
def losses(draw):
    equity, day = draw(st.integers(-(10**17), 10**17)), draw(st.integers(-(10**17), 10**17))
    return Edge(
        "MAX_DAILY_LOSS", "max_daily_loss_e8", Fraction(day - equity), RiskStanding(equity_e8=equity, day_equity_e8=day)
    )


@st.composite
def drawdowns(draw):
    peak, fall = draw(st.integers(1, 10**17)), draw(st.integers(0, 10**17))
    standing = RiskStanding(equity_e8=peak - fall, peak_equity_e8=peak)
    return Edge("MAX_DRAWDOWN", "max_drawdown_e8", Fraction(fall * 10**8, peak), standing)


@st.composite
def moves(draw):
    low, high = sorted(draw(st.lists(st.integers(2, 2 * 10**7), min_size=2, max_size=2)))
    mid2 = draw(st.sampled_from([low, high]))
    other = low if mid2 == high else high
    standing = RiskStanding(mid2_ticks=mid2, low2_ticks=low, high2_ticks=high)
    return Edge("MAX_MOVE", "max_move_e8", Fraction((high - low) * 10**8, other), standing)


@st.composite
def silences(draw):
    last_message, silence = draw(US), draw(US)
    return Edge(
        "FEED_STALE_S",
        "feed_stale_us",
        Fraction(silence),
        RiskStanding(us=last_message + silence, market_us=last_message),
    )


@st.composite
def acknowledgements(draw):
    waited = draw(US)
    return Edge("LATENCY_THRESHOLD_MS", "slow_ack_us", Fraction(waited), RiskStanding(ack_us=waited))


EDGES = [
    *(positions(), leverages(), counts(), notionals(), bands(), rates()),
    *(losses(), drawdowns(), moves(), silences(), acknowledgements()),
]


@pytest.mark.slow
@pytest.mark.parametrize("edges", EDGES, ids=str)
@given(st.data())
def test_limit_allows_its_bound_and_breaches_one_unit_beyond(edges, data):
    """A value equal to the bound is allowed; one unit above it is not, and the breach contains both."""
    edge = data.draw(edges)
    at = max(-(-edge.value.numerator // edge.value.denominator), 0)  # the smallest whole bound that allows it
    least = 1 if edge.field == "max_orders_per_s" else 0
    most = 10**10 if edge.field == "max_leverage_e8" else 2**62
    if least <= at <= most:
        assert check(RiskLimits(**{edge.field: at}), TEST, edge.standing, edge.order) is None
    if least < at <= most:
        breach = check(RiskLimits(**{edge.field: at - 1}), TEST, edge.standing, edge.order)
        assert breach is not None
        assert breach.limit == edge.limit
        assert breach.bound_e8 == in_e8(edge.field, Fraction(at - 1))
        assert breach.value_e8 == in_e8(edge.field, edge.value)


def in_e8(field, value):
    """Return a bound or a measured value in 1e-8 of the setting's unit, rounded down."""
    scale = {"max_open_orders": 10**8, "max_orders_per_s": 10**8, "feed_stale_us": 100, "slow_ack_us": 100_000}
    return (value * scale.get(field, 1)).__floor__()


@given(SIDE, st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 10**6))
def test_order_that_reduces_a_position_beyond_its_bound_is_allowed(side, held, lots, mid2):
    """Position and leverage limits stop only the side that adds."""
    limits = RiskLimits(max_position_e8=0, max_leverage_e8=0)
    standing = RiskStanding(inventory_lots=-side * held, mid2_ticks=mid2, equity_e8=10**8)
    allowed = check(limits, TEST, standing, RiskOrder(side, 1, min(lots, held)))
    assert allowed is None
    assert check(limits, TEST, standing, RiskOrder(-side, 1, lots)).limit == "MAX_POSITION"


@given(st.integers(-(10**9), 0), st.integers(1, 10**6), st.integers(1, 100))
def test_leverage_is_not_allowed_without_equity(equity_e8, mid2, lots):
    standing = RiskStanding(mid2_ticks=mid2, equity_e8=equity_e8)
    assert check(RiskLimits(max_leverage_e8=10**10), TEST, standing, RiskOrder(1, 1, lots)).limit == "MAX_LEVERAGE"


@given(st.integers(-(10**9), 0), st.integers(1, 10**9))
def test_any_loss_is_a_drawdown_without_a_positive_peak(peak_e8, fall_e8):
    limits = RiskLimits(max_drawdown_e8=10**8)
    standing = RiskStanding(equity_e8=peak_e8 - fall_e8, peak_equity_e8=peak_e8)
    assert check(limits, TEST, standing).limit == "MAX_DRAWDOWN"
    assert check(limits, TEST, dataclasses.replace(standing, equity_e8=peak_e8)) is None


def test_order_without_a_price_is_exempt_from_the_band():
    limits, standing = RiskLimits(price_band_e8=0), RiskStanding(mid2_ticks=200)
    assert check(limits, TEST, standing, RiskOrder(1, 0, 1, priced=False)) is None
    assert check(limits, TEST, standing, RiskOrder(1, 101, 1)).limit == "PRICE_BAND"


def test_limits_that_stop_all_quotes_are_checked_first():
    limits = RiskLimits(max_daily_loss_e8=0, feed_stale_us=0, max_position_e8=0)
    standing = RiskStanding(us=1, day_equity_e8=1)
    assert check(limits, TEST, standing, RiskOrder(1, 1, 1)).limit == "MAX_DAILY_LOSS"
    assert check(limits, TEST, dataclasses.replace(standing, day_equity_e8=0)).limit == "FEED_STALE_S"
    assert check(limits, TEST, RiskStanding(), RiskOrder(1, 1, 1)).limit == "MAX_POSITION"
    assert check(RiskLimits(), TEST, standing, RiskOrder(1, 1, 1)) is None


def test_guard_reports_used_share_of_each_limit():
    """100 lots are held and wanted, a bid and an ask of 10 each are open, all four orders were sent within a second.

    The mid falls from 100 to 99, which costs 100 of 1,010,000; acknowledgements are those since the requote before.
    """
    tape = tape_of(SNAPSHOT, (1150, "snapshot", [(98, 5)], [(100, 5)]), until(1210))
    limits = {"max_position_e8": 440, "max_leverage_e8": 1, "max_open_orders": 4, "max_orders_per_s": 8}
    limits |= {"max_daily_loss_e8": 400, "max_move_e8": 1, "feed_stale_us": 100, "slow_ack_us": 40}
    bounds = {name: bound * 10**8 if name.endswith("e8") else bound for name, bound in limits.items()}
    rules = Rules(**RULES | {"risk": RiskLimits(**bounds)})
    exchange = Engine(model_of("fixed_spread", delta_ticks=20), model_of("trade_cross"), rules)
    exchange.attach(tape, 0, 200, False, None)
    exchange.advance(1210)
    equity, day, peak = exchange.manager.guard.equities_e8()
    assert (equity, day, peak) == (1_009_900 * 10**8, 1_010_000 * 10**8, 1_010_000 * 10**8)
    used = exchange.manager.guard.used()
    assert used.pop("MAX_LEVERAGE") == pytest.approx(9_900 / 1_009_900)
    assert used == pytest.approx(
        {
            "MAX_DAILY_LOSS": 0.25,
            "MAX_MOVE": 0.01,
            "FEED_STALE_S": 0.5,
            "LATENCY_THRESHOLD_MS": 0.0,
            "MAX_POSITION": 10 / 440,
            "MAX_OPEN_ORDERS": 0.25,
            "MAX_ORDERS_PER_S": 0.5,
        }
    )
    assert (
        Engine(model_of("fixed_spread", delta_ticks=20), model_of("trade_cross"), Rules(**RULES)).manager.guard.used()
        == {}
    )


# Settings


def test_run_without_settings_has_no_limits():
    assert limits_of(Risk()) is None


def test_limits_and_live_defaults_are_settings():
    names = {knob.variable for knob in knobs(Risk)}
    of_accounts = {"ACCOUNT_MAX_NOTIONAL", "ACCOUNT_MAX_OPEN_ORDERS"}
    assert names == set(LIMITS) - {"", "KILLED", "PULLED"} - of_accounts | {"SIZE_RAMP"}
    assert set(LIVE_DEFAULTS) <= {knob.name for knob in knobs(Risk)}
    limits = limits_of(Risk(**LIVE_DEFAULTS))
    assert (limits.max_position_e8, limits.max_leverage_e8, limits.max_drawdown_e8) == (10 * 10**8, 10**8, 5_000_000)
    assert (limits.feed_stale_us, limits.slow_ack_us, limits.max_open_orders) == (3_000_000, 100_000, 2)
    assert (limits.max_daily_loss_e8, limits.price_band_e8, limits.max_move_e8) == (10**11, 2_000_000, 2_000_000)


def knob_of(name):
    return next(knob for knob in knobs(Risk) if knob.name == name)


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("widen_bands", " [[0.5, 2], [0.9, 3.5]] ", "[[0.5,2.0],[0.9,3.5]]"),
        ("size_ramp", "[0.1, 0.5, 1]", "[0.1,0.5,1.0]"),
        ("max_position", "0.50", "0.5"),
    ],
)
def test_settings_are_parsed_and_normalized(name, text, read):
    assert knob_of(name).read(text) == read
    assert knob_of(name).read(read) == read


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(
            ("widen_bands", text)
            for text in ("[]", "{}", "[[0.5]]", "[[0.5, 0.9]]", "[[0.9, 2], [0.5, 3]]", "[[1.5, 2]]", "x")
        ),
        *(
            ("widen_bands", text)
            for text in ("[[-0.1, 2]]", "[[NaN, 2]]", "[[0.5, NaN]]", '[["a", 2]]', "[[0.5, null]]")
        ),
        *(("size_ramp", text) for text in ("[]", "0.5", "[0]", "[1.1]", "[0.5, NaN]", '{"0": 1}')),
        *(("max_drawdown", text) for text in ("1.5", "-0.1", "0.123456789")),
        *(("max_open_orders", text) for text in ("0", "1.5")),
        *(("feed_stale_s", text) for text in ("0", "inf")),
    ],
)
def test_invalid_settings_raise_usage_error(name, text):
    with pytest.raises(UsageError, match=f"^{name} was"):
        knob_of(name).read(text)


def test_widen_bands_require_a_max_position():
    with pytest.raises(UsageError, match="max_position"):
        Risk(widen_bands="[[0.5,2]]")
    with pytest.raises(UsageError, match="max_position"):
        Risk(widen_bands="[[0.5,2]]", max_position="0")
    assert limits_of(Risk(widen_bands="[[0.5,2]]", max_position="1")).widen_bands == ((50_000_000, 2.0),)


@pytest.mark.parametrize(
    "limits",
    [{"max_position_e8": -1}, {"max_orders_per_s": 0}, {"max_leverage_e8": 10**11}, {"widen_bands": ((0, 2.0),)}],
)
def test_invalid_bounds_raise_usage_error(limits):
    with pytest.raises(UsageError, match=next(iter(limits))):
        RiskLimits(**limits)


def test_ramp_scales_the_clip_in_whole_steps():
    assert [ramped_lots(1000, 10, "[0.1,0.55,1.0]", day) for day in (0, 1, 2, 9)] == [100, 550, 1000, 1000]
    assert ramped_lots(1000, 300, "[0.5]") == 300
    assert ramped_lots(20, 10, "[0.1]") == 10
    assert ramped_lots(1000, 10, None) == 1000


def test_day_ends_at_midnight_in_berlin():
    """2025-12-16 is in winter time; the day of the change to summer time has 23 hours."""
    assert day_end_us(1_765_868_400_000_000) == 1_765_926_000_000_000  # 2025-12-17T00:00+01:00
    begin_us = 1_774_738_800_000_000  # 2026-03-29T00:00+01:00
    assert day_end_us(begin_us - 1) == begin_us
    assert day_end_us(begin_us) - begin_us == 23 * 3_600_000_000
